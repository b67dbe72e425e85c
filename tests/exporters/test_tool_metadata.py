"""TFLite's standard metadata: read by its schema, by our engines, and by MediaPipe itself."""

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from support import ROOT
from support.engines import IMAGES
from support.linear import LINEAR, with_manifest

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.tflite_metadata import embed
from fmnist_edge.exporters.tool_metadata import NAME, add, model_metadata
from fmnist_edge.runtime import Classifier, Contract, Preprocessing
from fmnist_edge.runtime.embedded import KEY, contract_text, embedded_contract
from fmnist_edge.runtime.flatbuffer import root
from fmnist_edge.runtime.presets import PRESETS

RGB = Contract((32, 32, 3), "probabilities", ("cat", "dog", "Häsin"), Preprocessing(1 / 255, 0.5, 0.25))


def read(content: bytes) -> dict:
    """The parts that tools use, by the field numbers of metadata_schema.fbs."""
    assert content[4:8] == b"M001"
    (graph,) = root(content).tables(3, 9)
    (image,), (scores,) = graph.tables(2, 9), graph.tables(3, 9)
    (unit,) = image.tables(4, 9)
    (file,) = scores.tables(6, 9)
    properties = image.table(3).table(1)
    return {
        "colours": properties.integer(0, "int8"),
        "size": [properties.table(1).integer(number, "uint32") for number in (0, 1)],
        "kind": unit.integer(0, "uint8"),
        "mean": unit.table(1).array(0, "float32").tolist(),
        "std": unit.table(1).array(1, "float32").tolist(),
        "units": len(scores.tables(4, 9)),
        "labels": (file.text(0), file.integer(2, "int8")),
    }


def test_what_is_written():
    assert read(model_metadata(RGB)) == {
        "colours": 1, "size": [32, 32], "kind": 1, "mean": [127.5], "std": [63.75], "units": 1,
        "labels": ("labels.txt", 2),
    }  # fmt: skip
    grey = read(model_metadata(LINEAR))
    assert (grey["colours"], grey["size"], grey["mean"], grey["units"]) == (2, [28, 28], [0.0], 0)
    assert grey["std"] == pytest.approx([255])


def test_the_file_stays_the_same_model(linear_models, tmp_path):
    plain = linear_models["float32.tflite"].read_bytes()
    content = add(embed(plain, KEY, contract_text(LINEAR)), LINEAR)
    path = with_manifest(tmp_path / "a.tflite", content)
    assert embedded_contract(path, content) == LINEAR and NAME.encode() in content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.read("labels.txt").decode().splitlines() == list(LINEAR.labels)
    for engine in ("litert", "numpy", "litert-compiled"):
        with Classifier.load(path, engine=engine) as ours, Classifier.load(linear_models["float32.tflite"]) as before:
            np.testing.assert_allclose(ours.scores(IMAGES), before.scores(IMAGES), atol=1e-4)
    with pytest.raises(ExportError, match="has associated files already"):
        add(content, LINEAR)


def test_each_channel_has_its_numbers():
    """The schema's options are (pixel - mean) / std, and have as many numbers of both."""
    found = read(model_metadata(replace(RGB, preprocessing=PRESETS["imagenet"])))
    assert found["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert found["std"] == pytest.approx([58.395, 57.12, 57.375])
    one = read(model_metadata(replace(RGB, preprocessing=Preprocessing(1.0, (1.0, 2.0, 3.0), 4.0))))
    assert (one["mean"], one["std"]) == ([1.0, 2.0, 3.0], [4.0, 4.0, 4.0])


def test_what_those_tools_do_not_know_is_left_alone():
    assert add(b"content", replace(RGB, preprocessing=PRESETS["caffe"])) == b"content"  # they know no BGR
    for shape, layout in (((5, 5, 4), "NHWC"), ((20,), "NHWC"), ((5, 5, 3), "NCHW")):
        assert add(b"content", Contract(shape, "logits", ("a", "b"), layout=layout)) == b"content"


def test_artifacts_of_older_versions_are_reproduced_without_it():
    manifest = json.loads((ROOT / "exported/compact_cnn/int8.tflite.json").read_text())
    content = (ROOT / "exported/compact_cnn/int8.tflite").read_bytes()
    assert ("tool_metadata" in manifest) is (NAME.encode() in content)


CLASSIFY = """
import sys, json
import mediapipe
import numpy as np
from mediapipe.tasks import python
from mediapipe.tasks.python import vision
path, image = sys.argv[1:]
options = vision.ImageClassifierOptions(base_options=python.BaseOptions(model_asset_path=path))
with vision.ImageClassifier.create_from_options(options) as classifier:
    picture = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=np.load(image))
    found = classifier.classify(picture).classifications[0].categories
print(json.dumps({item.category_name: item.score for item in found}))
"""


def small_model(kind: str) -> bytes:
    import keras
    import tensorflow as tf

    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential([
        keras.Input((32, 32, 3), batch_size=1), layers.Conv2D(8, 3, strides=2, activation="relu"),
        layers.GlobalAveragePooling2D(), layers.Dense(3, activation="softmax"),
    ])  # fmt: skip
    rng = np.random.default_rng(0)
    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if kind == "uint8":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([rng.normal(0, 1, (1, 32, 32, 3)).astype("f4")] for _ in range(20))
        converter.inference_input_type = converter.inference_output_type = tf.uint8
    return converter.convert()


@pytest.fixture(scope="module")
def mediapipe(tmp_path_factory):
    """A Python with MediaPipe, from a lock file."""
    folder = tmp_path_factory.mktemp("mediapipe")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    subprocess.run([sys.executable, "-m", "venv", folder], env=environment, check=True)
    python = folder / "bin/python"
    lock = ROOT / "requirements-mediapipe.lock"
    command = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--requirement", lock]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"MediaPipe cannot be installed here: {done.stderr.splitlines()[-1:]}")
    return python


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.filterwarnings("ignore")  # TensorFlow's own
@pytest.mark.parametrize(("kind", "tolerance"), [("float32", 1e-3), ("uint8", 1 / 128)])
def test_mediapipe_gives_our_answers(mediapipe, tmp_path, kind, tolerance):
    """It takes float32 and uint8 inputs; no int8."""
    content = add(embed(small_model(kind), KEY, contract_text(RGB)), RGB)
    path = with_manifest(tmp_path / "model.tflite", content, RGB)
    image = np.random.default_rng(1).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    np.save(tmp_path / "image.npy", image)
    command = [mediapipe, "-c", CLASSIFY, path, tmp_path / "image.npy"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Classifier.load(path) as classify:
        ours = dict(zip(RGB.labels, classify(image).probabilities, strict=True))
    assert json.loads(done.stdout) == pytest.approx(ours, abs=tolerance)
