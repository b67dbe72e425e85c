"""The Python API: models and data in memory or in files, the command line's options, results and errors."""

import argparse
import json
import shutil
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from support.plans import tiny_plan
from support.task_models import images, of_images, save, two_by_two, views

import fmnist_edge
from fmnist_edge.benchmark import suite
from fmnist_edge.commands.command import commands
from fmnist_edge.commands.manual import parser_of
from fmnist_edge.errors import ArtifactError, CheckpointError, InputError, UnknownNameError
from fmnist_edge.jobs.bench import BenchOptions
from fmnist_edge.jobs.check import CheckOptions
from fmnist_edge.jobs.export import ExportOptions
from fmnist_edge.jobs.given import as_images, as_labels, as_model
from fmnist_edge.runtime import Classifier, Model
from fmnist_edge.runtime.manifest import Manifest

NAMES = ["low", "middle", "high"]


@pytest.fixture(scope="module")
def model():
    return of_images(3, "softmax", "shades")


@pytest.fixture(scope="module")
def labels(model):
    return np.asarray(model(images() / np.float32(255))).argmax(axis=1)


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    out = tmp_path_factory.mktemp("api") / "exported"
    return fmnist_edge.export(
        model, images(), precision=["float32", "int8"], format="tflite", labels=NAMES, out=out, resize="box"
    )


def test_a_model_in_memory_becomes_files_with_manifests(exported):
    assert [(file.path.name, file.format, file.precision) for file in exported.files] == [
        ("float32.tflite", "tflite", "float32"),
        ("int8.tflite", "tflite", "int8"),
    ]
    assert exported.refused == () and exported.project is None and "pixels / 255" in exported.reason
    file = exported["int8.tflite"]
    manifest = Manifest.read(file.path)
    assert file.path.parent.name == "shades" and file.manifest.is_file() and file.float_ops == ()
    assert (file.sha256, file.size_bytes) == (manifest.sha256, file.path.stat().st_size)
    assert list(manifest.contract.labels) == NAMES and manifest.contract.resize == "box"
    with Classifier.load(file.path, verify=True) as classify:
        assert classify(images(1))[0].label in NAMES
    with pytest.raises(KeyError):
        exported["int8.onnx"]


def test_check_has_the_model_in_memory_as_its_reference(exported, model, labels, tmp_path):
    seen = []
    found = fmnist_edge.check(
        exported,
        images(),
        labels,
        reference=model,
        report=tmp_path / "reports/parity.json",
        record=True,
        progress=lambda *step: seen.append(step),
    )
    assert found.passed and found.images == 64 and [item.outcome for item in found.verdicts] == ["pass", "pass"]
    floats = found["float32.tflite"]
    assert (floats.accuracy, floats.reference_accuracy, floats.agreement) == (1.0, 1.0, 1.0)
    assert floats.undecided == ("the verdict is inconclusive",) and floats.max_abs_delta < 1e-5
    assert any("Keras reference" in text for _, _, text in seen) and seen[-1][0] == seen[-1][1]
    rows = json.loads((tmp_path / "reports/parity.json").read_text())["rows"]
    assert [row["sha256"] for row in rows] == [file.sha256 for file in exported.files]
    assert Manifest.read(floats.path).as_dict()["parity"]["passed"] is True


def test_a_missed_gate_is_a_verdict_and_no_exception(exported, model, labels):
    turned = (labels + 1) % 3
    found = fmnist_edge.check(exported, (images(), turned), reference=model)
    assert not found.passed and {item.outcome for item in found.verdicts} == {"UNPROVEN"}
    assert "proves nothing" in found.verdicts[0].failures[0]


def test_another_model_is_no_reference(exported):
    with pytest.raises(ArtifactError, match="made from a model with SHA-256"):
        fmnist_edge.check(exported, images(), reference=of_images(4, "softmax", "shades"))


def test_bench_returns_the_cells_of_the_results_file(exported, tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "IDLE_S", 0.01)
    monkeypatch.setattr(suite, "calibrate", lambda threads: {"threads": {}})
    (tmp_path / "tiny.toml").write_text(tiny_plan(seconds=0.2, end_to_end_seconds=0.1))
    found = fmnist_edge.bench(
        exported, images(), plan=tmp_path / "tiny.toml", engine="litert", threads=1, out=tmp_path / "results"
    )
    assert found.path.is_file() and found.path.parent.name == found.device and not found.valid and found.reasons
    assert sorted(cell.artifact for cell in found.measured) == ["shades/float32.tflite", "shades/int8.tflite"]
    for cell in found.cells:
        assert (cell.status, cell.engine, cell.threads, cell.batch) == ("ok", "litert", 1, 1)
        assert (0 < cell.p50 <= cell.p90 and cell.end_to_end_p50 > 0 and cell.p99 is None) or cell.p99 >= cell.p90


