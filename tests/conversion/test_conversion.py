"""Models are exported in a child process: a refusal or a crash of one precision leaves the others."""

import json

import numpy as np
import pytest

from fmnist_edge import cli
from fmnist_edge.conversion.job import Job
from fmnist_edge.conversion.parent import export_model
from fmnist_edge.errors import CheckpointError, ExportError
from fmnist_edge.runtime.manifest import manifest_path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A folder with a recurrent model, whose loop crashes TensorFlow's calibrator, and calibration images."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("recurrent")
    keras.utils.set_random_seed(0)
    keras.Sequential(
        [
            keras.Input((6, 8)),
            layers.Dense(8, activation="relu"),
            layers.GRU(4, return_sequences=True, name="the memory"),
            layers.Flatten(),
            layers.Dense(3, activation="softmax"),
        ]
    ).save(folder / "own.keras")
    np.save(folder / "images.npy", np.random.default_rng(0).normal(size=(20, 6, 8)).astype(np.float32))
    return folder


def job(files, out, *precisions, **more):
    return Job(
        model=str(files / "own.keras"),
        trained="trained_model",
        out=str(out),
        precisions=[["tflite", precision] for precision in precisions],
        **more,
    )


@pytest.mark.slow
def test_what_cannot_be_exported_leaves_the_rest(files, tmp_path):
    """Without images, int8 is refused; what comes before and after it is written, by one child."""
    seen = []
    outcomes = export_model(job(files, tmp_path, "float32", "int8", "float16"), lambda *step: seen.append(step))
    assert [outcome.path.name for outcome in outcomes] == ["float32.tflite", "int8.tflite", "float16.tflite"]
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert "--calibration" in str(outcomes[1].error)
    assert seen == [(0, 3, "float32.tflite"), (1, 3, "int8.tflite"), (2, 3, "float16.tflite")]
    assert sorted(path.name for path in (tmp_path / "own").iterdir()) == sorted(
        name.name for outcome in outcomes if outcome.artifact for name in (outcome.path, manifest_path(outcome.path))
    )


@pytest.mark.slow
def test_a_crash_names_the_layer_and_leaves_the_rest(files, tmp_path):
    """The stock converter crashes on a loop in int8, natively. The next precision gets a new child."""
    calibration = str(files / "images.npy")
    outcomes = export_model(job(files, tmp_path, "float32", "stock_int8", "int8", calibration=calibration))
    assert [outcome.artifact is not None for outcome in outcomes] == [True, False, True]
    assert isinstance(outcomes[1].error, ExportError)
    assert str(outcomes[1].error).startswith("the converter crashed (SIG")
    assert "'the memory' (GRU) in tflite stock_int8" in str(outcomes[1].error)


def test_a_model_that_cannot_be_loaded_is_one_error(files, tmp_path):
    (tmp_path / "damaged.keras").write_bytes((files / "own.keras").read_bytes()[:5000])
    wanted = job(files, tmp_path, "float32")
    with pytest.raises(CheckpointError, match=r"damaged\.keras"):
        export_model(Job(**{**vars(wanted), "model": str(tmp_path / "damaged.keras")}))


class TestCommand:
    """Exit code 2 only when something named was refused, or nothing was written."""

    def run(self, capsys, files, out, *more):
        code = cli.main(["export", str(files / "own.keras"), *more, "--format", "tflite", "--out", str(out)])
        said = capsys.readouterr()
        return code, said.out, said.err

    @pytest.mark.slow
    def test_not_named(self, capsys, files, tmp_path):
        code, table, error = self.run(capsys, files, tmp_path)
        found = [line for line in table.splitlines() if line.startswith("| ")][2:]
        rows = {line.split()[1].rpartition("/")[2]: line for line in found}
        assert (code, error) == (0, "")
        assert "--calibration" in rows["int8.tflite"] and "--calibration" not in rows["float32.tflite"]
        assert list(rows) == ["float32.tflite", "int8.tflite"]
        manifest = json.loads(manifest_path(tmp_path / "own/float32.tflite").read_text())
        assert manifest["sha256"][:12] in rows["float32.tflite"]

    @pytest.mark.slow
    def test_named(self, capsys, files, tmp_path):
        code, table, error = self.run(capsys, files, tmp_path, "--precision", "float32", "--precision", "int8")
        assert code == 2 and "float32.tflite" in table and "--calibration" in error
        assert (tmp_path / "own/float32.tflite").is_file()

    @pytest.mark.slow
    def test_nothing_written(self, capsys, files, tmp_path):
        code, table, error = self.run(capsys, files, tmp_path, "--precision", "int8")
        assert (code, table) == (2, "") and "--calibration" in error and error.count("\n") == 1

    @pytest.mark.slow
    def test_another_model_is_missing(self, capsys, files, tmp_path):
        code, table, error = self.run(capsys, files, tmp_path, str(tmp_path / "none.keras"))
        assert code == 2 and "float32.tflite" in table and "none.keras" in error
