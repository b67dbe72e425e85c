import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_results import cell, round_of

from fmnist_edge.benchmark import summary
from fmnist_edge.benchmark.series import encode
from fmnist_edge.errors import InputError

SAMPLES = st.lists(st.integers(1, 10**12), min_size=1, max_size=50)


@given(SAMPLES)
def test_a_distribution_is_of_every_sample(samples):
    found = summary.distribution([encode(samples)])
    assert found["count"] == len(samples)
    assert found["mean"] == pytest.approx(np.mean(samples) / 1000)
    assert (found["min"], found["max"]) == (min(samples) / 1000, max(samples) / 1000)
    assert found["min"] <= found["p50"] <= found["p90"] <= found["max"]


@given(SAMPLES, st.integers(1, 49))
def test_how_samples_fall_into_windows_does_not_matter(samples, cut):
    parts = [part for part in (samples[:cut], samples[cut:]) if part]
    assert summary.distribution([encode(part) for part in parts]) == summary.distribution([encode(samples)])


def test_the_slowest_sample_counts():
    assert summary.distribution([encode([1000] * 9 + [10**9])])["max"] == 10**6


def test_no_samples_is_an_error_not_a_zero():
    with pytest.raises(InputError, match="no samples"):
        summary.distribution([])


def fewer_than_two_beyond(count: int, percentile: float) -> float:
    """Chance that fewer than two of `count` samples lie beyond it."""
    return percentile**count + count * (1 - percentile) * percentile ** (count - 1)


def test_a_p99_needs_as_many_samples_as_its_confidence_does():
    least = summary.SAMPLES_FOR_P99
    assert fewer_than_two_beyond(least, 0.99) <= 0.01 < fewer_than_two_beyond(least - 1, 0.99)
    assert summary.distribution([encode([1] * (least - 1))])["p99"] is None
    assert summary.distribution([encode([1] * least)])["p99"] is not None


@given(st.lists(st.floats(1, 1e6), min_size=2, max_size=10), st.floats(0.1, 10))
def test_repeatability_is_a_share_and_0_for_equal_rounds(rounds, factor):
    limit = summary.repeatability(rounds)
    assert limit >= 0
    assert summary.repeatability([value * factor for value in rounds]) == pytest.approx(limit, rel=1e-6, abs=1e-9)
    assert summary.repeatability([rounds[0]] * 5) == pytest.approx(0, abs=1e-12)
    assert summary.repeatability(rounds[:1]) is None and summary.repeatability([]) is None


def test_two_runs_lie_within_the_repeatability_limit_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    runs = rng.normal(100, 2, (4000, 2, 15))
    middles = np.median(runs, axis=2)
    apart = abs(middles[:, 0] - middles[:, 1]) / 100
    limits = [summary.repeatability(run.tolist()) for run in runs[:, 0]]
    assert 0.90 < np.mean(apart <= limits) < 0.99


def test_a_cell_is_summed_up_over_its_rounds():
    rounds = [round_of(0, [[10_000, 20_000], [40_000, 40_000]]), round_of(1, [[11_000], [30_000]])]
    found = summary.summarize(cell(rounds=rounds, batch=2))
    engine = found["engine"]
    assert (engine["count"], engine["p50"], engine["max"]) == (6, 20.0, 40.0)
    assert engine["images_per_s"] == pytest.approx(2 * 6 / 151_000e-9)
    assert engine["burst_p50"] == 11.0 and engine["sustained_p50"] == 40.0
    assert engine["round_p50"] == [20.0, 11.0]
    assert engine["repeatability"]["p50"] == summary.repeatability([20.0, 11.0])
    assert found["first"]["count"] == 2 and found["roofline"] is None
    assert summary.summarize(cell(rounds=[])) is None


def test_a_round_of_a_single_window_has_no_burst_to_tell_apart():
    found = summary.summarize(cell(rounds=[round_of(0, [[10_000, 20_000]])]))
    assert found["engine"]["burst_p50"] is None and found["engine"]["sustained_p50"] is None


COMPLEXITY = {"macs": 2_000_000, "parameters": 1, "weight_bytes": 4_000_000, "activation_bytes": 1_000_000}


@pytest.mark.parametrize(
    "macs_per_s, bytes_per_s, batch, limit",
    [
        (1e10, 1e11, 1, (200.0, "compute")),
        (1e12, 1e10, 1, (500.0, "memory")),
        (1e12, 1e10, 3, (700.0, "memory")),  # weights are read once, activations three times
        (1e10, 1e10, 3, (700.0, "memory")),
        (1e10, 1e11, 3, (600.0, "compute")),
    ],
)
def test_the_roofline_is_the_slower_of_arithmetic_and_memory(macs_per_s, bytes_per_s, batch, limit):
    found, bound = summary.limit_us(COMPLEXITY, batch, macs_per_s, bytes_per_s)
    assert (pytest.approx(found), bound) == limit


def test_the_share_is_of_the_peak_of_as_many_threads():
    calibration = {"threads": {"2": {"macs_per_s": 1e10, "bytes_per_s": 1e11}}}
    rounds = [round_of(0, [[400_000]])]
    measured = cell(rounds=rounds, threads=2, complexity=COMPLEXITY)
    found = summary.summarize(measured, calibration)["roofline"]
    assert found["share_of_limit"] == pytest.approx(0.5) and found["bound"] == "compute"
    assert found["share_of_gemm_peak"] == pytest.approx(0.5) and found["macs_per_s"] == pytest.approx(5e9)
    assert summary.summarize({**measured, "threads": 1}, calibration)["roofline"] is None
    assert summary.summarize({**measured, "complexity": None}, calibration)["roofline"] is None


def test_the_repeatability_limit_is_isos():
    rounds = [100.0, 101.0, 99.0, 102.0, 98.0]
    error = math.sqrt(math.pi / 2) * statistics.stdev(rounds) / math.sqrt(5)
    assert summary.repeatability(rounds) == pytest.approx(2.772 * error / 100, rel=1e-3)
