"""The job of docs/your-own-model.md on two other projects, from folders of PNGs: the same accuracy in every form.

A MobileNetV2 whose pixels are scaled outside (`--preprocess tf`), and a CNN of one sigmoid that scales them itself.
"""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from support.digits import digits, save_folders

from fmnist_edge import checkpoints
from fmnist_edge.cli import main
from fmnist_edge.runtime import Classifier

pytestmark = [pytest.mark.slow, pytest.mark.long]
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
EXPORTS = {
    "digits": "export mnv2.keras --train digits/train --test digits/test --preprocess tf",
    "evenodd": "export cnn.keras --train evenodd/train --test evenodd/test --preprocess model",
}
MODELS = {"digits": "mnv2", "evenodd": "cnn"}
FILES = ("float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx")
EACH = pytest.mark.parametrize("data", MODELS)


def mobilenet():
    """With statistics that follow in few steps."""
    import keras

    body = keras.applications.MobileNetV2((32, 32, 3), alpha=0.35, include_top=False, weights=None, pooling="avg")
    for layer in body.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.8
    return keras.Model(body.input, keras.layers.Dense(10, activation="softmax")(body.output))


def binary():
    import keras
    from keras import layers

    return keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(1, activation="sigmoid"),
        ]
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Both projects, trained on the data as Keras orders it, and exported by one command each."""
    import keras

    found = tmp_path_factory.mktemp("digits")
    os.chdir(found)
    for part, count, seed in (("train", 800, 0), ("test", 300, 1)):
        images, labels = digits(count, 32, seed)
        save_folders(Path("digits", part), images, [NAMES[label] for label in labels])
        save_folders(Path("evenodd", part), images, [("even", "odd")[label % 2] for label in labels])
    for data, make, loss, epochs, rate in (
        ("digits", mobilenet, "sparse_categorical_crossentropy", 12, 4e-3),
        ("evenodd", binary, "binary_crossentropy", 12, 2e-3),
    ):
        keras.utils.set_random_seed(0)
        model = make()
        images, labels = read(Path(data, "train"))
        if data == "digits":
            images = images / np.float32(127.5) - 1
        steps = epochs * len(images) // 32
        model.compile(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)), loss)
        model.fit(images, labels, batch_size=32, epochs=epochs, verbose=0)
        model.save(f"{MODELS[data]}.keras")
        assert main(EXPORTS[data].split()) == 0
    return found


@pytest.fixture(autouse=True)
def inside(folder, monkeypatch):
    monkeypatch.chdir(folder)


def read(path):
    """As Keras reads a folder with a folder per class: float32 (n, 32, 32, 3), 0 to 255, and class indices (n,)."""
    import keras

    found = keras.utils.image_dataset_from_directory(
        path, image_size=(32, 32), shuffle=False, batch_size=None, verbose=0
    )
    images, labels = zip(*found.as_numpy_iterator(), strict=True)
    return np.stack(images), np.asarray(labels)


def answers_of(scores):
    return scores.argmax(axis=1) if scores.shape[1] > 1 else (scores[:, 0] > 0.5).astype(int)


def keras_scores(data):
    images, labels = read(Path(data, "test"))
    prepared = images / np.float32(127.5) - 1 if data == "digits" else images
    return images.astype(np.uint8), labels, np.asarray(checkpoints.load(f"{MODELS[data]}.keras").model(prepared))


@EACH
def test_the_accuracy_is_keras_s_in_every_form(data):
    """Within one image where floats differ; and what `check` says is what Keras and the runtime say here."""
    images, labels, scores = keras_scores(data)
    right = int((answers_of(scores) == labels).sum())
    assert right > (0.6 if data == "evenodd" else 0.3) * len(labels), "else the comparison says little"
    code = main(["check", f"exported/{MODELS[data]}", "--report", f"{data}.json"])
    rows = {Path(row["artifact"]).name: row for row in json.loads(Path(f"{data}.json").read_text())["rows"]}
    assert sorted(rows) == sorted(FILES) and code == (not all(row["passed"] for row in rows.values()))
    assert all(row["passed"] for name, row in rows.items() if "float32" in name), "int8 may lose on so little training"
    for name, row in rows.items():
        assert round(row["reference_accuracy"] * len(labels)) == right
        with Classifier.load(f"exported/{MODELS[data]}/{name}", verify=True) as classify:
            found = classify(list(images))
        count = sum(answer.index == label for answer, label in zip(found, labels, strict=True))
        assert round(row["accuracy"] * len(labels)) == count
        assert abs(count - right) <= (1 if "float32" in name else 0.06 * len(labels)), name


@pytest.mark.parametrize("data", ["digits", "evenodd"])
def test_c_answers_as_the_numpy_engine_bit_for_bit(data):
    """The C sources and the integer-only file are one model, in two forms of our own."""
    command = EXPORTS[data].replace("export ", "export --precision int8_only --format ", 1)
    for format in ("tflite", "c"):
        assert main(command.replace("--format ", f"--format {format} ", 1).split()) == 0
    images, labels, _ = keras_scores(data)
    model = f"exported/{MODELS[data]}"
    with Classifier.load(f"{model}/int8_only.tflite", engine="numpy") as one:
        expected = one.scores(images)
    with Classifier.load(f"{model}/int8_only.c", engine="c") as other:
        found = other.scores(images)
    assert np.array_equal(found, expected)
    assert (answers_of(found) == labels).mean() > (0.6 if data == "evenodd" else 0.3)


def test_mobilenet_fits_an_arena_of_tensorflow_lite_micro():
    pytest.importorskip("tflite_micro")
    assert main(["export", "mnv2.keras", "--format", "c-array", *EXPORTS["digits"].split()[2:]]) == 0


def test_the_rest_of_the_job_needs_no_flag(capsys):
    assert main(["check", "exported"]) in (0, 1)
    assert len(json.loads(Path("reports/parity.json").read_text())["rows"]) >= 2 * len(FILES)
    for image, model in (("digits/test/three/0003.png", "mnv2"), ("evenodd/test/odd/0003.png", "cnn")):
        path = f"exported/{model}/int8.tflite"
        capsys.readouterr()
        assert main(["classify", path, image]) == 0
        with Classifier.load(path) as classify:
            answer = classify.from_file(image)
        assert answer.label in capsys.readouterr().out.splitlines()[2].replace("|", " ").split()
        assert main(["doctor", path]) == 0
