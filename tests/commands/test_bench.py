"""`bench` and `compare` as scripts see them: exit codes, one-line errors, files."""

import json
import re
from types import SimpleNamespace

import pytest
from support.bench_models import write_onnx
from support.bench_results import cell, result, steady
from support.plans import tiny_plan

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import environment, overhead, results, suite
from fmnist_edge.cli import main
from fmnist_edge.commands import bench


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "IDLE_S", 0.01)
    monkeypatch.setattr(suite, "calibrate", lambda threads: {"threads": {}})
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.toml").write_text(tiny_plan())
    write_onnx(tmp_path / "exported/linear/float32.onnx")
    return "tiny.toml"


def fails(capsys, arguments, code, *said):
    capsys.readouterr()
    assert main(arguments) == code
    err = capsys.readouterr().err
    lines = [line for line in err.splitlines() if line.startswith("fmnist-edge: error: ")]
    assert len(lines) == 1, err
    for part in said:
        assert part in lines[0]


class TestTimeLeft:
    """What is announced after the first round is right within 30 %, however slow the cells are."""

    @pytest.mark.parametrize("seconds_a_cell", [0.2, 9.0])
    def test_it_is_announced_once(self, monkeypatch, capsys, seconds_a_cell):
        now = [100.0]
        monkeypatch.setattr(bench.time, "monotonic", lambda: now[0])
        session = SimpleNamespace(cells=[1, 2, 3], entries={}, plan=SimpleNamespace(rounds=5))
        progress = bench.TimeLeft(session, lambda *_: None)
        announced_at = None
        for done in range(3 * 6 + 1):
            progress(done, 3 * 6, "a cell")
            if announced_at is None and (err := capsys.readouterr().err):
                number, unit = re.findall(r"about ([\d.]+) (s|min) left", err)[0]
                announced_at, announced = now[0], float(number) * {"s": 1, "min": 60}[unit]
            now[0] += 0.5 if done < 3 else seconds_a_cell  # the pass for memory is shorter
        assert announced == pytest.approx(now[0] - seconds_a_cell - announced_at, rel=0.3)
        assert not capsys.readouterr().err

    def test_a_resumed_run_announces_nothing(self, capsys):
        session = SimpleNamespace(cells=[1], entries={(0, 0): {}}, plan=SimpleNamespace(rounds=5))
        for done in range(7):
            bench.TimeLeft(session, lambda *_: None)(done, 6, "a cell")
        assert not capsys.readouterr().err


