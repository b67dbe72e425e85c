"""The sound files that attacks start from: a small CNN as `.keras`, `.h5`, `.tflite` and `.onnx`, with manifests.

graph.h5 and graph.saved_model (a folder, zipped) are of Keras 2, nodes.h5 is of TensorFlow 1.15.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NAME", "PRECISIONS", "make_bases"]

NAME = "small"
DONE = "done-2"  # raised when there are other files
TF_1 = Path(__file__).parents[1] / "checkpoints/files/tf1.15"
PRECISIONS = ("float32", "dynamic_int8", "int8")
FORMATS = ("tflite", "onnx")


def make_bases(folder: Path) -> Path:
    """`folder` with small.keras, small.h5 and small/<precision>.<format>; made once."""
    from fmnist_edge.cli import main

    if not (folder / DONE).exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        model = small_cnn()
        model.save(folder / f"{NAME}.keras")
        other = folder / "other" / f"{NAME}.keras"  # the same model with other weights
        other.parent.mkdir()
        small_cnn(seed=4).save(other)
        model.save(folder / f"{NAME}.h5")
        pooled().save(folder / "pooled.keras")
        make_keras_2_bases(folder)
        calibration = folder / "calibration.npy"
        np.save(calibration, np.random.default_rng(1).integers(0, 256, (32, 28, 28, 1), np.uint8))
        chosen = [word for precision in PRECISIONS for word in ("--precision", precision)]
        for form in FORMATS:
            command = ["export", str(folder / f"{NAME}.keras"), "--format", form, *chosen, "--out", str(folder)]
            if main([*command, "--calibration", str(calibration)]):
                raise RuntimeError(f"the sound model could not be exported to {form}")
        (folder / DONE).touch()
    return folder


def pooled() -> Any:
    """Any picture is averaged before the only weights: what makes it larger needs none more."""
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1))
    x = layers.GlobalAveragePooling2D()(layers.Identity(name="huge")(image))
    return keras.Model(image, layers.Dense(10)(x), name="pooled")


def make_keras_2_bases(folder: Path) -> None:
    """A model of functions, models inside and odd names, as `.h5` and SavedModel."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as made:
        warnings.simplefilter("ignore")
        import tf_keras

        model = functions_and_models(tf_keras)
        model.save(folder / "graph.h5")
        model.save(made, save_format="tf")
        with zipfile.ZipFile(folder / "graph.saved_model", "w") as archive:
            for path in sorted(path for path in Path(made).rglob("*") if path.is_file()):
                archive.write(path, path.relative_to(made))
    shutil.copy(TF_1 / "tfop_preprocess.h5", folder / "nodes.h5")


def functions_and_models(k: Any) -> Any:
    import tensorflow as tf

    layers = k.layers
    inner = k.Input((28, 14, 1))
    norm = layers.BatchNormalization(name="norm")(layers.Conv2D(1, 3, padding="same", name="a/b")(inner))
    base = k.Model(inner, norm, name="base")
    image = k.Input((28, 28, 1), name="image")
    x = base(base(tf.nn.relu(image * 2.0 - 1.0)[:, :, ::2]))
    x = tf.reshape(tf.tile(tf.concat([x, x], axis=-1), [1, 1, 1, 2]), [-1, 28, 56])
    x = layers.Bidirectional(layers.GRU(3, return_sequences=True))(x)
    x = layers.TimeDistributed(k.Sequential([layers.Dense(4), layers.ReLU()]))(x)
    return k.Model(image, layers.Dense(10)(layers.Flatten()(x)), name="graph")


def small_cnn(seed: int = 3) -> Any:
    """28 x 28 x 1 -> 10 logits, untrained, in some 6,000 weights: an op of each kind that the zoo's files have."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(seed)
    image = keras.Input((28, 28, 1))
    x = layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(image)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Concatenate()([layers.Conv2D(4, 1)(x), layers.DepthwiseConv2D(3, padding="same")(x)])
    x = layers.Add()([x, layers.Activation("sigmoid")(x)])
    x = layers.Concatenate()([layers.Flatten()(x), layers.GlobalAveragePooling2D()(x)])
    return keras.Model(image, layers.Dense(10)(x), name=NAME)
