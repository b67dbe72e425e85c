import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_results import cell, result, round_of, steady

from fmnist_edge.bench import comparison, tables
from fmnist_edge.bench.comparison import compare, differences


def noisy(us, seed, rounds=5, spread=0.01, step=1):
    rng = np.random.default_rng(seed)
    centres = us * 1000 * rng.normal(1, spread, rounds)
    return [
        round_of(number, [(rng.normal(centre, centre / 50, 110) // step * step).astype(int) for _ in range(2)])
        for number, centre in enumerate(centres)
    ]


def ratio_of(a, b, seed=0):
    (found,) = compare(result(cell(rounds=a)), result(cell(rounds=b)), seed)
    return found.ratios["engine"]["p50"]


@given(st.integers(50, 1000), st.integers(50, 1000))
@settings(max_examples=20)
def test_the_ratio_is_bs_time_by_as_and_the_other_way_its_inverse(a, b):
    there, back = ratio_of(steady(a), steady(b)), ratio_of(steady(b), steady(a))
    assert there.ratio == pytest.approx(b / a, rel=0.01)
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.lower <= there.ratio * 1.001 and there.ratio <= there.upper * 1.001
    # Medians of steady rounds differ by some tenth of a microsecond.
    assert there.finding == ("same" if abs(b - a) < 1 else "slower" if b > a else "faster")


def test_a_result_compared_with_itself_is_the_same():
    found = ratio_of(noisy(100, 1), noisy(100, 1))
    assert found.ratio == 1 and found.lower <= 1 <= found.upper and found.finding == "same"


def test_the_interval_holds_the_true_ratio_about_as_often_as_it_says(monkeypatch):
    monkeypatch.setattr(comparison, "REPLICATES", 400)
    held = []
    for seed in range(60):
        a, b = noisy(100, seed, rounds=12, step=500), noisy(120, seed + 1000, rounds=12, step=500)
        found = comparison.ratios_of(a, b, "engine", np.random.default_rng(seed))["p50"]
        held.append(found.lower <= 1.2 <= found.upper)
    assert 0.80 <= np.mean(held) <= 1  # a percentile bootstrap of a dozen rounds is somewhat narrow


def test_rounds_decide_how_sure_it_is_not_the_number_of_samples():
    quiet, wild = (ratio_of(noisy(100, 1, spread=s), noisy(100, 2, spread=s)) for s in (0.001, 0.05))
    assert wild.upper - wild.lower > 5 * (quiet.upper - quiet.lower)


def test_the_same_seed_gives_the_same_interval():
    assert ratio_of(noisy(100, 1), noisy(103, 2), 5) == ratio_of(noisy(100, 1), noisy(103, 2), 5)


@pytest.mark.parametrize(
    "us, by, slower", [(100, 0.1, False), (109, 0.1, False), (111, 0.1, True), (111, 0.2, False), (90, 0.0, False)]
)
def test_slower_is_more_than_allowed(us, by, slower):
    (found,) = compare(result(), result(cell(rounds=steady(us))))
    assert found.is_slower(by) is slower


def test_a_rise_that_may_be_chance_is_none():
    a, b = noisy(100, 3, spread=0.15), noisy(104, 8, spread=0.15)
    (found,) = compare(result(cell(rounds=a)), result(cell(rounds=b)))
    assert found.ratios["engine"]["p50"].finding == "same" and not found.is_slower(0)


def test_cells_are_matched_by_what_they_are():
    a = result(cell(), cell(threads=2), cell(engine="openvino"))
    b = result(cell(threads=2, sha256="other"), cell(artifact="new/int8.tflite"))
    found = {(item.artifact, item.engine, item.threads): item for item in compare(a, b)}
    both = found["linear/float32.onnx", "onnxruntime", 2]
    assert both.ratios and not both.same_file
    assert found["linear/float32.onnx", "onnxruntime", 1].problem == "B has no such cell"
    assert found["new/int8.tflite", "onnxruntime", 1].problem == "A has no such cell"
    assert not any(item.is_slower(0) for item in found.values())


def test_what_a_measured_and_b_could_not_run_is_a_failure_and_the_other_way_round_is_not():
    broken = cell(rounds=[], status="failed", reason="crashed")
    (lost,) = compare(result(), result(broken))
    (won,) = compare(result(broken), result())
    assert lost.is_slower(0.1) and lost.problem == "B: failed, crashed"
    assert not won.is_slower(0.1)
    assert tables.comparison_rows([lost]) == []
    assert tables.incomparable([lost, lost]) == ["B: failed, crashed (linear/float32.onnx on onnxruntime and 1 more)"]


def test_unlike_machines_are_told_apart_by_what_differs():
    other = {"cpu": "ARM Cortex-A76", "cpu_flags": ["asimd", "asimddp"], "kernel": "6.6"}
    wrong, noted = differences(result(), result(machine=other))
    assert wrong == ["cpu: A 'ARM Cortex-A72', B 'ARM Cortex-A76'", "cpu_flags: A alone has nothing, B alone asimddp"]
    assert noted == ["kernel: A '6.1', B '6.6'"]
    assert differences(result(), result()) == ([], [])


def test_an_invalid_result_is_noted_with_its_reasons():
    noisy_run = result(cell(rounds=steady(other_cores=1.0)))
    (line,) = differences(result(), noisy_run)[1]
    assert line.startswith("B is INVALID: ") and "other programs used 1.00 cores" in line


def test_a_row_shows_the_interval():
    (found,) = compare(result(), result(cell(rounds=steady(200))))
    row = dict(zip(tables.COMPARISON_HEADER, tables.comparison_rows([found])[0], strict=True))
    assert row["A p50 µs"] == "100.1" and row["B p50 µs"] == "200.1" and row["finding"] == "slower"
    assert row["B/A p50 [95 %]"] == "1.999 [1.999, 1.999]"
