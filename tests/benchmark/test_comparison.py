import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_results import cell, result, round_of, steady

from fmnist_edge.benchmark import comparison, tables
from fmnist_edge.benchmark.comparison import compare, differences


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


@pytest.mark.slow
@given(st.integers(50, 1000), st.integers(50, 1000))
@settings(max_examples=20)
def test_the_ratio_is_bs_time_by_as_and_the_other_way_its_inverse(a, b):
    there, back = ratio_of(steady(a), steady(b)), ratio_of(steady(b), steady(a))
    assert there.ratio == pytest.approx(b / a, rel=0.01)
    assert there.ratio * back.ratio == pytest.approx(1)
    assert there.lower <= there.ratio * 1.001 and there.ratio <= there.upper * 1.001
    # Between two runs, 8 % is nothing. Medians of steady rounds differ by some tenth of a microsecond.
    if abs(b / a - 1) < 0.07 or abs(b / a - 1) > 0.09:
        assert there.finding == ("same" if abs(b / a - 1) < 0.07 else "slower" if b > a else "faster")


def test_a_result_compared_with_itself_is_the_same():
    found = ratio_of(noisy(100, 1), noisy(100, 1))
    assert found.ratio == 1 and found.lower <= 1 <= found.upper and found.finding == "same"


@pytest.mark.slow
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
    assert wild.within[1] - wild.within[0] > 5 * (quiet.within[1] - quiet.within[0])
    assert wild.between > 0.08 and quiet.between == 0.08


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
    assert row["A calm p50 µs"] == "100.1" and row["B calm p50 µs"] == "200.1" and row["finding"] == "slower"
    assert row["B/A p50 [95 %]"] == "1.999 [1.851, 2.159]"
    assert row["between runs"] == "8.0%"


def runs_of(*times_us, **changes):
    """Runs of one cell at different times."""
    return [
        result(cell(rounds=steady(us), **changes), created=f"2026-01-0{day}T00:00:00+00:00")
        for day, us in enumerate(times_us, 1)
    ]


def test_two_runs_are_held_to_the_repeatability_that_they_state():
    """A run's own rounds do not show what differs between two runs, so 7 % between steady runs is nothing."""
    for us, finding in [(107, "same"), (110, "slower"), (91, "faster"), (94, "same")]:
        (found,) = compare(*runs_of(100, us))
        assert (found.finding(), found.repeats) == (finding, 0)
        assert found.ratios["engine"]["p50"].within == pytest.approx((us / 100, us / 100), rel=0.01)


def test_three_runs_or_more_give_the_spread_between_runs():
    a, b, *quiet = runs_of(1000, 1040, 1001, 999, 1002)
    (found,) = compare(a, b, repeats=[a, *quiet])
    assert (found.finding(), found.repeats) == ("slower", 4)
    assert found.ratios["engine"]["p50"].between < 0.01
    a, b, *wild = runs_of(1000, 1100, 1080, 900)
    (found,) = compare(a, b, repeats=wild)
    assert (found.finding(), found.repeats) == ("same", 3)
    (found,) = compare(a, b, repeats=wild[:1])
    assert found.repeats == 0


def test_only_the_same_file_on_the_same_engine_is_a_repeat():
    a, b = runs_of(1000, 1040)
    for change in ({"sha256": "other"}, {"engine_version": "2.0"}, {"threads": 2}, {"sha256": None}):
        (found,) = compare(a, b, repeats=runs_of(1001, 1000, 999, **change))
        assert found.repeats == 0


def test_an_invalid_cell_is_not_judged_unless_accepted():
    a, b = result(), result(cell(rounds=steady(200, other_cores=1)))
    (found,) = compare(a, b)
    assert (found.finding(), found.doubt, found.is_slower(0.1)) == ("not judged", "INVALID in B: other load", False)
    assert found.as_dict()["ratios"]["engine"]["p50"]["finding"] == "not judged"
    (found,) = compare(a, b, accept_invalid=True)
    assert (found.finding(), found.doubt, found.is_slower(0.1)) == ("slower", None, True)
    (found,) = compare(b, {**a, "interrupted": True})
    assert found.doubt == "INVALID in A: other load"


def test_counts_are_of_cells_in_both_and_missing_ones_are_named():
    a = result(cell(), cell(threads=2), cell(engine="openvino"))
    b = result(cell(rounds=steady(200)), cell(threads=2, rounds=steady(100)), cell(threads=4))
    compared = compare(a, b)
    assert tables.comparison_counts(compared) == "2 cells in both: 1 slower, 0 faster, 1 same, 0 not judged"
    assert [item.engine for item in compared if item.is_missing] == ["openvino"]
    assert tables.gone([item for item in compared if item.is_missing]) == [
        "gone from B: linear on openvino: float32.onnx"
    ]