@pytest.mark.slow
def test_files_in_files_out_and_the_project_file(model, labels, tmp_path, monkeypatch, capfd):
    """With paths the commands know afterwards what the API was told; and nothing is printed."""
    monkeypatch.chdir(tmp_path)
    save(model, tmp_path)
    np.savez("test.npz", x=images(), y=labels)
    (tmp_path / "names.txt").write_text("\n".join(NAMES) + "\n")
    capfd.readouterr()
    found = fmnist_edge.export(
        "shades.keras", precision="float32", format="onnx", labels="names.txt", test="test.npz", scale=1 / 255
    )
    assert found.project == Path("exported/shades/project.toml")
    verdict = fmnist_edge.check()["float32.onnx"]
    assert verdict.outcome == "pass" and verdict.accuracy == 1.0
    assert capfd.readouterr().out == ""
    text = found.project.read_text()
    again = fmnist_edge.export(str(found.project), images(), precision="float32", format="onnx", labels=NAMES)
    assert again.files[0].sha256 == found.files[0].sha256
    assert "labels" not in again.project.read_text() and "train" not in again.project.read_text(), "they were in memory"
    assert 'model = "../../shades.keras"' in text and 'labels = "../../names.txt"' in text


@pytest.mark.slow
def test_several_inputs_and_outputs(tmp_path):
    model, given = two_by_two(), views()
    found = fmnist_edge.export(model, given, precision="float32", format="onnx", out=tmp_path, name="pair")
    assert found.files[0].path == tmp_path / "pair/float32.onnx"
    verdict = fmnist_edge.check(found.files[0].path, given, reference=model).verdicts[0]
    assert verdict.passed and verdict.accuracy is None and len(verdict.report["task"]["outputs"]) == 2
    with Model.load(found.files[0].path) as run:
        assert list(run(given)) == ["steering", "mask"]


@pytest.mark.slow
def test_what_is_refused_is_named_and_the_rest_written(model, tmp_path):
    found = fmnist_edge.export(model, precision=["float32", "int8"], format="tflite", out=tmp_path)
    assert [file.path.name for file in found.files] == ["float32.tflite"]
    (refused,) = found.refused
    assert refused.path == tmp_path / "shades/int8.tflite" and "needs calibration images" in str(refused.error)
    with pytest.raises(InputError, match="needs calibration images"):
        fmnist_edge.export(model, precision="int8", format="tflite", out=tmp_path)


