"""The sigmoid fit of local response normalisation: it is close, and within the bounds that int8 needs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_edge.exporters.lrn import (
    BINS,
    BLOCK,
    MAX_HEIGHT,
    MAX_SAMPLE,
    MAX_SHIFT,
    MAX_TERMS,
    TOLERANCE,
    Fit,
    Term,
    block_kernel,
    fit_inverse_power,
    histogram,
    with_distinct_shifts,
)
from fmnist_edge.models.layers import band_matrix

# Like the energies in trained networks: many are small, and the tail is long.
samples = st.builds(
    lambda mean, shape, seed: np.random.default_rng(seed).gamma(shape, mean / shape, 20_000),
    st.floats(0.01, 10),
    st.floats(0.3, 3),
    st.integers(0, 2**32 - 1),
)


def relative_error(fit, energy, squares, bias=1.0, beta=0.5):
    """RMS of x · (fit - exact) over RMS of x · exact."""
    exact = (bias + energy) ** -beta
    return np.sqrt(np.mean(squares * (fit(energy) - exact) ** 2) / np.mean(squares * exact**2))


@pytest.mark.slow
@given(samples)
@settings(max_examples=25, deadline=None)
def test_fits_are_close_and_bounded(energy):
    fit = fit_inverse_power(energy, energy / 11)
    error = relative_error(fit, energy, energy / 11)
    assert error <= 2 * TOLERANCE
    assert fit.rms_error == pytest.approx(error, rel=0.35, abs=5e-4)
    assert 1 <= len(fit.terms) <= MAX_TERMS
    for term in fit.terms:
        assert abs(term.shift) <= MAX_SHIFT
        assert 0 <= term.height <= MAX_HEIGHT
        assert term.slope < 0
    assert fit.max_energy == pytest.approx(energy.max(), rel=1e-5)


def test_a_wide_spread_takes_more_terms_than_a_narrow_one():
    rng = np.random.default_rng(0)
    narrow, wide = rng.uniform(0, 1, 5000), rng.gamma(0.6, 100, 5000)
    assert len(fit_inverse_power(narrow, narrow).terms) == 1
    assert len(fit_inverse_power(wide, wide).terms) > 1


def test_the_error_counts_where_the_square_is_large():
    """The factor's error is weighted by x²: of two energies, the one with the larger square is fitted better."""
    energy = np.random.default_rng(0).gamma(0.6, 1000, 5000)
    small = fit_inverse_power(energy, np.where(energy < 200, 1.0, 1e-3))
    large = fit_inverse_power(energy, np.where(energy < 200, 1e-3, 1.0))
    low, high = np.linspace(1, 100, 50), np.linspace(500, 2000, 50)
    ones = np.ones(50)
    assert relative_error(small, low, ones) < relative_error(large, low, ones)
    assert relative_error(large, high, ones) < relative_error(small, high, ones)


def test_heights_are_no_larger_than_the_factor_needs():
    """int8 has 256 steps for each sigmoid. With a height of 4, a factor of 0.03 would have only eight."""
    energy = np.random.default_rng(0).gamma(2, 1000, 5000)
    fit = fit_inverse_power(energy, energy)
    assert fit(np.zeros(1)) < 0.3 and sum(term.height for term in fit.terms) < 0.6


@pytest.mark.parametrize(("bias", "beta"), [(2.0, 0.5), (0.5, 0.5), (1.0, 0.75), (4.0, 1.0)])
def test_other_biases_and_powers(bias, beta):
    energy = np.random.default_rng(1).gamma(1, 2, 5000)
    fit = fit_inverse_power(energy, energy, bias=bias, beta=beta)
    assert relative_error(fit, energy, energy, bias, beta) <= 2 * TOLERANCE


def test_the_same_sample_gives_the_same_fit():
    energy = np.random.default_rng(2).gamma(1, 2, 5000)
    assert fit_inverse_power(energy, energy) == fit_inverse_power(energy.copy(), energy.copy())


@pytest.mark.parametrize("energy", [np.zeros(100), np.full(100, 3.0), np.array([0.5])])
def test_a_layer_with_one_energy_or_none(energy):
    fit = fit_inverse_power(energy, energy)
    assert fit(energy) == pytest.approx((1 + energy) ** -0.5, rel=TOLERANCE)


def test_a_term_is_a_scaled_sigmoid():
    fit = Fit(0.25, (Term(2.0, -1.0, 0.5), Term(1.0, 0.0, 0.0)), 0.0, 1.0)
    assert fit(np.array([0.5])) == pytest.approx([0.25 + 2.0 * 0.5 + 0.5])


def test_energies_over_many_orders_of_magnitude():
    energy = np.concatenate([np.full(19_990, 1e-3), np.full(10, 5e3)])
    squares = np.concatenate([np.full(19_990, 1.0), np.full(10, 1e-3)])
    fit = fit_inverse_power(energy, squares)  # without an overflow warning for large energies
    assert relative_error(fit, energy, squares) <= TOLERANCE


def test_sampling_reaches_all_channels():
    energy = np.broadcast_to(np.arange(64.0), (MAX_SAMPLE, 64))
    values, shares = histogram(energy.ravel(), np.ones(energy.size))
    assert values @ shares == pytest.approx(31.5, rel=1e-3)
    assert (values[0], values[-1]) == (0, 63)


@pytest.mark.parametrize("power", [0, 1])
def test_histogram_keeps_the_weighted_mean(power):
    sample = np.random.default_rng(3).gamma(1, 2, 12_345)
    values, shares = histogram(sample, sample**power)
    assert shares.sum() == pytest.approx(1)
    assert values @ shares == pytest.approx((sample ** (power + 1)).sum() / (sample**power).sum())
    assert shares.max() < 3 / BINS and (np.diff(values) > 0).all()


@given(st.integers(0, BLOCK), st.integers(1, 4))
@settings(max_examples=20, deadline=None)
def test_blocks_sum_the_channels_that_the_band_matrix_sums(radius, blocks):
    squares = np.random.default_rng(radius).uniform(0, 1, (3, blocks * BLOCK))
    padded = np.pad(squares.reshape(3, blocks, BLOCK), ((0, 0), (1, 1), (0, 0)))
    windows = np.concatenate([padded[:, :-2], padded[:, 1:-1], padded[:, 2:]], axis=2)
    sums = windows @ block_kernel(radius).reshape(3 * BLOCK, BLOCK)
    assert sums.reshape(squares.shape) == pytest.approx(squares @ band_matrix(blocks * BLOCK, radius))


@given(st.lists(st.sampled_from([-2.0, -1.99998, -0.5, 0.0, 2.0]), min_size=1, max_size=8))
def test_no_two_terms_have_the_same_shift(shifts):
    """The converter merges equal biases into one tensor, whose scale fits only one convolution."""
    terms = [Term(1.0, -1.0, shift) for shift in shifts]
    fits = {"one": Fit(0.0, tuple(terms[:3]), 0.0, 1.0), "other": Fit(0.0, tuple(terms[3:]), 0.0, 1.0)}
    moved = [term.shift for fit in with_distinct_shifts(fits).values() for term in fit.terms]
    assert len(set(np.float32(moved))) == len(moved)
    assert np.allclose(moved, shifts, rtol=1e-4, atol=1e-4) and all(abs(shift) <= MAX_SHIFT for shift in moved)
