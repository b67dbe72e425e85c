"""Estimated latency: simulated cycles, fitted constants, and the command on committed counts."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest
from support import ROOT
from support import bench_results as bench
from support.programs import skip_where, why_it_does_not_run

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import results as bench_results
from fmnist_edge.boards.emulation import cycles, results
from fmnist_edge.boards.estimate import calibration, estimates, fitting, measured, tables
from fmnist_edge.catalog import boards
from fmnist_edge.catalog.boards import CORES
from fmnist_edge.cli import main
from fmnist_edge.errors import InputError, UnavailableError, UnknownNameError

needs_mca = skip_where([why_it_does_not_run(name) for name in ("llvm-mca", "llvm-mc")], "llvm")
NOP, FMLA = "1f2003d5", "20cc214e"  # fmla v0.4s, v1.4s, v1.4s: each depends on the one before
SWP, CALL, UNKNOWN = "2000a038", "00000094", "ffffffff"  # neoverse-n1's model has no swp


@needs_mca
class TestCycles:
    def test_a_dependent_chain_is_limited_by_latency_independent_work_by_throughput(self):
        chain, free = cycles.block_cycles([FMLA * 8, NOP * 8], "cortex-a72")
        assert chain > 3 * 8 - 1  # at least three cycles each, according to Arm's Cortex-A72 optimisation guide
        assert free < 8

    def test_are_weighted_by_executions(self):
        alone = cycles.cycles_of(Counter({FMLA * 8: 1}), "cortex-a72")
        often = cycles.cycles_of(Counter({FMLA * 8: 1000}), "cortex-a72")
        assert often["cycles"] == pytest.approx(1000 * alone["cycles"])
        assert often["scheduling"] == f"cortex-a72, llvm-mca {cycles.version()}"

    def test_cold_blocks_are_assumed_to_be_like_hot_ones(self):
        hot = cycles.cycles_of({FMLA * 8: 1000}, "cortex-a72")
        both = cycles.cycles_of({FMLA * 8: 1000, NOP: 40}, "cortex-a72")
        assert both["share"] == pytest.approx(8000 / 8040)
        assert both["cycles"] == pytest.approx(hot["cycles"] * 8040 / 8000)

    @pytest.mark.parametrize("core", CORES.values(), ids=CORES)
    def test_unknown_instructions_cost_nearly_nothing(self, core):
        known, unknown = cycles.block_cycles([NOP * 8, NOP * 4 + SWP + CALL + UNKNOWN + NOP], core.scheduling)
        assert unknown <= known + 4  # a call does not count as 100 cycles

    def test_instructions_keep_their_place_beside_unknown_ones(self):
        found = cycles.disassemble([UNKNOWN, NOP, FMLA])
        assert found == {UNKNOWN: "nop", NOP: "nop", FMLA: "fmla v0.4s, v1.4s, v1.4s"}


def test_no_simulator_says_what_to_install(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="no llvm-mc on this machine; on Debian run: apt-get install llvm"):
        cycles.cycles_of({NOP: 1}, "cortex-a72")


class TestFitting:
    def test_leave_one_out_predicts_from_the_others(self):
        pairs = [(1.0, 2.0), (2.0, 4.0), (1.0, 20.0)]
        assert fitting.constant(pairs[:2]) == pytest.approx(2)
        assert fitting.leave_one_out(pairs)[2] == pytest.approx(2 / 20 - 1)

    def test_a_boards_entry_has_the_errors_of_the_float_constant_on_integer_networks(self):
        counts = {name: {"cycles": c, "weight_bytes": 2 * c} for name, c in (("a", 1e6), ("b", 2e6), ("b_int8", 1e6))}
        figures = {"name": "B", "core": "cortex-a72", "ghz": 1.0, "published_ms": {"a": 3.0, "b": 6.0, "b_int8": 1.5}}
        made = calibration.fit_board(figures, counts)
        assert made["floats"] == {"constant": pytest.approx(3), "errors": {"b_int8": pytest.approx(1)}}
        assert made["constant"] == pytest.approx((3 * 3 * 1.5) ** (1 / 3))
        assert made["bytes_per_cycle"] == 2

    def test_weights_are_those_of_convolutions_and_matrix_products(self):
        text = "Convolution c 1 1 a b -23330=4,3,9,9,8 0=8 1=3 16=1 6=216 9=1\nReLU r 1 1 b c 6=5\n"
        text += "ConvolutionDepthWise d 1 1 c d 0=8 1=3 6=72 7=8\nInnerProduct f 1 1 d e 0=10 1=1 2=80\n"
        assert calibration.weights(text) == 216 + 72 + 80


class TestBoards:
    def test_committed_constants_follow_from_the_committed_networks(self):
        for entry in tables.fitted_boards(boards.data()):
            name, nets = entry["title"], entry["networks"].values()
            pairs = [(net["cycles"] / (entry["ghz"] * 1e6), net["published_ms"]) for net in nets]
            assert entry["constant"] == pytest.approx(fitting.constant(pairs)), name
            errors = fitting.leave_one_out(pairs)
            assert [net["error"] for net in nets] == pytest.approx(errors, abs=1e-4)
            assert entry["error"] == pytest.approx(fitting.mean_error(errors))
            assert entry["error"] < 0.15

    def test_an_unknown_one_lists_them(self):
        with pytest.raises(UnknownNameError, match="pi3, pi4, pi5, zero2"):
            boards.boards()["pi2"]


PI4 = boards.boards()["pi4"]


def emulated_cell(of, **changes):
    made = {
        "artifact": "/".join(of.path.parts[-2:]), "sha256": of.manifest.sha256, "model": of.model,
        "precision": of.precision, "engine": "litert", "instructions": 2_000_000,
        "cycles": {"cycles": 1_800_000, "scheduling": "cortex-a72", "share": 0.99},
    }  # fmt: skip
    return {**made, **changes}


ARTIFACT = Artifact.open(ROOT / "exported/compact_cnn/int8.tflite")


def estimated(*cells, core="cortex-a72"):
    return estimates.estimate(ARTIFACT, PI4, [{"core": core, "cells": list(cells)}], 0.3)


class TestEstimates:
    def test_cycles_times_the_constant(self):
        found = estimated(emulated_cell(ARTIFACT))
        assert found.milliseconds == pytest.approx(PI4.constant)  # 1.8 million cycles at 1.8 GHz
        assert (found.note, found.reason, found.instructions) == (None, None, 2_000_000)

    def test_an_estimate_from_another_file_of_the_model_and_precision_has_a_note(self):
        assert estimated(emulated_cell(ARTIFACT, sha256="other")).note == "of another file of this model and precision"
        assert estimated(emulated_cell(ARTIFACT, sha256="other", precision="float16")).milliseconds is None
        assert estimated(emulated_cell(ARTIFACT, sha256="other", artifact="compact_cnn/int8.onnx")).milliseconds is None

    def test_without_emulation_the_reason_has_the_command_to_run(self):
        for found in (estimated(), estimated(emulated_cell(ARTIFACT), core="cortex-a76")):
            assert found.milliseconds is None
            assert found.reason.startswith("never emulated; run: fmnist-edge emulate ")
            assert found.reason.endswith("compact_cnn/int8.tflite --core cortex-a72")
        assert "without llvm-mca" in estimated(emulated_cell(ARTIFACT, cycles=None)).reason

    def test_more_weights_per_cycle_than_in_the_fit_are_noted(self):
        few = emulated_cell(ARTIFACT, cycles={"cycles": ARTIFACT.size_bytes})
        assert estimated(few).note.startswith("probably slower: 1.0 bytes of weights a cycle, at most 0.")

    def test_is_always_printed_with_sign_and_error(self):
        item = estimated(emulated_cell(ARTIFACT))
        assert f"| ≈ {PI4.constant:.2f} ms ± 30 % |" in tables.shown([item], [PI4])


class TestMeasured:
    def result(self, *cells, **machine):
        return bench.result(*cells, machine=machine)

    def cell(self, us, **changes):
        return bench.cell(
            artifact="compact_cnn/int8.tflite", sha256=ARTIFACT.manifest.sha256, engine="litert",
            rounds=bench.steady(us), **changes,
        )  # fmt: skip

    def test_a_measurement_is_compared_with_its_estimate(self):
        (found,) = measured.compare(self.result(self.cell(4000)), [estimated(emulated_cell(ARTIFACT))], PI4)
        assert found.measured_ms == pytest.approx(4, rel=0.01)
        assert found.off == pytest.approx(PI4.constant / 4 - 1, rel=0.01)

    def test_refits_the_constant(self):
        items = [measured.Comparison("a", "litert", 4.0, True, 2.0), measured.Comparison("b", "litert", 8.0, True, 2.0)]
        own, error = measured.refit(PI4, items)
        assert own.constant == pytest.approx(PI4.constant * 8**0.5)
        assert error is None
        _, error = measured.refit(PI4, [*items, items[0]])
        assert error > 0

    def test_invalid_cells_do_not_decide_the_constant(self):
        items = [
            measured.Comparison("a", "litert", 4.0, True, 2.0),
            measured.Comparison("b", "litert", 9.0, False, 2.0),
        ]
        assert measured.refit(PI4, items)[0].constant == pytest.approx(PI4.constant * 2)
        assert measured.refit(PI4, items[1:])[0].constant == pytest.approx(PI4.constant * 4.5)

    @pytest.mark.parametrize("changes", [{"threads": 4}, {"batch": 8}, {"sha256": "other"}, {"engine": "numpy"}])
    def test_other_cells_are_ignored(self, changes):
        other = self.result({**self.cell(4000), **changes})
        with pytest.raises(InputError, match="no measured cell of one thread and one image"):
            measured.compare(other, [estimated(emulated_cell(ARTIFACT))], PI4)

    def test_another_architecture_is_refused(self):
        result = self.result(self.cell(4000), architecture="x86_64")
        with pytest.raises(InputError, match="'x86_64'; expected a 64-bit Arm board"):
            measured.compare(result, [estimated(emulated_cell(ARTIFACT))], PI4)

    def test_another_board_is_refused(self):
        result = self.result(self.cell(4000), cpu="ARM Cortex-A76")
        with pytest.raises(InputError, match=r"from an ARM Cortex-A76; Raspberry Pi 4B? has a cortex-a72"):
            measured.compare(result, [estimated(emulated_cell(ARTIFACT))], PI4)


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A working folder with emulated results of one artifact on one core."""
    made = {"schema": results.SCHEMA, "kind": results.KIND, "core": "cortex-a72", "qemu": "7", "packages": {}}
    results.save({**made, "cells": [emulated_cell(ARTIFACT)]}, tmp_path / "benchmarks/emulated")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, "folders", lambda: [Path("benchmarks/emulated")])
    return tmp_path


