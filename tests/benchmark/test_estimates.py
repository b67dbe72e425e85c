import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_results import cell, result, round_of, series_of

from fmnist_edge.benchmark import estimates, validity
from fmnist_edge.benchmark.estimates import Estimate, calm_p50, estimate, p50s, p50s_of, ratio, ratio_of_runs


def rounds(*values, calls=100):
    """A round per list of the p50s of its windows."""
    return {number: [(float(p50), calls) for p50 in part] for number, part in enumerate(values)}


def test_the_p50_of_each_window_is_kept_with_its_calls():
    assert p50s(series_of([[9000], [1000, 3000, 2000], []])) == [(9.0, 1), (2.0, 3)]
    assert p50s_of(cell(rounds=[round_of(7, [[5000, 5000]])])) == {7: [(5.0, 2)]}


def test_the_calm_p50_is_that_of_the_calmest_tenth_of_the_calls():
    assert calm_p50(rounds(range(10, 30))) == 11  # two of twenty windows
    # A window with few calls, such as the rest of a round, cannot decide it.
    assert calm_p50({0: [(1.0, 3), (10.0, 100), (11.0, 100)]}) == 10


def test_a_neighbour_that_slows_most_of_the_run_does_not_move_it():
    """Half of the windows of most rounds take 1.6 times as long: another program uses the core's other thread."""
    found = estimate(rounds(*[[100, 160]] * 12, *[[160, 160]] * 8))
    assert (found.value, found.lower, found.upper, found.rounds) == (100, 100, 100, 20)


def test_where_few_rounds_were_calm_the_interval_says_so():
    found = estimate(rounds(*[[100, 100]] * 2, *[[160, 160]] * 8))
    assert found.value == 100 and found.upper == 160
    assert estimate(rounds(*[[100, 100]] * 1, *[[160, 160]] * 19)).value == 160  # fewer than a tenth


def test_a_ratio_pairs_the_rounds():
    """The machine is half as fast in later rounds, and no draw takes early rounds of one cell and late ones of the
    other. Where each is drawn on its own, the interval holds both."""
    pace = [1.0] * 2 + [2.0] * 8
    a, b = rounds(*[[30 * p] for p in pace]), rounds(*[[10 * p] for p in pace])
    assert ratio(a, b) == Estimate(3, 3, 3, 10)
    assert ratio(a, {number + 6: value for number, value in b.items()}) is None  # four rounds in common
    apart = ratio_of_runs(a, b)
    assert apart.value == 3 and apart.lower < 2 and apart.upper > 5


def test_a_cell_that_was_known_sooner_lends_all_that_is_known_to_a_ratio():
    """a was calm in all of its ten rounds, and b only after them."""
    a, b = rounds(*[[30]] * 10), rounds(*[[16]] * 10, *[[10]] * 10)
    assert ratio(a, b) == Estimate(3, 3, 3, 10)


def test_an_estimate_needs_five_rounds():
    assert ratio(rounds(*[[1]] * 4), rounds(*[[1]] * 9)) is None
    assert ratio(rounds(*[[1]] * 9), {}) is None
    assert estimate(rounds(*[[1]] * 4)) is None
    assert estimate(rounds(*[[0]] * 5)) is None


@given(st.lists(st.lists(st.floats(1, 1000), min_size=1, max_size=4), min_size=5, max_size=30))
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_its_value_and_stays_within_the_windows(values):
    made = rounds(*values)
    found = estimate(made)
    seen = [p50 for part in values for p50 in part]
    assert min(seen) <= found.lower <= found.value <= found.upper <= max(seen)
    assert estimate(made) == found


@pytest.mark.slow
@pytest.mark.parametrize("count", [10, 15, 30])
@pytest.mark.parametrize("busy", [0.0, 0.5])
def test_the_interval_of_a_ratio_holds_1_about_as_often_as_it_says(count, busy):
    """Both cells are the same thing. A neighbour slows `busy` of the rounds, some by half and some by two thirds."""
    rng = np.random.default_rng(count)

    def cells():
        pace = np.where(rng.random(count) < busy, rng.choice([1.5, 1.67], count), 1.0) * np.exp(
            rng.normal(0, 0.01, count)
        )
        return rounds(*(100 * pace[:, None] * np.exp(rng.normal(0, 0.01, (count, 4)))))

    held = [found.lower <= 1 <= found.upper for found in (ratio(cells(), cells()) for _ in range(300))]
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize(("upper", "status"), [(1.049, "VALID"), (1.051, "INVALID")])
def test_a_ratio_has_its_own_verdict(upper, status):
    found = validity.judge_ratio(Estimate(1.0, 0.99, upper, 9))
    assert found["status"] == status
    assert validity.judge_ratio(None)["reasons"][0]["rule"] == "rounds missing"


def test_a_cell_is_held_to_its_plans_precision():
    wide = [round_of(number, [[100_000 + 1000 * number] * 210] * 2) for number in range(10)]
    plan = {"rounds": 10, "precision": 0.02, "budget_seconds": 60.0}
    (found,) = result(cell(rounds=wide), plan=plan)["cells"]
    assert [reason["rule"] for reason in found["verdict"]["reasons"]] == ["interval too wide"]
    assert "±2%" in found["verdict"]["reasons"][0]["text"]
    assert found["summary"]["estimates"]["engine"]["half_width"] > 0.02
    (found,) = result(cell(rounds=wide), plan={**plan, "precision": 0.2})["cells"]
    assert found["verdict"]["status"] == "VALID"


def test_replicates_are_drawn_once(monkeypatch):
    assert estimates.drawn(5, 0) is estimates.drawn(5, 0)
