"""Paired accuracy, compared with scipy, statsmodels, published examples, definitions and simulations."""

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar

from fmnist_edge.catalog.precisions import PRECISIONS
from fmnist_edge.parity.paired import (
    PairedAccuracy,
    images_needed,
    mcnemar_exact,
    paired_accuracy,
    tango_interval,
    verdict_of,
)

Z = stats.norm.ppf(0.975)
# (gained, lost, images): at least one image, any share discordant.
TABLES = st.tuples(st.integers(0, 60), st.integers(0, 60), st.integers(0, 2000)).map(
    lambda counts: (counts[0], counts[1], max(1, sum(counts)))
)
MARGINS = st.sampled_from([0.001, 0.005, 0.05, 0.5])


def right(gained: int, lost: int, images: int) -> tuple[np.ndarray, np.ndarray]:
    """Which images each model gets right: first the gained images, then the lost ones, then those both get right."""
    reference, candidate = np.ones(images, bool), np.ones(images, bool)
    reference[:gained] = False
    candidate[gained : gained + lost] = False
    return reference, candidate


def compared(gained: int, lost: int, images: int, margin: float | None = None) -> PairedAccuracy:
    return paired_accuracy(*right(gained, lost, images), margin)


def score(difference: float, gained: int, lost: int, images: int) -> float:
    """Tango's statistic by its definition, with the likelihood of the table maximised numerically."""

    def unlikelihood(lost_share):
        shares = np.array([lost_share + difference, lost_share, 1 - difference - 2 * lost_share])
        return -stats.multinomial.logpmf([gained, lost, images - gained - lost], images, shares / shares.sum())

    bounds = (max(0.0, -difference), (1 - difference) / 2)
    lost_share = optimize.minimize_scalar(unlikelihood, bounds=bounds, method="bounded", options={"xatol": 1e-13}).x
    variance = (2 * lost_share + difference - difference**2) / images
    return ((gained - lost) / images - difference) / np.sqrt(variance)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_binomial_test_of_the_discordant_images(gained, lost):
    p = mcnemar_exact(gained, lost)
    assert 0 < p <= 1
    if gained + lost:
        assert p == pytest.approx(stats.binomtest(gained, gained + lost).pvalue, rel=1e-9)
    assert p == pytest.approx(mcnemar([[9, lost], [gained, 9]], exact=True).pvalue, rel=1e-9, nan_ok=False)


@pytest.mark.parametrize(("gained", "lost", "p"), [(1, 7, 0.0703125), (6, 16, 0.052479), (0, 0, 1.0), (1, 0, 1.0)])
def test_mcnemar_of_worked_examples(gained, lost, p):
    """The first two are from Fagerland, Lydersen and Laake, Statistics in Medicine 33 (2014) 2850-2875."""
    assert mcnemar_exact(gained, lost) == pytest.approx(p, abs=5e-7)


def test_mcnemar_of_thousands_is_neither_zero_nor_nan():
    assert 0 < mcnemar_exact(0, 5000) < 1e-300
    assert mcnemar_exact(4000, 4000) == 1.0


@pytest.mark.parametrize(
    ("gained", "lost", "images", "lower", "upper"),
    [
        (1, 7, 21, -0.517, -0.026),  # Bentur et al. 2009
        (6, 16, 161, -0.1240, -0.0054),  # Cavo et al. 2012
    ],
)
def test_interval_of_published_examples(gained, lost, images, lower, upper):
    """Tango's interval as reported by Fagerland, Lydersen and Laake (2014) and in their book (2017, chapter 8)."""
    assert tango_interval(gained, lost, images) == pytest.approx((lower, upper), abs=6e-4 if images < 99 else 6e-5)


@pytest.mark.parametrize(
    ("gained", "lost", "images"), [(6, 16, 161), (1, 7, 21), (40, 20, 160), (3, 1, 9), (12, 15, 10_000), (2, 30, 400)]
)
def test_interval_inverts_the_score_test(gained, lost, images):
    difference = (gained - lost) / images
    lower, upper = tango_interval(gained, lost, images)
    table = (gained, lost, images)
    assert lower == pytest.approx(optimize.brentq(lambda d: score(d, *table) - Z, -0.999, difference), abs=1e-6)
    assert upper == pytest.approx(optimize.brentq(lambda d: score(d, *table) + Z, difference, 0.999), abs=1e-6)


@given(st.integers(1, 100_000))
def test_interval_without_a_discordant_image_has_its_closed_form(images):
    edge = Z**2 / (images + Z**2)
    assert tango_interval(0, 0, images) == pytest.approx((-edge, edge), rel=1e-9)


@given(TABLES)
def test_interval_holds_the_estimate_and_swaps_with_the_models(table):
    gained, lost, images = table
    found, swapped = compared(gained, lost, images), compared(lost, gained, images)
    assert -1 <= found.lower <= found.difference <= found.upper <= 1
    assert found.lower < found.upper
    assert (found.lower, found.difference, found.upper) == (-swapped.upper, -swapped.difference, -swapped.lower)
    assert found.mcnemar_p == swapped.mcnemar_p
    assert (found.gained, found.lost) == (swapped.lost, swapped.gained) == (gained, lost)


@given(TABLES, st.integers(2, 9))
def test_interval_narrows_with_more_images_of_the_same_kind(table, times):
    one, many = compared(*table), compared(*(times * count for count in table))
    assert many.upper - many.lower < one.upper - one.lower
    assert many.difference == pytest.approx(one.difference)


@given(TABLES, MARGINS, st.integers(0, 2**32 - 1))
def test_image_order_does_not_matter(table, margin, seed):
    reference, candidate = right(*table)
    order = np.random.default_rng(seed).permutation(len(reference))
    assert paired_accuracy(reference, candidate, margin) == paired_accuracy(reference[order], candidate[order], margin)