class TestCommand:
    def test_prints_and_writes_estimates_and_reasons(self, counted, capsys):
        assert main(["estimate", str(ARTIFACT.path), "--board", "pi4", "--board", "pi5"]) == 0
        output = capsys.readouterr().out
        assert "≈ 1.55 ms ± 30 %" in output
        assert "on cortex-a76: unavailable, never emulated; run: " in output
        report = json.loads((counted / "reports/estimate.json").read_text())
        assert [item["milliseconds"] is None for item in report["estimates"]] == [False, True]
        assert "Nothing here was measured on a board" in (counted / "reports/estimate.md").read_text()

    def test_what_was_emulated_elsewhere_counts_too(self, counted, monkeypatch, capsys):
        """An own emulation hides none of those that came with the package."""
        made = {"schema": results.SCHEMA, "kind": results.KIND, "core": "cortex-a76", "qemu": "7", "packages": {}}
        results.save({**made, "cells": [emulated_cell(ARTIFACT)]}, counted / "shipped")
        monkeypatch.setattr(results, "folders", lambda: [Path("benchmarks/emulated"), counted / "shipped"])
        assert main(["estimate", str(ARTIFACT.path), "--board", "pi4", "--board", "pi5"]) == 0
        assert "unavailable" not in capsys.readouterr().out

    def test_nothing_to_estimate_is_exit_code_3(self, counted):
        assert main(["estimate", str(ARTIFACT.path), "--board", "pi5"]) == 3

    def test_a_measurement_makes_its_own_constant(self, counted, capsys):
        cell = TestMeasured().cell(4000)
        file = bench_results.save(bench.result(cell), counted / "mine.json.gz")
        assert main(["estimate", str(ARTIFACT.path), "--board", "pi4", "--measured", str(file)]) == 0
        output = capsys.readouterr().out
        assert "too few cells to know its error" in output
        assert "≈ 4.00 ms ± 30 %" in output
        section = json.loads((counted / "reports/estimate.json").read_text())["measured"]
        assert section["refit"] == pytest.approx(4.0, rel=0.01)
        assert "refit on mine.json.gz: 4." in (counted / "reports/estimate.md").read_text()

    def test_a_measurement_of_which_board(self, counted, capsys):
        assert main(["estimate", str(ARTIFACT.path), "--measured", "x.json.gz"]) == 2
        assert "--measured is about one board; name it" in capsys.readouterr().err


def test_committed_counts_give_every_shipped_artifact_on_every_board():
    emulated = estimates.committed()
    for path in [*ROOT.glob("exported/*/int8.tflite"), *ROOT.glob("exported/*/float32.onnx")]:
        for board in boards.boards().values():
            found = estimates.estimate(Artifact.open(path), board, emulated, boards.ACROSS_RUNTIMES)
            assert found.milliseconds is not None, found.reason
