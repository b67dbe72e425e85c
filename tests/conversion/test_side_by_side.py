"""Formats convert side by side, each in a child; the children here are quick stand-ins, except in the last tests."""

import _thread
import os
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.export_children import WAITING

from fmnist_edge import cli
from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.conversion import parent
from fmnist_edge.conversion.child import twin_of
from fmnist_edge.conversion.job import Job
from fmnist_edge.conversion.parent import export_model
from fmnist_edge.errors import ArtifactError, FileError
from fmnist_edge.files import locked
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from fmnist_edge.runtime.same_file import other_names

CONTRACT = Contract((2, 2, 1), "logits", ("a", "b"))
FOUR = [["tflite", "float32"], ["tflite", "float16"], ["onnx", "float32"], ["onnx", "float16"]]
NAMES = [f"{name}.{format}" for format, name in FOUR]


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """A job for quick children, on two cores whatever this machine has."""
    monkeypatch.setattr(parent, "TASK", "support.export_children:quick_child")
    monkeypatch.setattr(parent, "usable_cores", lambda: 2)
    monkeypatch.setattr(parent, "crashing_layer", lambda *arguments: "'conv' (Conv2D)")
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
    )
    (tmp_path / "own.keras").write_bytes(b"weights")
    return Job(str(tmp_path / "own.keras"), "trained_model", str(tmp_path / "out"), FOUR)


def running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def children_of(monkeypatch) -> list[list[int] | None]:
    """What each child that is started from now on has to do."""
    started, call = [], parent.call

    def watched(task, request, **more):
        started.append(request["todo"])
        return call(task, request, **more)

    monkeypatch.setattr(parent, "call", watched)
    return started


def test_one_child_per_format_and_one_order(quick, monkeypatch):
    started, shown = children_of(monkeypatch), []
    outcomes = export_model(quick, lambda *step: shown.append(step))
    assert sorted(started) == [[0, 1], [2, 3]]
    assert [outcome.path.name for outcome in outcomes] == NAMES
    assert all(outcome.artifact for outcome in outcomes)
    done = [step[0] for step in shown]
    assert done == sorted(done) and sorted(text for _, _, text in shown) == sorted(NAMES)
    assert {total for _, total, _ in shown} == {4}


@pytest.mark.parametrize("why", ["one core", "large", "tuned", "one format"])
def test_one_child_does_all(quick, monkeypatch, why):
    if why == "one core":
        monkeypatch.setattr(parent, "usable_cores", lambda: 1)
    elif why == "large":
        monkeypatch.setattr(parent, "MOST_AT_ONCE", 6)
    changes = {"tuned": {"tune_accuracy": 0.5}, "one format": {"precisions": FOUR[:2]}}.get(why, {})
    started = children_of(monkeypatch)
    outcomes = export_model(replace(quick, **changes))
    assert len(started) == 1 and all(outcome.artifact for outcome in outcomes)


def test_a_crash_of_one_leaves_the_other(quick):
    outcomes = export_model(replace(quick, labels="onnx crash"))
    assert [outcome.path.name for outcome in outcomes] == NAMES
    assert [outcome.error is None for outcome in outcomes] == [True, True, True, False]
    assert "crashed (SIGABRT) on layer 'conv' (Conv2D) in onnx float16" in str(outcomes[3].error)


def test_a_failure_of_one_leaves_the_other(quick):
    outcomes = export_model(replace(quick, labels="onnx fail"))
    assert [outcome.path.name for outcome in outcomes] == NAMES
    assert [str(outcome.error or "") for outcome in outcomes] == ["", "", "the disk is full", "the disk is full"]
    assert [outcome.whole_model for outcome in outcomes] == [False, False, True, True]


def test_a_failure_of_all_is_one_error(quick):
    with pytest.raises(FileError, match="the disk is full"):
        export_model(replace(quick, labels="all fail"))


def test_ctrl_c_ends_all(quick):
    out = Path(quick.out)
    out.mkdir()
    files = [out / WAITING.format(format) for format in ("tflite", "onnx")]

    def interrupt():
        while not all(file.exists() and file.read_text() for file in files):
            time.sleep(0.05)
        _thread.interrupt_main()

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        export_model(replace(quick, labels="all wait"))
    pids, give_up = [int(file.read_text()) for file in files], time.monotonic() + 30
    while any(map(running, pids)) and time.monotonic() < give_up:
        time.sleep(0.05)
    assert not any(map(running, pids))
    assert not list(out.glob("m/*")), "both were ended while they waited"


def test_a_folder_in_use_is_refused_before_anything_is_written(quick):
    folder = Path(quick.out) / "m"
    with locked(folder), pytest.raises(FileError, match="another run writes to it"):
        export_model(replace(quick, labels="all wait"))
    assert not list(folder.iterdir())


