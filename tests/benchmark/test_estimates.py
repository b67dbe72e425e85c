import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bench_results import cell, result, round_of, series_of

from fmnist_edge.benchmark import estimates, validity
from fmnist_edge.benchmark.estimates import Estimate, estimate, interval, p50s_of, quiet_windows, ratio

QUARTER_NS = 250_000_000


def rounds(values, quiet=None):
    return {number: (value, None if quiet is None else quiet[number]) for number, value in enumerate(values)}


def noisy_series(noise):
    return {**series_of([[1000]] * len(noise)), "noise": noise}


@pytest.mark.parametrize(
    ("window", "quiet"),
    [
        ([QUARTER_NS, 0, 0], True),
        ([QUARTER_NS, 2, 0], True),
        ([QUARTER_NS, 3, 0], False),  # 12 interruptions a second
        ([QUARTER_NS, 0, 5_000_000], True),  # 2 %
        ([QUARTER_NS, 0, 10_000_000], False),  # a tick of the kernel's clock
        ([QUARTER_NS, 0, None], True),  # a machine that does not know stolen time
    ],
)
def test_a_quiet_window_is_hardly_interrupted_and_not_stolen_from(window, quiet):
    assert quiet_windows(noisy_series([window])) == [quiet]


def test_older_files_do_not_tell_what_was_quiet():
    assert quiet_windows(series_of([[1000]])) is None
    assert p50s_of(cell())[0] == (pytest.approx(100, rel=0.01), None)


def test_the_p50_of_a_round_is_also_that_of_its_quiet_windows():
    disturbed = round_of(0, [])
    disturbed["engine"] = {
        **series_of([[9000], [1000, 1000], [2000]]),
        "noise": [[QUARTER_NS, n, 0] for n in (9, 0, 1)],
    }
    disturbed["end_to_end"] = {**series_of([[9000]]), "noise": [[QUARTER_NS, 9, 0]]}
    measured = cell(rounds=[disturbed])
    assert p50s_of(measured) == {0: (1.0, 1.0)}
    disturbed["engine"]["windows"][1] = disturbed["engine"]["windows"][0]
    assert p50s_of(measured) == {0: (9.0, 2.0)}
    assert p50s_of(measured, "end_to_end") == {0: (9.0, None)}


def test_quiet_windows_count_where_five_rounds_and_half_of_all_have_them():
    values, quiet = [20.0] * 6, [10.0, 10.0, 10.0, 10.0, 10.0, None]
    assert estimate(rounds(values, quiet)) == Estimate(*[pytest.approx(10)] * 3, 5, "quiet")
    assert estimate(rounds(values, [*quiet[:4], None, None])) == Estimate(*[pytest.approx(20)] * 3, 6, "all")

    many = estimate(rounds([20.0] * 11, [10.0] * 5 + [None] * 6))
    assert (many.value, many.windows) == (pytest.approx(20), "all")


def test_a_round_with_little_quiet_time_has_no_quiet_p50():
    rest = {**series_of([[9000]] * 3 + [[1000]]), "noise": [[QUARTER_NS, 9, 0]] * 3 + [[QUARTER_NS // 2, 0, 0]]}
    assert estimates.p50s(rest) == (9.0, None)
    rest["noise"][-1] = [QUARTER_NS, 0, 0]
    assert estimates.p50s(rest) == (9.0, 1.0)


def test_a_ratio_pairs_the_rounds():
    """The machine is half as fast in every other round. Nothing of it is in the ratio."""
    pace = [1.0, 2.0] * 5
    a, b = rounds([30 * p for p in pace]), rounds([10 * p for p in pace])
    assert ratio(a, b) == Estimate(pytest.approx(3), pytest.approx(3), pytest.approx(3), 10, "all")
    assert estimate(a).half_width > 0.3
    assert ratio(a, {number + 5: value for number, value in b.items()}).rounds == 5


def test_a_ratio_needs_five_common_rounds():
    assert ratio(rounds([1.0] * 4), rounds([1.0] * 9)) is None
    assert ratio(rounds([1.0] * 9), {}) is None
    assert estimate(rounds([0.0] * 5)) is None


@given(st.lists(st.floats(1, 1000), min_size=5, max_size=30))
@settings(max_examples=40, deadline=None)
def test_an_interval_holds_its_median_and_stays_within_the_values(values):
    middle, lower, upper = interval(values)
    assert min(values) * 0.999 <= lower <= middle * 1.001 and middle <= upper * 1.001 <= max(values) * 1.002
    assert interval(values) == (middle, lower, upper)


@pytest.mark.slow
@pytest.mark.parametrize("count", [5, 8, 12, 30])
@pytest.mark.parametrize("kind", ["normal", "heavy"])
def test_the_interval_holds_the_true_median_about_as_often_as_it_says(monkeypatch, count, kind):
    rng, held = np.random.default_rng(count), []
    for _ in range(300):
        noise = rng.normal(0, 0.02, count) if kind == "normal" else 0.02 * rng.standard_t(2, count)
        _, lower, upper = interval(list(100 * np.exp(noise)))
        held.append(lower <= 100 <= upper)
    assert np.mean(held) >= 0.91


@pytest.mark.parametrize(("upper", "status"), [(1.049, "VALID"), (1.051, "INVALID")])
def test_a_ratio_has_its_own_verdict(upper, status):
    found = validity.judge_ratio(Estimate(1.0, 0.99, upper, 9, "all"))
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
    assert estimates.resamples(5, 0) is estimates.resamples(5, 0)
