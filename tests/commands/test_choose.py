"""`choose` as scripts see it: exit codes, tables, JSON, what it measures, and budgets for `doctor` and `bench`."""

import json
import shutil
import time
from dataclasses import asdict

import pytest
from support import ROOT
from support.bench_results import cell, result, steady
from support.plans import tiny_plan
from support.ssh_board import Board, sshd

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import results, spot_check, suite
from fmnist_edge.benchmark.loop import reply_to
from fmnist_edge.cli import main
from fmnist_edge.report.choice import gather, measure
from fmnist_edge.runtime.budget import Budget

INT8, FLOAT = "exported/compact_cnn/int8.tflite", "exported/compact_cnn/float32.onnx"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with compact_cnn, its accuracies, and results in which int8 takes 100 µs and float32 200 µs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(suite, "IDLE_S", 0.01)
    monkeypatch.setattr(suite, "calibrate", lambda threads: {"threads": {}})
    for module in (suite, spot_check):  # without a process for each round
        monkeypatch.setattr(module, "run_child", lambda request, python=None: reply_to(asdict(request), None))
    only_files = shutil.ignore_patterns("*.web", "*.web.json")
    shutil.copytree(ROOT / "exported/compact_cnn", tmp_path / "exported/compact_cnn", ignore=only_files)
    hashes = {path: Artifact.open(path).manifest.sha256 for path in (INT8, FLOAT)}
    rows = [
        {"sha256": digest, "accuracy": accuracy, "reference_accuracy": 0.9324, "images": 10_000, "passed": True}
        for digest, accuracy in ((hashes[INT8], 0.9317), (hashes[FLOAT], 0.9324))
    ]
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports/parity.json").write_text(json.dumps({"source": "the test set", "rows": rows}))
    cells = [cell(sha256=hashes[INT8], engine="litert"), cell(sha256=hashes[FLOAT], rounds=steady(200))]
    results.save(result(*cells), tmp_path / "known.json.gz")
    (tmp_path / "tiny.toml").write_text(tiny_plan(rounds=5, min_queries=5))
    return tmp_path


def choose(*more, results="known.json.gz"):
    return main(["choose", "exported", *(("--results", results) if results else ()), *more])