def test_sizes_of_models(quick, tmp_path):
    import zipfile

    assert parent.model_bytes(quick) == 7
    with zipfile.ZipFile(tmp_path / "own.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("weights.h5", bytes(5000))
    assert parent.model_bytes(quick) == 5000
    assert parent.model_bytes(replace(quick, model=str(tmp_path))) == (tmp_path / "own.keras").stat().st_size
    assert parent.model_bytes(replace(quick, model="nothing")) == 0


def write(folder: Path, name: str, content: bytes, sha256: str) -> Artifact:
    manifest = Manifest.of(
        name, {"sha256": sha256, "contract": CONTRACT.as_dict(), "precision": name.partition(".")[0]}
    )
    return Artifact.write(folder / name, content, manifest)


class TestSameFile:
    """int8 and int8_only with the same bytes are one file."""

    def test_the_second_name_is_in_the_manifest_and_there_is_one_file(self, tmp_path):
        first, second = (write(tmp_path, name, b"model", "0") for name in ("int8.tflite", "int8_only.tflite"))
        both = first.take_in(second)
        assert other_names(both.manifest) == other_names(Manifest.read(first.path)) == ("int8_only",)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.tflite", "int8.tflite.json"]
        assert [item.path for item in collect([tmp_path])] == [first.path]

    def test_other_bytes_are_not_taken_in(self, tmp_path):
        first, second = write(tmp_path, "int8.tflite", b"a", "0"), write(tmp_path, "int8_only.tflite", b"b", "1")
        with pytest.raises(ArtifactError, match="not the same file"):
            first.take_in(second)
        assert second.path.exists()

    def test_the_missing_name_says_which_file_it_is(self, tmp_path):
        first, second = (write(tmp_path, name, b"model", "0") for name in ("int8.tflite", "int8_only.tflite"))
        first.take_in(second)
        said = rf"int8_only\.tflite: no such file: int8\.tflite has the same bytes and .*; name {first.path}"
        for load in (Artifact.open, Classifier.load):
            with pytest.raises(ArtifactError, match=said):
                load(second.path)
        with pytest.raises(ArtifactError, match="no such file; `fmnist-edge export MODEL` writes one"):
            Artifact.open(tmp_path / "float16.tflite")

    @pytest.mark.parametrize(
        ("first", "second", "found"),
        [
            ("int8", "int8_only", 0),
            ("int8", "int16x8", None),
            ("int8", "stock_int8", None),
            ("stock_int8", "int8", None),
        ],
    )
    def test_which_precisions_share_a_file(self, tmp_path, first, second, found):
        made = [(get_precision("tflite", first), write(tmp_path, f"{first}.tflite", b"a", "0"))]
        artifact = write(tmp_path, f"{second}.tflite", b"a", "0")
        assert twin_of(get_precision("tflite", second), artifact, made) == found
        other = write(tmp_path, f"{second}.tflite", b"b", "1")
        assert twin_of(get_precision("tflite", second), other, made) is None


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("own")
    keras.utils.set_random_seed(0)
    keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    ).save(folder / "own.keras")
    np.save(folder / "images.npy", np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), dtype=np.uint8))
    return folder


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_the_bytes_are_those_of_one_child(own, tmp_path, monkeypatch):
    """Also where only the other format's precision is calibrated: golden vectors are of the calibration images."""
    precisions = [["tflite", "int8"], ["onnx", "float32"]]
    job = Job(str(own / "own.keras"), "none", str(tmp_path / "both"), precisions, calibration=str(own / "images.npy"))
    monkeypatch.setattr(parent, "usable_cores", lambda: 2)
    started = children_of(monkeypatch)
    assert all(outcome.artifact for outcome in export_model(job))
    monkeypatch.setattr(parent, "usable_cores", lambda: 1)
    assert all(outcome.artifact for outcome in export_model(replace(job, out=str(tmp_path / "one"))))
    assert len(started) == 3
    both, one = files_in(tmp_path / "both/own"), files_in(tmp_path / "one/own")
    assert len(both) == 4 and both == one


@pytest.mark.slow
def test_the_command_says_that_int8_only_is_int8(own, tmp_path, capsys):
    stale = tmp_path / "own/int8_only.tflite"
    stale.parent.mkdir()
    stale.write_bytes(b"of an earlier export")
    named = ["--precision", "int8", "--precision", "int8_only", "--format", "tflite"]
    images = ["--calibration", str(own / "images.npy")]
    assert cli.main(["export", str(own / "own.keras"), *named, *images, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path}/own/int8.tflite is int8_only, too" in out and out.count("tflite |") == 1
    assert other_names(Manifest.read(tmp_path / "own/int8.tflite")) == ("int8_only",)
    assert not stale.exists() and not manifest_path(stale).exists()
    assert cli.main(["check", str(stale)]) == 2 and "name " in capsys.readouterr().err
