"""The sigmoid fit of local response normalisation: how close, and inside the bounds that int8 needs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fmnist_edge.export.lrn import (
    LARGEST_HEIGHT,
    LARGEST_SAMPLE,
    LARGEST_SHIFT,
    MOST_TERMS,
    TOLERANCE,
    Fit,
    Term,
    fit_inverse_power,
    histogram,
    with_distinct_shifts,
)

# What trained networks have: many small energies and a long tail.
samples = st.builds(
    lambda mean, shape, seed: np.random.default_rng(seed).gamma(shape, mean / shape, 20_000),
    st.floats(0.01, 10),
    st.floats(0.3, 3),
    st.integers(0, 2**32 - 1),
)


@given(samples)
@settings(max_examples=25, deadline=None)
def test_fits_are_close_and_bounded(energy):
    fit = fit_inverse_power(energy)
    error = np.sqrt(np.mean((fit(energy) - (1 + energy) ** -0.5) ** 2))
    assert error <= 2 * TOLERANCE
    assert fit.rms_error == pytest.approx(error, rel=0.2, abs=5e-4)
    assert 1 <= len(fit.terms) <= MOST_TERMS
    for term in fit.terms:
        assert abs(term.shift) <= LARGEST_SHIFT
        assert 0 <= term.height <= LARGEST_HEIGHT
        assert term.slope < 0
    assert fit.max_energy == pytest.approx(energy.max(), rel=1e-5)


def test_a_wide_spread_takes_more_terms_than_a_narrow_one():
    rng = np.random.default_rng(0)
    assert len(fit_inverse_power(rng.uniform(0, 1, 5000)).terms) == 1
    assert len(fit_inverse_power(rng.gamma(0.6, 10, 5000)).terms) > 1


@pytest.mark.parametrize(("bias", "beta"), [(2.0, 0.5), (0.5, 0.5), (1.0, 0.75), (4.0, 1.0)])
def test_other_biases_and_powers(bias, beta):
    energy = np.random.default_rng(1).gamma(1, 2, 5000)
    fit = fit_inverse_power(energy, bias=bias, beta=beta)
    error = np.sqrt(np.mean((fit(energy) - (bias + energy) ** -beta) ** 2)) * bias**beta
    assert error <= 2 * TOLERANCE


def test_the_same_sample_gives_the_same_fit():
    energy = np.random.default_rng(2).gamma(1, 2, 5000)
    assert fit_inverse_power(energy) == fit_inverse_power(energy.copy())


@pytest.mark.parametrize("energy", [np.zeros(100), np.full(100, 3.0), np.array([0.5])])
def test_a_layer_with_one_energy_or_none(energy):
    fit = fit_inverse_power(energy)
    assert fit(energy) == pytest.approx((1 + energy) ** -0.5, abs=TOLERANCE)


def test_a_term_is_the_sigmoid_that_its_docstring_says():
    fit = Fit(0.25, (Term(2.0, -1.0, 0.5), Term(1.0, 0.0, 0.0)), 0.0, 1.0)
    assert fit(np.array([0.5])) == pytest.approx([0.25 + 2.0 * 0.5 + 0.5])


def test_energies_over_many_orders_of_magnitude():
    energy = np.concatenate([np.full(19_990, 1e-3), np.full(10, 5e3)])
    error = fit_inverse_power(energy)(energy) - (1 + energy) ** -0.5  # warns of no overflow, far out
    assert np.sqrt(np.mean(error**2)) <= TOLERANCE


def test_a_part_of_a_large_sample_has_all_its_channels():
    energy = np.broadcast_to(np.arange(64.0), (LARGEST_SAMPLE, 64))
    values, shares = histogram(energy.ravel())
    assert values @ shares == pytest.approx(31.5, rel=1e-3)
    assert (values[0], values[-1]) == (0, 63)


def test_histogram_keeps_the_mean():
    sample = np.random.default_rng(3).gamma(1, 2, 12_345)
    values, shares = histogram(sample)
    assert shares.sum() == pytest.approx(1)
    assert values @ shares == pytest.approx(sample.mean())


@given(st.lists(st.sampled_from([-2.0, -1.99998, -0.5, 0.0, 2.0]), min_size=1, max_size=8))
def test_no_two_terms_have_the_same_shift(shifts):
    """Of equal biases the converter makes one tensor, whose scale fits one convolution."""
    terms = [Term(1.0, -1.0, shift) for shift in shifts]
    fits = {"one": Fit(0.0, tuple(terms[:3]), 0.0, 1.0), "other": Fit(0.0, tuple(terms[3:]), 0.0, 1.0)}
    moved = [term.shift for fit in with_distinct_shifts(fits).values() for term in fit.terms]
    assert len(set(np.float32(moved))) == len(moved)
    assert np.allclose(moved, shifts, rtol=1e-4, atol=1e-4) and all(abs(shift) <= LARGEST_SHIFT for shift in moved)