class TestBench:
    def test_a_run_prints_its_table_and_verdict_and_writes_its_file(self, plan, tmp_path, capsys):
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 0
        out = capsys.readouterr().out
        (file,) = tmp_path.glob("benchmarks/results/*/*")
        assert "| linear/float32.onnx | onnxruntime |" in out and "INVALID" in out
        assert f"wrote {file.relative_to(tmp_path)}" in out
        assert results.load(file)["plan"]["name"] == "tiny"

    def test_on_a_read_only_disk_the_results_are_printed(self, plan, tmp_path, capsys):
        (tmp_path / "benchmarks").write_text("in the way")
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 0
        shown = capsys.readouterr()
        assert "| linear/float32.onnx | onnxruntime |" in shown.out and "wrote" not in shown.out
        assert "note: no results file is kept: benchmarks/results/.writable: cannot be written (" in shown.err
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime", "--out", "benchmarks/results"]) == 2

    @pytest.mark.parametrize(
        ("flags", "weights", "told"),
        [(["avx2"], "int8", True), (["avx2"], "float32", False), (["avx2", "avx_vnni"], "int8", False),
         (None, "int8", False)],
    )  # fmt: skip
    def test_a_cpu_without_int8_instructions_is_named_under_int8_files(
        self, plan, tmp_path, capsys, monkeypatch, flags, weights, told
    ):
        monkeypatch.setattr(environment, "cpu_flags", lambda cpu: flags)
        monkeypatch.setattr(environment.platform, "machine", lambda: "x86_64")
        recipe = {"weights": weights, "activations": weights}
        Artifact.open(tmp_path / "exported/linear/float32.onnx").record("recipe", recipe)
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 0
        line = "note: this CPU has no int8 dot products (VNNI), and 1 file measured here computes in int8: "
        assert (line in capsys.readouterr().out) == told

    def test_accuracies_are_taken_from_the_parity_report_that_is_there(self, plan, tmp_path, capsys):
        digest = json.loads((tmp_path / "exported/linear/float32.onnx.json").read_text())["sha256"]
        row = {"sha256": digest, "accuracy": 0.5, "reference_accuracy": 0.5, "images": 9, "passed": True}
        (tmp_path / "reports").mkdir()
        (tmp_path / "reports/parity.json").write_text(json.dumps({"source": "nine images", "rows": [row]}))
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 0
        (file,) = tmp_path.glob("benchmarks/results/*/*")
        assert results.load(file)["cells"][0]["accuracy"]["source"] == "nine images"

    def test_ctrl_c_says_how_to_go_on_and_going_on_ends_it(self, plan, tmp_path, capsys, monkeypatch):
        measured = suite.measure_cell
        monkeypatch.setattr(suite, "measure_cell", lambda *what: interrupt() if what[1] == 0 else measured(*what))

        def interrupt():
            raise KeyboardInterrupt

        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 130
        said = capsys.readouterr().err
        command = said[said.index("bench --resume") :].split()
        monkeypatch.setattr(suite, "measure_cell", measured)
        assert main(command) == 0
        (file,) = tmp_path.glob("benchmarks/results/*/*")
        assert results.load(file)["cells"][0]["status"] == "ok"

    @pytest.mark.slow
    def test_only_what_can_not_run_has_an_exit_code_of_its_own(self, plan, tmp_path, capsys, monkeypatch):
        (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 3
        assert "unavailable: onnxruntime: " in capsys.readouterr().out
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        (tmp_path / "exported/linear/float32.onnx").write_bytes(b"nothing")
        assert main(["bench", "--plan", plan, "--engine", "onnxruntime"]) == 1
        assert "failed: onnxruntime: " in capsys.readouterr().out

    @pytest.mark.parametrize(
        "arguments, said",
        [
            (["--plan", "quik"], ["unknown plan 'quik'", "Did you mean 'quick'?"]),
            (["--plan", "none.toml"], ["none.toml: cannot be read"]),
            (["--resume", "none.partial.jsonl"], ["no such file"]),
            (
                ["--resume", "a", "--plan", "quick", "exported"],
                ["artifacts, --plan: cannot be used with --resume", "leave them out"],
            ),
            (["nowhere"], ["no such file"]),
            (["--batch", "7"], ["with a batch of 7"]),
            (["--parity", "tiny.toml"], ["not a report of `fmnist-edge check`"]),
            (["--check-overhead", "--engine", "onnxruntime-basic"], ["bare loop"]),
        ],
    )
    def test_bad_input_is_one_line(self, plan, capsys, arguments, said):
        fails(capsys, ["bench", *arguments], 2, *said)

    def test_the_overhead_is_shown_and_gated(self, plan, capsys, monkeypatch):
        found = [overhead.Overhead(10_000, 500, 400, 600)]
        monkeypatch.setattr(overhead, "measure_overhead", lambda path, engine, images: found[0])
        assert main(["bench", "--check-overhead"]) == 0
        assert "+0.50 [+0.40, +0.60]" in capsys.readouterr().out
        found[0] = overhead.Overhead(10_000, 2500, 2400, 2600)
        assert main(["bench", "--check-overhead"]) == 1
        found[0] = "it crashed"
        assert main(["bench", "--check-overhead"]) == 1
        assert "it crashed" in capsys.readouterr().err


class TestCompare:
    @pytest.fixture
    def saved(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        made = {
            "a": result(),
            "slower": result(cell(rounds=steady(120))),
            "broken": result(cell(rounds=[], status="failed", reason="crashed")),
            "elsewhere": result(machine={"cpu": "ARM Cortex-A76", "device": "other"}),
            "unrelated": result(cell(artifact="other/int8.tflite")),
        }
        return {name: str(results.save(item, tmp_path / f"{name}.json.gz")) for name, item in made.items()}

    def test_ratios_are_printed_and_written(self, saved, tmp_path, capsys):
        assert main(["compare", saved["a"], saved["slower"]]) == 0
        out = capsys.readouterr().out
        assert "1.200 [1.111, 1.296]" in out and "1 cells in both: 1 slower" in out and "slower" in out
        report = json.loads((tmp_path / "reports/compare.json").read_text())
        assert report["cells"][0]["ratios"]["engine"]["p50"]["ratio"] == pytest.approx(1.2, rel=0.01)
        assert (report["a"], report["b"], report["unlike"]) == ("a.json.gz", "slower.json.gz", [])

    @pytest.mark.parametrize("limit, code", [("10%", 1), ("10", 1), ("19.5", 1), ("25%", 0), ("0%", 1)])
    def test_a_rise_beyond_the_limit_exits_1(self, saved, capsys, limit, code):
        assert main(["compare", saved["a"], saved["slower"], "--fail-if-slower", limit]) == code
        assert ("more than" in capsys.readouterr().err) == bool(code)

    def test_what_got_faster_or_stayed_passes(self, saved):
        assert main(["compare", saved["slower"], saved["a"], "--fail-if-slower", "0%"]) == 0
        assert main(["compare", saved["a"], saved["a"], "--fail-if-slower", "0%"]) == 0

    def test_a_cell_that_failed_in_b_has_nothing_to_compare(self, saved, capsys):
        fails(capsys, ["compare", saved["a"], saved["broken"], "--fail-if-slower", "10%"], 1, "1 of 1 cells")
        fails(capsys, ["compare", saved["a"], saved["unrelated"]], 2, "no measured cell in common")

    def test_a_cell_gone_from_b_is_named_and_fails_if_asked(self, saved, tmp_path, capsys):
        both = results.save(result(cell(), cell(threads=2)), tmp_path / "both.json.gz")
        pair = ["compare", str(both), saved["a"]]
        assert main(pair) == 0
        assert "gone from B: linear on onnxruntime: float32.onnx (2 threads)" in capsys.readouterr().out
        fails(capsys, [*pair, "--fail-if-missing"], 1, "1 cells of A are gone from B")
        assert main(["compare", saved["a"], str(both), "--fail-if-missing"]) == 0

    def test_invalid_cells_fail_only_if_accepted(self, saved, tmp_path, capsys):
        busy = results.save(result(cell(rounds=steady(200, other_cores=1))), tmp_path / "busy.json.gz")
        call = ["compare", saved["a"], str(busy), "--fail-if-slower", "10%"]
        assert main(call) == 0
        assert "not judged: INVALID in B: other load" in capsys.readouterr().out
        assert main([*call, "--accept-invalid"]) == 1

    def test_repeated_runs_are_read_from_a_folder(self, saved, tmp_path, capsys):
        (tmp_path / "nightly").mkdir()
        fails(capsys, ["compare", saved["a"], saved["a"], "--repeats", "nightly"], 2, "no results file")
        for day in (3, 4, 5):
            made = result(cell(rounds=steady(100 + day)), created=f"2026-02-0{day}T00:00:00+00:00")
            results.save(made, tmp_path / f"nightly/{day}.json.gz")
        assert main(["compare", saved["a"], saved["slower"], "--repeats", "nightly"]) == 0
        report = json.loads((tmp_path / "reports/compare.json").read_text())
        assert (report["schema"], report["cells"][0]["repeats"]) == (2, 4)
        other = ["compare", saved["a"], saved["slower"], "--repeats", saved["elsewhere"]]
        fails(capsys, other, 2, "of another machine than A")

    def test_unlike_machines_are_refused_with_what_differs_unless_forced(self, saved, capsys):
        pair = ["compare", saved["a"], saved["elsewhere"]]
        fails(capsys, pair, 2, "device: A 'a-board', B 'other'; cpu: A 'ARM Cortex-A72'", "--force")
        assert main([*pair, "--force"]) == 0
        assert "note: cpu: A 'ARM Cortex-A72'" in capsys.readouterr().err

    def test_another_schema_is_refused_forced_or_not(self, saved, tmp_path, capsys):
        other = tmp_path / "other.json"
        other.write_text(json.dumps({**result(), "schema": 1}))
        for more in ([], ["--force"]):
            fails(capsys, ["compare", saved["a"], str(other), *more], 2, "schema is 1, this version reads 2 to 5")
        fails(capsys, ["compare", saved["a"], "none"], 2, "none: no such file")

    @pytest.mark.parametrize("text", ["-1", "ten", "nan%"])
    def test_a_limit_that_is_none_is_a_usage_error(self, saved, text, capsys):
        with pytest.raises(SystemExit) as done:
            main(["compare", saved["a"], saved["a"], f"--fail-if-slower={text}"])
        assert done.value.code == 2
