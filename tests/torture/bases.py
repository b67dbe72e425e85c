"""The sound files that attacks start from: a small CNN as `.keras`, `.h5`, `.tflite` and `.onnx`, with manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["NAME", "PRECISIONS", "make_bases"]

NAME = "small"
PRECISIONS = ("float32", "dynamic_int8", "int8")
FORMATS = ("tflite", "onnx")


def make_bases(folder: Path) -> Path:
    """`folder` with small.keras, small.h5 and small/<precision>.<format>; made once."""
    from fmnist_edge.cli import main

    if not (folder / "done").exists():
        folder.mkdir(parents=True, exist_ok=True)
        model = small_cnn()
        model.save(folder / f"{NAME}.keras")
        other = folder / "other" / f"{NAME}.keras"  # the same model with other weights
        other.parent.mkdir()
        small_cnn(seed=4).save(other)
        model.save(folder / f"{NAME}.h5")
        pooled().save(folder / "pooled.keras")
        calibration = folder / "calibration.npy"
        np.save(calibration, np.random.default_rng(1).integers(0, 256, (32, 28, 28, 1), np.uint8))
        chosen = [word for precision in PRECISIONS for word in ("--precision", precision)]
        for form in FORMATS:
            command = ["export", str(folder / f"{NAME}.keras"), "--format", form, *chosen, "--out", str(folder)]
            if main([*command, "--calibration", str(calibration)]):
                raise RuntimeError(f"the sound model could not be exported to {form}")
        (folder / "done").touch()
    return folder


def pooled() -> Any:
    """Any picture is averaged before the only weights: what makes it larger needs none more."""
    import keras
    from keras import layers

    image = keras.Input((28, 28, 1))
    x = layers.GlobalAveragePooling2D()(layers.Identity(name="huge")(image))
    return keras.Model(image, layers.Dense(10)(x), name="pooled")


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