@pytest.mark.slow
def test_custom_objects_are_refused_by_name(tmp_path):
    import keras

    @keras.saving.register_keras_serializable("mine")
    class Twice(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2

    model = keras.Sequential([keras.Input((4, 4, 1)), Twice(name="twice"), keras.layers.Flatten()])
    with pytest.raises(CheckpointError, match="Twice"):
        fmnist_edge.export(model, precision="float32", format="tflite", out=tmp_path)


@pytest.mark.parametrize(
    ("options", "kind", "reason"),
    [
        (
            {"precison": "int8"},
            UnknownNameError,
            r"export\(\) has no option 'precison'; choose from: format",
        ),
        ({"precision": "int9"}, UnknownNameError, "no precision 'int9'"),
        ({"format": "tflight"}, UnknownNameError, "format is 'tflight'; choose from: tflite"),
        ({"io": "int4"}, UnknownNameError, "io is 'int4'; choose from"),
        ({"task": "regression"}, UnknownNameError, "task is 'regression'; expected one of classification"),
        ({"scale": "1/255"}, InputError, "scale is '1/255'; expected a finite number"),
        ({"batch": 0}, InputError, "batch is 0; expected a whole number"),
        ({"labels": ["a", ""]}, InputError, "labels are .*; expected names of one line each"),
        ({"name": "../up"}, InputError, "name is '../up'; expected the name of a folder"),
        ({"images": 3}, InputError, "images are int; expected a path, an array"),
        ({"images": iter(())}, InputError, "an iterable without an image"),
        ({"images": (images(3), [1, 2])}, InputError, "expected images and their classes"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_converted(model, tmp_path, options, kind, reason):
    with pytest.raises(kind, match=reason) as error:
        fmnist_edge.export(model, **{"out": tmp_path / "out", **options})
    assert type(error.value) is kind and "\n" not in str(error.value) and not (tmp_path / "out").exists()


def test_what_is_no_model_and_no_artifact(tmp_path):
    with pytest.raises(InputError, match="model is dict; expected a Keras model, a path, or a name of the zoo"):
        fmnist_edge.export({})
    with pytest.raises(UnknownNameError, match="no such file"):
        fmnist_edge.export("no_model")
    with pytest.raises(InputError, match="artifacts are 3; expected a path"):
        fmnist_edge.check(3)
    with pytest.raises(ArtifactError, match="none"):
        fmnist_edge.bench(tmp_path / "none")


def test_the_same_model_in_memory_is_the_same_file(model, tmp_path):
    first, second = ((tmp_path / name) for name in "ab")
    for folder in (first, second):
        folder.mkdir()
    paths = [Path(as_model(model, folder, "same")) for folder in (first, second)]
    assert paths[0].read_bytes() == paths[1].read_bytes() and [path.name for path in paths] == ["same.keras"] * 2
    other = of_images(3, "softmax", "shades")
    other.layers[1].set_weights([weight + 1 for weight in other.layers[1].get_weights()])
    assert Path(as_model(other, first, "same")).read_bytes() != paths[1].read_bytes()


def test_iterables_are_asked_for_no_more_than_is_needed(tmp_path):
    asked = []

    def endless():
        for index in range(1000):
            asked.append(index)
            yield images(4)[index % 4]

    array = np.load(as_images(endless(), tmp_path, (12, 12, 1), 6))
    assert array.shape == (6, 12, 12, 1) and (array[4] == images(4)[0]).all() and len(asked) == 6
    batches = ((images(4), np.arange(4)) for _ in range(2))
    with np.load(as_images(batches, tmp_path, (12, 12, 1))) as pair:
        assert pair["x"].shape == (8, 12, 12, 1) and pair["y"].tolist() == [0, 1, 2, 3, 0, 1, 2, 3]
    with pytest.raises(InputError, match="item 0 raised ZeroDivisionError"):
        as_images((1 / 0 for _ in range(2)), tmp_path, (12, 12, 1))
    with pytest.raises(InputError, match="different shapes"):
        as_images(iter([np.zeros((2, 2)), np.zeros((3, 3))]), tmp_path, (2, 2))


def test_labels_of_images_are_indices_or_names(tmp_path):
    assert np.load(as_labels([1, 0], tmp_path)).tolist() == [1, 0]
    assert Path(as_labels(["a", "b"], tmp_path)).read_text() == "a\nb\n"
    with pytest.raises(InputError, match="labels are float64"):
        as_labels([0.5], tmp_path)


OPTIONS = {"export": ExportOptions, "check": CheckOptions, "bench": BenchOptions}
# What a function has as an argument of its own, or what only a command line needs.
OWN = {
    "export": {"models", "json"},
    "check": {"artifacts", "report", "default_report", "record", "strict", "on", "ssh_config", "userland"},
    "bench": {
        "browser", "npm",
        "on", "ssh_config", "fail_if_slower", "out", "resume", "check_overhead", "check_cost", "tflite_runtime",
    },
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
def test_the_options_are_the_command_lines(name):
    """A new option of a command is an option of the function, or is named here."""
    (command,) = (item for item in commands() if item.name == name)
    parsed = parser_of(command).parse_args(["x"] if name == "export" else [])
    assert isinstance(parsed, argparse.Namespace)
    mine, theirs = {field.name for field in fields(OPTIONS[name])}, set(vars(parsed)) - {"command"}
    assert theirs - mine == OWN[name] and mine <= theirs
    defaults = OPTIONS[name]()
    given = {"ab": False, "artifacts": ()}
    for option in mine - {"artifacts"}:
        here, there = getattr(defaults, option), getattr(parsed, option)
        assert here == there or (not here and not there) or given.get(option) == here, option


class TestLazyNames:
    def test_importing_the_package_imports_nothing(self):
        code = "import sys; before = set(sys.modules); import fmnist_edge; print(sorted(set(sys.modules) - before))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "['fmnist_edge']"

    def test_they_are_those_of_the_module(self):
        from fmnist_edge import api

        assert sorted(api.__all__) == sorted(fmnist_edge.__all__) == ["bench", "check", "export"]
        assert fmnist_edge.export is api.export and not hasattr(fmnist_edge, "exports")

    def test_the_package_for_devices_says_that_it_has_none(self, tmp_path):
        (tmp_path / "fmnist_edge").mkdir()
        shutil.copy(fmnist_edge.__file__, tmp_path / "fmnist_edge")
        code = "import fmnist_edge; print(hasattr(fmnist_edge, 'check')); fmnist_edge.export"
        done = subprocess.run(
            [sys.executable, "-S", "-c", code], capture_output=True, text=True, cwd=tmp_path, env={}, check=False
        )
        assert done.stdout == "False\n"
        assert done.stderr.splitlines()[-1] == (
            "AttributeError: fmnist_edge.export: this is the package for devices, which cannot export; install "
            "fmnist-edge[export] on the machine that does"
        )