class TestChoose:
    def test_the_files_that_keep_the_limits_come_best_first(self, place, capsys):
        assert choose("--max-latency", "1ms", "--min-accuracy", "93", "--max-drop", "0.1pp") == 0
        lines = capsys.readouterr().out.splitlines()
        assert "compact_cnn/int8.tflite  | litert" in lines[2] and "compact_cnn/float32.onnx | onnxruntime" in lines[3]
        assert "100.1 [100.1, 100.1] | yes" in lines[2] and "|      93.17 |      -0.07 |" in lines[2]
        assert any(line.startswith("CPU: this one has no int8 dot products") for line in lines)
        assert "accuracy: on 10,000 images of the test set" in lines

    def test_each_other_file_has_a_reason(self, place, capsys):
        assert choose("--max-latency", "150us", "--report", "-") == 0
        shown = capsys.readouterr()
        assert "| compact_cnn/float32.onnx | p50 200.1 [200.1, 200.1] µs in onnxruntime is above 150 µs |" in shown.err
        found = json.loads(shown.out)
        assert found["budget"] == {"max_latency_ms": 0.15}
        assert [(item["artifact"], item["satisfied"]) for item in found["files"]] == [(INT8, True), (FLOAT, False)]
        assert found["files"][0]["latencies"][0]["upper_us"] == pytest.approx(100.1, abs=0.1)

    def test_nothing_keeps_them(self, place, capsys):
        assert choose("--max-size", "1kB", "--min-accuracy", "93") == 1
        shown = capsys.readouterr()
        assert shown.err == "fmnist-edge: error: none of 2 files keeps the limits\n"
        assert "117.84 kB is more than 1 kB" in shown.out

    def test_a_file_that_is_not_the_manifests_falls(self, place, capsys):
        with open(INT8, "ab") as file:
            file.write(b"\0")
        assert choose("--max-latency", "1ms") == 0
        assert "| compact_cnn/int8.tflite | its SHA-256 is not the manifest's" in capsys.readouterr().out

    def test_what_is_known_is_not_measured(self, place, monkeypatch, capsys):
        def refuse(*_, **__):
            raise AssertionError("measured")

        monkeypatch.setattr(gather, "measured", refuse)
        monkeypatch.setattr(gather, "check", refuse)
        assert choose("--max-latency", "1ms", "--min-accuracy", "93") == 0
        assert choose("--max-latency", "1ms", results=None) not in (0, 1)
        assert "AssertionError: measured" in capsys.readouterr().err
        assert choose("--max-size", "1kB", results=None) == 1, "too large to be timed"

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            ([], "no limit; give one or more of --max-latency, --max-size, --min-accuracy, --max-drop, or --budget"),
            (["--max-size", "1MB", "--fresh"], "--fresh: cannot be used with --results"),
            (["--max-size", "1MB", "--on", "x"], "--on: cannot be used with --results"),
            (["--max-size", "1MB", "--ssh-config", "x"], "--ssh-config: cannot be used without --on"),
            (["--max-size", "1MB", "--budget", "budget.toml"], "--max-size: cannot be used with --budget"),
            (["--max-size", "1MB", "--plan", "none"], "unknown plan 'none'"),
        ],
    )
    def test_bad_input(self, place, capsys, arguments, said):
        (place / "budget.toml").write_text("min-accuracy = 93")
        assert choose(*arguments) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1

    def test_a_limit_without_its_unit_is_one_line(self, place, capsys):
        with pytest.raises(SystemExit) as done:
            choose("--max-latency", "2")
        assert done.value.code == 2
        last = capsys.readouterr().err.splitlines()[-1]
        assert "--max-latency: '2': expected a time above 0 with its unit, like 2ms or 500us" in last

    def test_latencies_that_lack_are_measured_and_kept(self, place, capsys):
        arguments = ("--max-latency", "10s", "--plan", "tiny.toml", "--report", "-")
        assert main(["choose", INT8, *arguments]) == 0
        first = json.loads(capsys.readouterr().out)
        (file,) = place.glob("benchmarks/results/*/*.json.gz")
        assert results.load(file)["cells"][0]["engine"] == "litert"
        assert main(["choose", INT8, *arguments]) == 0
        assert json.loads(capsys.readouterr().out)["files"] == first["files"], "the second time it is known"

    def test_only_the_engine_that_lacks_is_measured(self, place, capsys):
        arguments = ("--max-latency", "10s", "--plan", "tiny.toml")
        assert main(["choose", INT8, *arguments, "--engine", "litert"]) == 0
        (first,) = place.glob("benchmarks/results/*/*.json.gz")
        time.sleep(1)  # a result is named after the second in which its run began
        assert main(["choose", INT8, FLOAT, *arguments, "--engine", "litert", "--engine", "numpy"]) == 0
        (second,) = set(place.glob("benchmarks/results/*/*.json.gz")) - {first}
        found = [(item["artifact"], item["engine"]) for item in results.load(second)["cells"]]
        assert found == [("compact_cnn/int8.tflite", "numpy")]
        assert "compact_cnn/int8.tflite | litert" in capsys.readouterr().out, "as measured before"

    @pytest.mark.slow
    def test_latencies_of_a_board_are_measured_there(self, place, capsys, device_python):
        sshd()
        (place / "board").mkdir()
        board = Board(place / "board", f"{device_python.parent}:/usr/bin:/bin")
        try:
            arguments = (
                "--on",
                "board",
                "--ssh-config",
                str(board.config),
                "--engine",
                "litert",
                "--plan",
                "tiny.toml",
            )
            assert main(["choose", INT8, *arguments, "--max-latency", "10s"]) == 0
        finally:
            board.close()
        assert "compact_cnn/int8.tflite | litert" in capsys.readouterr().out
        (file,) = place.glob("benchmarks/results/*/*.json.gz")
        assert results.load(file)["cells"][0]["status"] == "ok"

    @pytest.mark.slow
    def test_accuracies_that_lack_are_measured_and_kept(self, place, capsys):
        (place / "reports/parity.json").unlink()
        arguments = ("--min-accuracy", "60", "--limit", "50", "--trained", str(ROOT / "trained_model"))
        assert choose(*arguments) == 0
        assert "accuracy: on 50 images of the Fashion-MNIST test set; these are few" in capsys.readouterr().out
        assert len(json.loads((place / "reports/parity-choose.json").read_text())["rows"]) == 2
        assert choose("--min-accuracy", "60") == 0, "known now"


