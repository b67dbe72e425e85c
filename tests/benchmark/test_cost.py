"""What the runtime costs: that each figure is of what it says, on real children."""

import json
import subprocess
import sys

import numpy as np
import pytest

from fmnist_edge.benchmark import bare, cost, overhead
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.worker.calls import child_environment


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for module, name, value in (
        (cost, "IMPORTS", 1), (cost, "MEMORY_ROUNDS", 1), (cost, "CALLS", 5),
        (overhead, "PAIRS", 4), (overhead, "BLOCK_S", 0.001), (overhead, "WARM_UP_S", 0.001),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, value)


def test_a_limit_is_kept_up_to_itself():
    assert cost.Figure("call µs", 15, "").passed and not cost.Figure("call µs", 15.1, "").passed
    assert cost.Figure("modules", 0, "").as_dict() == {
        "kind": "modules", "value": 0, "note": "", "limit": 0, "passed": True
    }  # fmt: skip


def test_the_package():
    figures = {item.kind: item for item in cost.package_figures()}
    assert 0 < figures["import s"].value < 60
    assert figures["modules"].value == 0, figures["modules"].note
    assert cost.compressed_bytes(("runtime",)) < cost.compressed_bytes(cost.RUNTIME) < cost.compressed_bytes()


def test_a_foreign_module_is_found(monkeypatch):
    monkeypatch.setattr(
        cost, "IMPORT_PROGRAM", cost.IMPORT_PROGRAM.replace("import fmnist_edge.runtime", "import pytest")
    )
    found = next(item for item in cost.package_figures() if item.kind == "modules")
    assert found.value > 0 and "pytest" in found.note and not found.passed


def in_this_process(artifact, engine, images, whole):
    """`measure_overhead` without the child, which knows nothing of `quick` and takes seconds."""
    return overhead.measure(str(artifact), engine, np.load(images), whole=whole)


@pytest.mark.parametrize("in_child", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("name", "engine"), [("float32.onnx", "onnxruntime"), ("int8.tflite", "litert")])
def test_an_artifact(linear_models, tmp_path, monkeypatch, name, engine, in_child):
    if not in_child:
        monkeypatch.setattr(cost, "measure_overhead", in_this_process)
    np.save(tmp_path / "images.npy", np.zeros((4, 28, 28), np.uint8))
    tensor = TensorSpec("image", (None, 28, 28, 1), "int8" if "int8" in name else "float32")
    call, memory = cost.artifact_figures(linear_models[name], engine, tensor, tmp_path / "images.npy")
    assert call.kind == "call µs" and f"{name} on {engine}" in call.note
    assert -20 < memory.value < 60, "megabytes"


@pytest.mark.parametrize("whole", [True, False])
def test_a_whole_call_is_the_classifiers(linear_models, monkeypatch, whole):
    asked, call = [], Classifier.__call__
    monkeypatch.setattr(Classifier, "__call__", lambda self, image: (asked.append(image.shape), call(self, image))[1])
    images = np.zeros((4, 28, 28), np.uint8)
    found = overhead.measure(str(linear_models["int8.tflite"]), "litert", images, whole=whole)
    assert found.bare_ns > 0
    assert set(asked) == ({(28, 28)} if whole else set())


def test_the_bare_child_loads_nothing_of_ours():
    code = "import fmnist_edge.benchmark.bare, sys; print(*[n for n in sys.modules if n.startswith('fmnist_edge.')])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=child_environment(), check=True
    )
    assert done.stdout.split() == ["fmnist_edge.benchmark", "fmnist_edge.benchmark.bare"]


def test_a_file_that_cannot_run_is_a_line(tmp_path):
    np.save(tmp_path / "images.npy", np.zeros((4, 28, 28), np.uint8))
    (tmp_path / "a.onnx").write_bytes(b"nothing")
    with pytest.raises(ArtifactError) as error:
        cost.artifact_figures(
            tmp_path / "a.onnx", "onnxruntime", TensorSpec("image", (1,), "int8"), tmp_path / "images.npy"
        )
    assert "\n" not in str(error.value)


def test_resident_memory_is_of_now():
    before = bare.resident_bytes()
    held = np.ones(64 << 20, np.uint8)  # more than an allocator keeps of what was freed before
    assert bare.resident_bytes() - before > 8 << 20
    del held


@pytest.mark.parametrize(("value", "code"), [(1.0, 0), (99.0, 1)])
def test_the_command_shows_and_gates(tmp_path, monkeypatch, capsys, value, code):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fmnist_edge.commands.bench_checks.bare_pairs", lambda options: [])
    monkeypatch.setattr(cost, "package_figures", lambda: [cost.Figure("call µs", value, "of a test")])
    assert main(["bench", "--check-cost"]) == code
    assert "of a test" in capsys.readouterr().out
    saved = json.loads((tmp_path / "reports/cost.json").read_text())
    assert saved["figures"][0] == {
        "kind": "call µs",
        "value": value,
        "note": "of a test",
        "limit": 15,
        "passed": not code,
    }
