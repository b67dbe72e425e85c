"""Two sets of artifacts in one run: `bench A B --ab`."""

import json

import numpy as np
import pytest
from support.bench_models import write_onnx
from support.bench_results import cell, result, round_of
from support.plans import tiny_plan

from fmnist_edge.benchmark import cells as bench_cells
from fmnist_edge.benchmark import results, sides, suite
from fmnist_edge.cli import main
from fmnist_edge.errors import InputError
from scripts import calibrate_ab


def side(name, us, pace, **changes):
    rounds = [round_of(number, [[round(1000 * us * share)] * 210] * 2) for number, share in enumerate(pace)]
    return cell(side=name, pair="a.onnx", artifact=f"{name}:x/a.onnx", rounds=rounds, **changes)


@pytest.mark.parametrize(
    ("b_us", "spread", "finding"),
    [(105, 0, "slower"), (95, 0, "faster"), (100, 0.005, "same"), (100, 0.2, "not known"), (150, 0.2, "slower")],
)
def test_b_is_held_against_a_round_by_round(b_us, spread, finding):
    pace = np.array([1, 2, 1.5, 1.2, 1.7, 3, 1.1, 1.4, 1.3])
    noise = 1 + spread * np.array([1, -1, 0.5, -0.5, 0.2, -0.2, 0.8, -0.8, 0])
    (pair,) = sides.pairs(result(side("A", 100, pace), side("B", b_us, pace * noise)))
    assert pair.finding == finding
    assert pair.is_slower(0.04) == (finding == "slower") and not pair.is_slower(0.7)


def test_only_pairs_of_one_engine_and_setting_are_compared():
    pace = [1] * 5
    assert sides.pairs(result()) == []
    assert sides.pairs(result(side("A", 100, pace), side("B", 100, pace, threads=2))) == []
    failed = side("B", 100, [], status="failed", reason="crashed")
    (pair,) = sides.pairs(result(side("A", 100, pace), failed))
    assert (pair.finding, pair.is_slower(0.1)) == ("not known", True)
    assert sides.rows([pair])[0][4:] == ["–", "–", "–", "INVALID", "not known"]


@pytest.fixture
def models(tmp_path):
    return [write_onnx(tmp_path / name) for name in ("old/x/float32.onnx", "new/x/float32.onnx", "old/y/float32.onnx")]


def test_files_pair_by_their_path_below_the_folders(models, tmp_path):
    made = bench_cells.paired_cells(tmp_path / "old", tmp_path / "new", (1, 2), ("onnxruntime",))
    assert [(cell.side, cell.pair, cell.threads) for cell in made] == [
        (name, "x/float32.onnx", threads) for threads in (1, 2) for name in "AB"
    ]
    assert made[0].name == "A:x/float32.onnx"
    assert bench_cells.is_counterpart(made[0], made[1]) and not bench_cells.is_counterpart(made[0], made[3])
    with pytest.raises(InputError, match="has a counterpart"):
        bench_cells.paired_cells(tmp_path / "old/x", tmp_path / "old", (1,), ("onnxruntime",))


def test_two_files_pair_whatever_their_names(models):
    made = bench_cells.paired_cells(models[0], models[2], (1,), ("onnxruntime",))
    assert [(cell.side, cell.artifact) for cell in made] == [("A", models[0]), ("B", models[2])]


class TestCommand:
    @pytest.fixture
    def call(self, models, tmp_path, monkeypatch):
        monkeypatch.setattr(suite, "IDLE_S", 0.01)
        monkeypatch.setattr(suite, "calibrate", lambda threads: {"threads": {}})
        monkeypatch.chdir(tmp_path)
        (tmp_path / "tiny.toml").write_text(tiny_plan(rounds=5, min_queries=10, warm_up_runs=2))
        return ["bench", "old", "new", "--ab", "--plan", "tiny.toml", "--engine", "onnxruntime"]

    @pytest.mark.slow
    def test_the_ratio_is_printed_and_gates(self, call, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(suite, "measure_cell", calibrate_ab.planted(suite.measure_cell, 100))
        assert main(call) == 0
        out = capsys.readouterr().out
        assert "| x/float32.onnx | onnxruntime |" in out and "slower" in out
        (file,) = tmp_path.glob("benchmarks/results/*/*")
        assert [item["side"] for item in results.load(file)["cells"]] == ["A", "B"]
        file.unlink()
        assert main([*call, "--fail-if-slower", "3%"]) == 1
        assert "FAILED B:x/float32.onnx on onnxruntime: slower than A" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            (["bench", "old", "--ab"], "--ab with 1 paths; expected two"),
            (["bench", "old", "--fail-if-slower", "0%"], "--fail-if-slower: cannot be used without --ab"),
            (["bench", "old", "new", "--ab", "--on", "host"], "cannot be used with"),
        ],
    )
    def test_misuse_is_one_line(self, call, capsys, arguments, text):
        assert main(arguments) == 2
        assert text in capsys.readouterr().err


def test_the_experiment_counts_findings(tmp_path, monkeypatch):
    runs = iter(["same", "slower", "slower", "not known"])
    line = {"ratio": 1.0, "lower": 0.98, "upper": 1.01, "seconds": 7.0, "other_cores": 1.0}
    monkeypatch.setattr(calibrate_ab, "one_run", lambda *given: {"finding": next(runs), **line})
    out = tmp_path / "ab.jsonl"
    calibrate_ab.main(["a.tflite", "--repeats", "2", "--out", str(out)])
    calibrate_ab.main(["a.tflite", "--repeats", "2", "--out", str(out)])  # nothing is run again
    lines = [json.loads(text) for text in out.read_text().splitlines()]
    rows = calibrate_ab.summary(lines).splitlines()[2:]
    assert [[part.strip() for part in row.split("|")[1:8]] for row in rows] == [
        ["0 %", "2", "1", "0", "1", "0", "±2.0 %"],
        ["5 %", "2", "1", "0", "0", "1", "±2.0 %"],
    ]