class TestKeptAccuracies:
    def test_rows_of_other_files_on_the_same_images_stay(self, tmp_path):
        class Row:
            def __init__(self, sha256, accuracy):
                self.artifact = type("A", (), {"manifest": type("M", (), {"sha256": sha256})})
                self.entry = {"sha256": sha256, "accuracy": accuracy, "reference_accuracy": 0, "images": 2, "passed": 1}

            def as_dict(self):
                return self.entry

        def kept(images, *rows):
            evaluation = type("E", (), {"images": [0] * images, "source": "x"})
            measure.keep_parity(tmp_path / "kept.json", rows, evaluation)
            return {row["sha256"]: row["accuracy"] for row in json.loads((tmp_path / "kept.json").read_text())["rows"]}

        assert kept(2, Row("a", 0.1)) == {"a": 0.1}
        assert kept(2, Row("b", 0.2), Row("a", 0.3)) == {"a": 0.3, "b": 0.2}
        assert kept(1, Row("c", 0.4)) == {"c": 0.4}, "on other images"


class TestBudget:
    def test_it_is_written_where_it_is_kept(self, place, capsys):
        (place / "budget.toml").write_text('max-latency = "150us"\nmin-accuracy = 93')
        assert choose("--budget", "budget.toml") == 0
        assert "wrote the budget into 1 manifest" in capsys.readouterr().out
        assert Artifact.open(INT8).manifest.budget == Budget(max_latency_ms=0.15, min_accuracy=0.93)
        assert Artifact.open(FLOAT).manifest.budget is None

    def test_limits_that_are_options_are_not_written(self, place):
        assert choose("--max-latency", "150us") == 0
        assert Artifact.open(INT8).manifest.budget is None

    @pytest.mark.filterwarnings("ignore::fmnist_edge.runtime.PolarityWarning")  # in the child's stderr otherwise
    @pytest.mark.parametrize(("limit_ms", "code", "word"), [(10_000, 0, "kept"), (1e-6, 1, "NOT kept")])
    def test_doctor_and_bench_hold_a_device_to_it(self, place, capsys, limit_ms, code, word):
        Artifact.open(INT8).record("budget", Budget(max_latency_ms=limit_ms).as_dict())
        assert main(["doctor", INT8]) == code
        shown = capsys.readouterr()
        assert f"budget: {word}: p50 " in shown.out and ("FAILED" in shown.err) == bool(code)
        assert json.loads((place / "reports/doctor.json").read_text())["artifacts"][0]["budget"]["status"] in (
            "within",
            "over",
        )
        assert main(["bench", INT8, "--plan", "tiny.toml", "--engine", "litert"]) == code
        shown = capsys.readouterr()
        assert f"budget of compact_cnn/int8.tflite: {word}: p50 " in shown.out
        assert ("FAILED compact_cnn/int8.tflite: its budget is NOT kept" in shown.err) == bool(code)

    def test_doctor_compares_the_size(self, place, capsys):
        Artifact.open(INT8).record("budget", Budget(max_size_bytes=1000).as_dict())
        assert main(["doctor", INT8]) == 1
        assert "its budget is NOT kept: 117.84 kB is more than 1 kB" in capsys.readouterr().err