@given(TABLES, MARGINS)
def test_verdict_follows_from_the_interval(table, margin):
    found = compared(*table, margin)
    assert (found.lower > -margin) is (found.verdict == "non-inferior")
    assert (found.upper < -margin) is (found.verdict == "inferior")
    if found.verdict != "inconclusive":
        assert found.images_needed is None
    elif found.images_needed is None:
        assert found.difference <= -margin
    else:
        assert found.images_needed > found.images  # an inconclusive verdict needs more images than it had
    json.dumps(asdict(found), allow_nan=False)


def test_verdicts_worked_out_by_hand():
    assert compared(0, 0, 3837, 0.001).verdict == "inconclusive"  # 3.8415 * 999 = 3837.6
    assert compared(0, 0, 3838, 0.001).verdict == "non-inferior"
    assert compared(30, 30, 10_000, 0.005).verdict == "non-inferior"
    assert compared(30, 70, 10_000, 0.005).verdict == "inconclusive"  # -0.40 +- 0.20 pp
    assert compared(10, 110, 10_000, 0.005).verdict == "inferior"  # -1.00 +- 0.21 pp
    assert compared(10, 110, 10_000).verdict is None
    # An interval that ends at the margin is inconclusive.
    assert verdict_of(-0.005, 0.1, 0.005) == verdict_of(-0.1, -0.005, 0.005) == "inconclusive"


@pytest.mark.parametrize("table", [(0, 0, 1), (1, 0, 1), (0, 1, 1)])
@pytest.mark.parametrize("margin", [None, 0.001])
def test_one_image_is_inconclusive(table, margin):
    found = compared(*table, margin)
    assert found.mcnemar_p == 1.0
    assert found.upper - found.lower > 1
    assert found.verdict == (None if margin is None else "inconclusive")


@pytest.mark.parametrize(
    ("gained", "lost", "margin"), [(6, 6, 0.005), (30, 30, 0.005), (5, 6, 0.005), (4, 8, 0.01), (50, 50, 0.02)]
)
def test_images_needed_give_the_planned_power(gained, lost, margin):
    """Simulated with the planned shares, per thousand images; half the images have clearly less power."""
    rng = np.random.default_rng(0)

    def power(images):
        tables = rng.multinomial(images, [gained / 1000, lost / 1000, 1 - (gained + lost) / 1000], size=1500)
        return np.mean([tango_interval(g, w, images)[0] > -margin for g, w, _ in tables.tolist()])

    needed = images_needed(gained, lost, 1000, margin)
    assert power(needed) == pytest.approx(0.8, abs=0.035)
    assert power(needed // 2) < 0.65


def test_images_needed_by_hand():
    assert images_needed(0, 0, 400, 0.001) == 3838  # only the null has variance: the interval is just above the margin
    # 60 discordant of 10,000, d = 0, margin 0.5 pp: under the null the lost share is the root of 2x² + bx + c.
    b, c = -0.006 - 2 * 0.005, 0.003 * 0.005 * 1.005
    null = 2 * (np.sqrt(b * b - 8 * c) - b) / 4 - 0.005 * 1.005
    by_hand = ((Z * np.sqrt(null) + stats.norm.ppf(0.8) * np.sqrt(0.006)) / 0.005) ** 2
    assert images_needed(30, 30, 10_000, 0.005) == np.ceil(by_hand)
    # 10 gained and 50 lost of 100, d = -0.4, margin 0.5.
    b, c = -0.6 - (2 - 0.1 + 0.5) * 0.5, 0.5 * 0.5 * 1.5
    null = 2 * (np.sqrt(b * b - 8 * c) - b) / 4 - 0.5 * 1.5
    by_hand = ((Z * np.sqrt(null) + stats.norm.ppf(0.8) * np.sqrt(0.6 - 0.4**2)) / 0.1) ** 2
    assert images_needed(10, 50, 100, 0.5) == np.ceil(by_hand)
    assert images_needed(0, 2, 400, 0.005) is None  # the observed loss equals the margin
    assert images_needed(0, 4, 400, 0.005) is None
    # A gain counts as no difference: the same number as for evenly divided discordant images.
    assert images_needed(4, 0, 400, 0.005) == images_needed(2, 2, 400, 0.005)
    assert images_needed(1, 2, 400, 0.005) > images_needed(3, 3, 800, 0.005)


def test_findings_have_the_result_the_expectation_and_the_images_needed():
    assert compared(10, 110, 10_000, 0.005).finding == (
        "inferior: accuracy differs by -1.00 pp, 95 % interval [-1.23, -0.80] pp on 10,000 images; "
        "expected all of it above -0.5 pp"
    )
    assert compared(0, 0, 400, 0.001).finding == (
        "inconclusive: accuracy differs by +0.00 pp, 95 % interval [-0.95, +0.95] pp on 400 images; "
        "expected all of it above -0.1 pp; about 3,838 images would show it (power 80%)"
    )
    assert "no number of images promises" in compared(0, 4, 400, 0.005).finding
    assert compared(0, 0, 9999, 0.001).finding.startswith("non-inferior: ")
    assert "expected" not in compared(0, 0, 9999).finding


def test_a_gated_precision_can_be_shown_non_inferior_on_the_test_set():
    """10,000 images are enough to show non-inferiority for every margin, even with some flips."""
    for precision in PRECISIONS:
        flips = 40 if precision.kind == "integer" else 6
        found = compared(flips, flips, 10_000, precision.gate.non_inferiority_margin)
        assert found.verdict == "non-inferior", precision
