"""Models that preprocess their input themselves, through a whole export: devices give them pixels as they are."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from support.engines import load_with_one_thread

from fmnist_edge import checkpoints, cli
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.conversion.child import export_all
from fmnist_edge.conversion.job import Job
from fmnist_edge.errors import InputError
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Contract, Preprocessing
from fmnist_edge.runtime.manifest import Manifest

SIZE = (16, 16, 3)
IMAGES = np.random.default_rng(0).integers(0, 256, (40, *SIZE), dtype=np.uint8)
FLOAT = get_precision("tflite", "float32")
INT8 = get_precision("tflite", "int8")


def model_of(*first):
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    inputs = x = keras.Input(SIZE)
    for layer in first:
        x = layer(x)
    x = layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    return keras.Model(inputs, layers.Dense(3, name="scores")(layers.Flatten()(x)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The same model with preprocessing alone, and behind augmentation in a Sequential; and calibration images."""
    import keras

    layers, made = keras.layers, tmp_path_factory.mktemp("own")
    augmentation = keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.1), layers.RandomContrast(0.2)])
    for name, first in (("plain", []), ("augmented", [augmentation])):
        model_of(*first, layers.Resizing(8, 8), layers.Rescaling(1 / 255, name="to unit")).save(made / f"{name}.keras")
    np.save(made / "images.npy", IMAGES)
    return made


def exported(folder, out, name="plain", precision=FLOAT, **more):
    """Run a job in this process: its events by kind."""
    job = Job(
        str(folder / f"{name}.keras"),
        "trained_model",
        str(out),
        [[precision.format, precision.name]],
        calibration=str(folder / "images.npy"),
        **more,
    )
    events: dict = {}
    export_all(asdict(job), events.update)
    return events


@pytest.mark.parametrize("name", ["plain", "augmented"])
def test_the_file_takes_pixels_as_they_are(folder, tmp_path, name):
    events = exported(folder, tmp_path, name)
    path = events["written"]["path"]
    manifest = Manifest.read(path)
    assert manifest.contract.preprocessing == Preprocessing(1.0)
    assert manifest.document["preprocessing_from"] == {
        "source": "model",
        "reason": "input is pixels 0-255 as they are: the model scales it itself by Rescaling 'to unit'",
    }
    assert manifest.document["warnings"] == []
    # Augmentation has vanished, and the Rescaling is part of the convolution or one multiplication.
    assert set(manifest.op_census) <= {"CONV_2D", "FULLY_CONNECTED", "MUL", "RESHAPE", "RESIZE_BILINEAR"}
    model = checkpoints.load(folder / f"{name}.keras").model
    with load_with_one_thread(Path(path)) as classify:
        scores = classify.scores(IMAGES)
    assert np.abs(scores - model.predict_on_batch(IMAGES.astype("float32"))).max() < 1e-4
    divided_twice = model.predict_on_batch(IMAGES.astype("float32") / 255)
    assert np.abs(scores - divided_twice).max() > 0.1, "the test needs a model that the unit matters to"


def test_options_win_and_the_contradiction_is_in_the_manifest(folder, tmp_path):
    events = exported(folder, tmp_path, scale=1 / 255)
    manifest = Manifest.read(events["written"]["path"])
    assert manifest.contract.preprocessing == Preprocessing()
    (warning,) = manifest.document["warnings"]
    assert "makes 0 to 1 of pixels 0 to 255, but the model takes pixels 0-255 as they are" in warning
    assert events["findings"]["warnings"] == (warning,)


def test_strict_writes_nothing(folder, tmp_path):
    with pytest.raises(InputError, match="plain: nothing was written, because of --strict: the contract makes 0 to 1"):
        exported(folder, tmp_path, scale=1 / 255, strict=True)
    np.save(tmp_path / "images.npy", IMAGES[:1])
    (tmp_path / "plain.keras").write_bytes((folder / "plain.keras").read_bytes())
    with pytest.raises(InputError, match=r"nothing was written, because of --strict: calibration .*: 1 image"):
        exported(tmp_path, tmp_path / "out", precision=INT8, strict=True)
    assert not list(tmp_path.rglob("*.tflite*"))
    assert "written" in exported(folder, tmp_path, strict=True)


class TestApi:
    CONTRACT = Contract(SIZE, "logits", tuple("abc"), Preprocessing(1.0))

    def test_a_generator_calibrates(self, folder, tmp_path):
        checkpoint = checkpoints.load(folder / "plain.keras")
        made = export(checkpoint, INT8, self.CONTRACT, tmp_path / "a", calibration=(image for image in IMAGES))
        same = export(checkpoint, INT8, self.CONTRACT, tmp_path / "b", calibration=folder / "images.npy", strict=True)
        assert made.manifest.sha256 == same.manifest.sha256
        assert made.manifest.calibration.source == "a Python iterable" and made.manifest.calibration.images == 40
        assert made.manifest.document["warnings"] == []

    def test_doubtful_images_are_in_the_manifest_and_refused_if_strict(self, folder, tmp_path, monkeypatch):
        checkpoint = checkpoints.load(folder / "plain.keras")
        monkeypatch.setattr("fmnist_edge.exporters.tflite.TFLiteExporter.convert", pytest.fail)
        with pytest.raises(InputError, match="all 30 images are the same"):
            export(checkpoint, INT8, self.CONTRACT, tmp_path, calibration=IMAGES[[1] * 30], strict=True)
        assert not list(tmp_path.iterdir())


class TestCommand:
    @pytest.mark.slow
    def test_the_output(self, folder, tmp_path, capsys):
        arguments = ["export", str(folder / "plain.keras"), "--format", "tflite", "--precision", "float32"]
        assert cli.main([*arguments, "--out", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"{folder / 'plain.keras'}: input is pixels 0-255 as they are: the model") and err == ""
        assert cli.main([*arguments, "--out", str(tmp_path), "--scale", "0.0039", "--json"]) == 0
        out, err = capsys.readouterr()
        (entry,) = json.loads(out)["files"]
        assert entry["refused"] is None and entry["contract"]["preprocessing"]["scale"] == 0.0039
        assert entry["preprocessing_from"]["source"] == "options"
        (warning,) = entry["warnings"]
        assert err == f"fmnist-edge: warning: {folder / 'plain.keras'}: {warning}\n"
        assert cli.main([*arguments, "--out", str(tmp_path / "strict"), "--scale", "0.0039", "--strict"]) == 2
        out, err = capsys.readouterr()
        assert out == "" and err.count("\n") == 1 and "because of --strict" in err
        assert not (tmp_path / "strict").exists()
