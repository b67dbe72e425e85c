import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.benchmark import series
from fmnist_edge.errors import FileError

SAMPLES = st.lists(st.integers(0, 10**12), min_size=1, max_size=60)


@given(SAMPLES)
def test_a_window_keeps_every_sample(samples):
    values, counts = series.decode(series.encode(samples))
    assert np.repeat(values, counts).tolist() == sorted(samples)


@given(st.lists(SAMPLES, max_size=5))
def test_windows_together_hold_the_samples_of_each(parts):
    windows = [series.encode(part) for part in parts]
    values, counts = series.merged(windows)
    assert np.repeat(values, counts).tolist() == sorted(sample for part in parts for sample in part)
    assert series.count_of(windows) == sum(map(len, parts))
    assert (np.diff(values) > 0).all()


@given(SAMPLES, st.integers(1, 100))
def test_percentiles_are_numpys_inverted_cdf(samples, percent):
    values, counts = series.decode(series.encode(samples))
    expected = np.percentile(samples, percent, method="inverted_cdf")
    assert series.nearest_rank(values, counts, percent) == expected


@pytest.mark.parametrize(
    "window",
    [None, [[1]], [[1, 2], [1]], [["a"], [1]], [[5, -1], [1, 1]], [[5, 0], [1, 1]], [[5], [0]], [[[1]], [[1]]]],
)
def test_what_is_no_window_is_refused(window):
    with pytest.raises(FileError, match="damaged"):
        series.decode(window)
