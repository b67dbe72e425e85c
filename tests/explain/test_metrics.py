"""The metrics of `explain`: values for known arrays, and properties for all arrays."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from fmnist_edge.explain.metrics import Comparison, Saturation
from fmnist_edge.runtime.engine import TensorSpec

FINITE = st.floats(-(2.0**60), 2.0**60, width=32)


@st.composite
def pairs(draw, elements=FINITE):
    """Two float32 arrays of the same shape."""
    shape = draw(array_shapes(max_dims=3, max_side=6))
    return tuple(draw(arrays(np.float32, shape, elements=elements)) for _ in range(2))


def compared(*parts: tuple[np.ndarray, np.ndarray]) -> Comparison:
    comparison = Comparison()
    for reference, candidate in parts:
        comparison.add(reference, candidate)
    return comparison


def test_known_values():
    found = compared((np.array([3.0, 4.0]), np.array([3.0, 3.5])))
    assert found.sqnr_db == pytest.approx(10 * math.log10(25 / 0.25)) == pytest.approx(20)
    assert found.cosine == pytest.approx((9 + 14) / (5 * math.hypot(3, 3.5)))
    assert found.max_abs_error == 0.5 and not found.exact


def test_opposite_arrays_have_a_cosine_of_minus_one():
    assert compared((np.array([3.0, 4.0]), np.array([-6.0, -8.0]))).cosine == pytest.approx(-1)


@given(pairs())
def test_equal_arrays_are_exact_and_have_no_sqnr(pair):
    found = compared((pair[0], pair[0]))
    assert found.exact and found.sqnr_db is None and found.max_abs_error == 0
    assert found.cosine is None or found.cosine == pytest.approx(1)


@given(pairs(), st.sampled_from([2.0**-20, 0.25, 2.0, 1024.0]))
def test_scaling_both_changes_nothing_but_the_largest_error(pair, factor):
    plain, scaled = compared(pair), compared(tuple(array * np.float64(factor) for array in pair))
    assert scaled.sqnr_db == (plain.sqnr_db if plain.sqnr_db is None else pytest.approx(plain.sqnr_db, abs=1e-6))
    assert scaled.max_abs_error == plain.max_abs_error * factor
    assert scaled.cosine == (plain.cosine if plain.cosine is None else pytest.approx(plain.cosine, abs=1e-6))


@given(pairs(), st.integers(0, 5))
def test_pieces_add_up_to_the_whole(pair, cut):
    whole, pieces = compared(pair), compared(*((a, b) for a, b in zip(*(np.array_split(x, cut + 1) for x in pair))))  # noqa: B905
    for name, value in whole.as_dict().items():
        assert pieces.as_dict()[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, float) else value)


@given(pairs(), st.floats(1.5, 100))
def test_more_noise_is_a_lower_sqnr(pair, factor):
    reference, candidate = (array.astype(np.float64) for array in pair)
    near, far = compared((reference, candidate)), compared((reference, reference + factor * (candidate - reference)))
    if near.sqnr_db is not None and far.sqnr_db is not None:
        assert far.sqnr_db == pytest.approx(near.sqnr_db - 20 * math.log10(factor), abs=0.1)


@given(pairs(elements=st.floats(width=32)))
def test_any_comparison_is_valid_json(pair):
    written = compared(pair).as_dict()
    json.dumps(written, allow_nan=False)
    assert written["non_finite"] == int((~np.isfinite(pair[0]) | ~np.isfinite(pair[1])).sum())
    assert not (written["non_finite"] and (written["exact"] or written["sqnr_db"] is not None))


def test_sums_are_not_computed_in_float32():
    """Ten million ones, and a small error that float32 would lose."""
    ones = np.ones(10_000_000, np.float32)
    found = compared((ones, ones - np.float32(1e-4)), (ones, ones))
    assert found.signal == 2e7
    assert found.sqnr_db == pytest.approx(83.0, abs=0.02)


class TestSaturation:
    def share(self, integers, zero_point=0, dtype="int8"):
        saturation = Saturation(TensorSpec("t", (None,), dtype, 0.1, zero_point))
        for part in np.array_split(np.array(integers, dtype), 2):
            saturation.add(part)
        return saturation.share

    def test_counts_both_limits(self):
        assert self.share([-128, -127, 0, 126, 127, 127, 5, 5]) == 3 / 8

    def test_a_limit_at_the_zero_point_does_not_count(self):
        assert self.share([-128, -128, -128, 127], zero_point=-128) == 1 / 4
        assert self.share([0, 0, 0, 255], zero_point=0, dtype="uint8") == 1 / 4
        assert self.share([127, 127, -128, 0], zero_point=127) == 1 / 4

    def test_limits_are_those_of_the_type(self):
        assert self.share([-32768, 32767, 127, -128], dtype="int16") == 1 / 2

    @given(arrays(np.int8, st.integers(1, 50)), st.integers(-128, 127))
    def test_is_a_share(self, integers, zero_point):
        expected = sum((value == -128 and zero_point != -128) or (value == 127 != zero_point) for value in integers)
        assert self.share(integers, zero_point) == expected / len(integers)

    def test_floats_have_none(self):
        saturation = Saturation(TensorSpec("t", (None,), "float32"))
        saturation.add(np.array([1e30, -1e30], np.float32))
        assert saturation.share is None
