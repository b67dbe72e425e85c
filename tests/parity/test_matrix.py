"""The engine matrix: cells in child processes, the comparison of scores, the tables and the command."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.installed import MICRO
from support.linear import with_manifest
from support.stand_ins import script

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.parity.c_form.scores import tflite_beside
from fmnist_edge.parity.c_form.targets import TARGETS
from fmnist_edge.parity.matrix import cell, suite, tables
from fmnist_edge.parity.matrix.suite import Choice
from fmnist_edge.runtime.manifest import ModelFile

IMAGES = np.random.default_rng(11).integers(0, 256, (230, 28, 28), dtype=np.uint8)


def task(folder: Path, artifact: Path, engine: str = "litert", limit: int = 230) -> cell.Task:
    np.save(folder / "images.npy", IMAGES)
    return cell.Task(str(artifact), engine, str(folder / "images.npy"), limit, str(folder / "scores.npy"))


def silent(_: int) -> None:
    pass


class TestCell:
    def test_scores_and_progress(self, linear_models, tmp_path):
        done = []
        answer = cell.run(task(tmp_path, linear_models["int8.tflite"], limit=205), sys.executable, done.append)
        assert answer["status"] == "ran" and answer["engine_version"].startswith("ai-edge-litert ")
        assert answer["arena"] is None
        assert done == [0, 100, 200, 205]
        scores = np.load(tmp_path / "scores.npy")
        assert (scores.shape, scores.dtype) == ((205, 10), np.float32)

    def test_a_refusal_is_one_line_without_the_path(self, linear_models, tmp_path):
        answer = cell.run(task(tmp_path, linear_models["int8.tflite"], "onnxruntime"), sys.executable, silent)
        assert answer["status"] == "failed" and answer["reason"].startswith("ONNX Runtime refuses the file")
        assert "\n" not in answer["reason"] and str(tmp_path) not in answer["reason"]

    def test_images_that_do_not_fit_are_a_reason(self, linear_models, tmp_path):
        wrong = task(tmp_path, linear_models["int8.tflite"])
        np.save(tmp_path / "images.npy", IMAGES[:, :20])
        answer = cell.run(wrong, sys.executable, silent)
        assert answer["status"] == "failed" and "image shape" in answer["reason"]

    def test_another_interpreter(self, linear_models, tmp_path):
        """A Python that has tflite_runtime, which ours does not have."""
        package = tmp_path / "tflite_runtime"
        package.mkdir()
        (package / "__init__.py").write_text("")
        (package / "interpreter.py").write_text("from ai_edge_litert.interpreter import *")
        python = script(tmp_path, f'PYTHONPATH="{tmp_path}:$PYTHONPATH" exec {sys.executable} "$@"')
        work = task(tmp_path, linear_models["int8.tflite"], "tflite-runtime")
        assert cell.run(work, sys.executable, silent)["status"] == "unavailable"
        assert cell.run(work, python, silent)["engine_version"] == "tflite-runtime unknown"

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            ("kill -SEGV $$", "crashed (SIGSEGV)"),
            ("echo bad graph >&2; kill -ABRT $$", "crashed (SIGABRT); last output: bad graph"),
            ("echo 'no numpy here' >&2; exit 3", "its process ended with code 3 (no numpy here)"),
            ("exit 0", "its process ended with code 0 (no message)"),
            ("exec sleep 60", "no progress for 1 s"),
        ],
    )
    def test_any_failure_of_the_process_is_a_reason(self, tmp_path, code, reason):
        work = task(tmp_path, tmp_path / "unread.tflite")
        answer = cell.run(work, script(tmp_path, code), silent, stall_s=1)
        assert answer == {"status": "crashed", "reason": reason}

    def test_a_missing_python(self, tmp_path):
        answer = cell.run(task(tmp_path, tmp_path / "unread.tflite"), str(tmp_path / "none"), silent)
        assert answer["status"] == "unavailable" and "did not start (No such file" in answer["reason"]


class TestAgreement:
    def test_counts_top_classes_and_ties(self):
        expected = np.array([[3, 1, 0], [1, 3, 0], [2, 2, 0], [0, 1, 3]], np.float32)
        scores = np.array([[3, 1, 0], [3, 1, 0], [1, 2, 0], [0, 1, 2]], np.float32)
        found = suite.agreement(expected, scores, gate=0.5)
        assert (found["images"], found["agreement"], found["differing"], found["ties"]) == (4, 0.5, 2, 1)
        assert found["first_differing"] == [1, 2] and found["max_abs_delta"] == 2
        assert found["bit_equal"] is False and found["passed"] is True
        assert suite.agreement(expected, scores, gate=0.75)["passed"] is True, "a tie is no disagreement"
        assert suite.agreement(expected, scores, gate=0.76)["passed"] is False

    def test_fewer_scores_are_compared_on_their_images(self):
        expected = np.eye(5, dtype=np.float32)
        found = suite.agreement(expected, expected[:3], 1.0)
        assert found["images"] == 3 and found["bit_equal"] is True and found["passed"] is True

    @pytest.mark.parametrize(("precision", "allowed"), [("int8", 10), ("int16x8", 10), ("dynamic_int8", 10),
                                                       ("float32", 1), ("float16", 1)])  # fmt: skip
    def test_gates_by_precision(self, monkeypatch, tmp_path, precision, allowed):
        """Of 10,000 images."""
        for differing in (allowed, allowed + 1):
            answers = {"litert": wrong_on(0), "litert-builtin": wrong_on(differing)}
            result = run(monkeypatch, [artifact(tmp_path, precision)], answers, images=10_000)
            (row,) = result["rows"]
            assert row["cells"][1]["passed"] is (differing == allowed)
            assert len(suite.failures(result)) == (differing > allowed)


def wrong_on(count: int):
    """Scores with top class 1 on the first `count` images and 0 on the others."""
    return lambda images: np.eye(10, dtype=np.float32)[(np.arange(images) < count).astype(int)]


def artifact(folder: Path, precision: str, suffix: str = ".tflite") -> Artifact:
    path = with_manifest(folder / f"{precision}{suffix}", b"no engine reads it")
    found = Artifact.open(path)
    recipe = get_precision(suffix.removeprefix("."), precision).recipe()
    return Artifact(path, found.manifest.with_sections({"precision": precision, "recipe": recipe}))


def run(monkeypatch, artifacts, answers, images: int = 4, **choice):
    """Run the suite with fake engines; each gives scores for a number of images, or a reason why not."""
    asked = []

    def cell_run(task, python, progress):
        asked.append((task.engine, python))
        answer = answers[task.engine]
        if isinstance(answer, str):
            words = {"not installed": "unavailable", "crashed": "crashed"}
            status = next((status for word, status in words.items() if word in answer), "failed")
            return {"status": status, "reason": answer}
        progress(task.limit)
        np.save(task.scores, answer(task.limit))
        return {"status": "ran", "engine_version": f"{task.engine} 1", "arena": None}

    monkeypatch.setattr(cell, "run", cell_run)
    engines = tuple(name for name in answers)
    progress = []
    result = suite.run(
        artifacts, np.zeros((images, 28, 28), np.uint8), Choice(engines, **choice), lambda *now: progress.append(now)
    )
    assert json.loads(json.dumps(result, allow_nan=False)) == result
    return result | {"asked": asked, "progress": progress}


class TestSuite:
    def test_cells_are_the_engines_of_the_format_default_first(self):
        names = Choice().engines_of(Path("a.tflite"))
        assert names == [
            "litert",
            "litert-builtin",
            "litert-compiled",
            "tflite-runtime",
            "tflite-micro",
            "numpy",
            "openvino",
        ]
        assert Choice(("litert-reference",)).engines_of(Path("a.tflite")) == ["litert", "litert-reference"]
        assert Choice().engines_of(Path("a.onnx"))[0] == "onnxruntime" and len(Choice().engines_of(Path("a.onnx"))) == 5
        assert Choice(("tflite-micro", "onnxruntime-basic")).engines_of(Path("a.tflite")) == ["litert", "tflite-micro"]

    def test_one_engines_failure_does_not_affect_the_others(self, monkeypatch, tmp_path):
        answers = {"litert": wrong_on(0), "litert-builtin": "no kernel for LRN", "litert-compiled": wrong_on(0)}
        result = run(monkeypatch, [artifact(tmp_path, "int8")], answers)
        reference, refused, same = result["rows"][0]["cells"]
        assert (reference["status"], refused["status"], same["status"]) == ("ran", "failed", "ran")
        assert refused["reason"] == "no kernel for LRN" and refused["passed"] is None
        assert same["bit_equal"] is True and suite.failures(result) == []
        assert result["engines"] == {"litert": "litert 1", "litert-compiled": "litert-compiled 1"}

    @pytest.mark.parametrize("engine", ["litert", "litert-builtin"])
    def test_a_crash_in_any_engine_is_a_failure(self, monkeypatch, tmp_path, engine):
        answers = {"litert": wrong_on(0), "litert-builtin": wrong_on(0), engine: "crashed (SIGSEGV)"}
        (line,) = suite.failures(run(monkeypatch, [artifact(tmp_path, "int8")], answers))
        assert f"int8.tflite in {engine}" in line and line.endswith("crashed (SIGSEGV)")

    def test_a_choice_that_leaves_nothing_to_compare(self, monkeypatch, tmp_path):
        artifacts = [artifact(tmp_path, "int8")]
        for engines in (("litert",), ("onnxruntime", "onnxruntime-basic")):
            with pytest.raises(InputError, match=f"{engines[-1]}: nothing to compare.*litert-builtin"):
                suite.run(artifacts, IMAGES, Choice(engines))
        both = [*artifacts, artifact(tmp_path, "float32", ".onnx")]
        answers = {"litert": wrong_on(0), "onnxruntime": wrong_on(0), "onnxruntime-basic": wrong_on(0)}
        assert [len(row["cells"]) for row in run(monkeypatch, both, answers)["rows"]] == [1, 2]

    def test_without_its_reference_no_other_engine_runs_and_the_artifact_fails(self, monkeypatch, tmp_path):
        answers = {"litert": "truncated or altered", "litert-builtin": wrong_on(0)}
        result = run(monkeypatch, [artifact(tmp_path, "int8")], answers)
        assert [engine for engine, _ in result["asked"]] == ["litert"]
        assert result["rows"][0]["cells"][1]["reason"] == "nothing to compare with: litert could not run it"
        (line,) = suite.failures(result)
        assert "int8.tflite in litert, its default engine: truncated or altered" in line

    def test_tflite_micro_gets_fewer_images_and_the_heading_says_so(self, monkeypatch, tmp_path):
        answers = {"litert": wrong_on(0), "tflite-micro": wrong_on(0)}
        artifacts = [artifact(tmp_path, "int8")]
        result = run(monkeypatch, artifacts, answers, images=5000, micro_images=1200)
        assert [entry["images"] for entry in result["rows"][0]["cells"]] == [5000, 1200]
        ((header, _),) = tables.grids(result, tables.Codes())
        assert header == ["artifact", "litert", "tflite-micro (1,200)"]
        assert result["progress"][-1][:2] == (6200, 6200)
        result = run(monkeypatch, artifacts, answers, images=50, micro_images=1200)
        assert next(tables.grids(result, tables.Codes()))[0][-1] == "tflite-micro"

    def test_tflite_runtime_runs_in_the_python_that_has_it(self, monkeypatch, tmp_path):
        artifacts = [artifact(tmp_path, "int8")]
        answers = {"litert": wrong_on(0), "tflite-runtime": wrong_on(0)}
        result = run(monkeypatch, artifacts, answers, tflite_runtime="/old/python")
        assert result["asked"] == [("litert", sys.executable), ("tflite-runtime", "/old/python")]
        answers["tflite-runtime"] = "not installed"
        result = run(monkeypatch, artifacts, answers)
        assert result["asked"][-1] == ("tflite-runtime", sys.executable)
        assert "--tflite-runtime" in result["rows"][0]["cells"][1]["reason"]

    def test_a_folder_of_c_runs_on_every_target_and_its_file_in_python(self, monkeypatch, tmp_path):
        tflite, folder = artifact(tmp_path, "int8"), tmp_path / "int8.c"
        folder.mkdir()
        manifest = replace(tflite.manifest, model=ModelFile("m.keras", "a" * 64))
        code = Artifact(folder, manifest)
        monkeypatch.setattr(suite, "tflite_beside", lambda path, sha256: path.with_suffix(".tflite"))
        answers = {"c": wrong_on(0), "numpy": wrong_on(0), **dict.fromkeys(TARGETS, wrong_on(0))}
        answers["cortex-m4"], answers["wasm"] = wrong_on(3), "no node"
        result = run(monkeypatch, [code], answers, images=1000, emulated_images=100)
        cells = {entry["engine"]: entry for entry in result["rows"][0]["cells"]}
        assert list(cells) == ["c", "numpy", *TARGETS]
        assert (cells["c"]["images"], cells["numpy"]["images"], cells["cortex-a53"]["images"]) == (1000, 1000, 100)
        (line,) = suite.failures(result)
        assert "int8.c in cortex-m4: 3 of 100 images" in line
        ((header, (row,)),) = tables.grids(result, tables.Codes())
        assert "cortex-m33 (100)" in header and dict(zip(header, row, strict=True))["cortex-a72 (100)"] == "="
        assert Choice().engines_of(folder) == ["c"]

    def test_a_folder_of_c_without_its_file_says_so(self, tmp_path):
        with pytest.raises(ArtifactError, match=r"no int8_only.tflite .* --format tflite --precision int8_only"):
            tflite_beside(tmp_path / "int8_only.c", "a" * 64)

    def test_no_images(self, tmp_path):
        with pytest.raises(InputError, match="no images"):
            suite.run([artifact(tmp_path, "int8")], IMAGES[:0], Choice())


class TestTables:
    def test_a_grid_per_format_with_codes_for_reasons(self, monkeypatch, tmp_path):
        answers = {
            "litert": wrong_on(0), "litert-builtin": wrong_on(1), "litert-compiled": wrong_on(0),
            "tflite-micro": "tflite-micro 7 refuses the file (LRN)", "onnxruntime": wrong_on(0),
            "onnxruntime-basic": "crashed",
        }  # fmt: skip
        kinds = [("int8", ".tflite"), ("float32", ".tflite"), ("float32", ".onnx")]
        artifacts = [artifact(tmp_path, *kind) for kind in kinds]
        code = tables.Codes()
        result = run(monkeypatch, artifacts, answers, images=1000)
        (tflite, onnx) = tables.grids(result, code)
        assert [row[1:] for row in tflite[1]] == [
            ["reference", "99.90", "=", "[1]"],
            ["reference", "99.90 FAIL", "=", "[1]"],
        ]
        assert onnx[0] == ["artifact", "onnxruntime", "onnxruntime-basic"] and onnx[1][0][1:] == ["reference", "[2]"]
        assert code.lines() == ["[1] tflite-micro 7 refuses the file (LRN)", "[2] onnxruntime-basic: crashed"]
        assert tables.arena_rows(result) == []

    def test_a_share_is_never_rounded_up_to_100(self):
        entry = {"engine": "b", "reason": None, "bit_equal": False, "agreement": 99_999 / 100_000}
        entry |= {"ties": 0, "passed": True}
        assert tables.shown(entry, {"reference": "a"}, tables.Codes()) == "99.99"
        tied = entry | {"agreement": 9987 / 10_000, "ties": 11}
        assert tables.shown(tied, {"reference": "a"}, tables.Codes()) == "99.87 (11 tied)"


class TestCommand:
    @pytest.mark.slow
    @pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")
    def test_every_engine_on_real_models(self, linear_models, tmp_path, capfd, monkeypatch):
        monkeypatch.delenv("FMNIST_EDGE_TFLITE_RUNTIME", raising=False)
        report = tmp_path / "matrix.json"
        names = ("float32.tflite", "dynamic_int8.tflite", "float32.onnx")
        paths = [str(linear_models[name]) for name in names]
        np.save(tmp_path / "images.npy", fashion_mnist.load("test").images[:50])
        images = ["--images", str(tmp_path / "images.npy"), "--limit", "40"]
        assert main(["matrix", *paths, *images, "--micro-limit", "20", "--report", str(report)]) == 0
        out = capfd.readouterr().out
        assert "Engine matrix on the first 40 of 50 images of images.npy" in out
        result = json.loads(report.read_text())
        statuses = {
            (row["artifact"].split("/")[1], entry["engine"]): entry["status"]
            for row in result["rows"]
            for entry in row["cells"]
        }
        assert len(statuses) == 19
        refused = {key for key, status in statuses.items() if status == "failed"}
        assert refused == {("dynamic_int8.tflite", "tflite-micro")}
        missing = {engine for (_, engine), status in statuses.items() if status == "unavailable"}
        assert missing - {"openvino"} == {"tflite-runtime"}
        assert (result["schema"], result["images"], result["images_of"]) == (2, 40, 50)
        assert result["machine"]["cpu"] and result["engines"]["tflite-micro"].startswith("tflite-micro ")
        arena = next(entry["arena"] for entry in result["rows"][0]["cells"] if entry["engine"] == "tflite-micro")
        assert f"{arena['total']:,}" in out and arena["total"] > 784 * 4
        for row in result["rows"]:
            for entry in row["cells"]:
                assert (entry["reason"] is None) == (entry["status"] == "ran")
                assert entry["reason"] is None or entry["reason"] in out

    def test_a_missed_gate_exits_1_with_a_line_per_cell(self, linear_models, tmp_path, capsys, monkeypatch):
        monkeypatch.setitem(suite.ENGINE_AGREEMENT, "float", 1.5)
        np.save(tmp_path / "images.npy", np.zeros((5, 28, 28), np.uint8))
        images = ["--images", str(tmp_path / "images.npy")]
        arguments = [*images, "--engine", "litert-builtin", "--report", str(tmp_path / "m.json")]
        assert main(["matrix", str(linear_models["float32.tflite"]), *arguments]) == 1
        err = capsys.readouterr().err
        failed, error = err.splitlines()
        assert failed.startswith("FAILED ") and "in litert-builtin: 0 of 5 images have another top class" in failed
        assert error == "fmnist-edge: error: 1 of 2 cells failed"
        assert json.loads((tmp_path / "m.json").read_text())["rows"][0]["cells"][1]["passed"] is False

    def test_with_no_engine_at_all_it_exits_3(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(cell, "run", lambda *_: {"status": "unavailable", "reason": "pip install x"})
        path = str(artifact(tmp_path, "float32").path)
        np.save(tmp_path / "images.npy", np.zeros((5, 28, 28), np.uint8))
        images = ["--images", str(tmp_path / "images.npy")]
        assert main(["matrix", path, *images, "--report", str(tmp_path / "m.json")]) == 3
        out, err = capsys.readouterr()
        assert "[1] litert: pip install x" in out and "no engine could run" in err
