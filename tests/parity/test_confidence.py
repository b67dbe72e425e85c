"""Confidence drift, calibration error and flips: small cases by hand, properties for the rest."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.errors import InputError
from fmnist_edge.parity.confidence import calibration_error, confidence_drift, top_probability
from fmnist_edge.parity.statistics import flip_rates, statistics_of


def pairs(seed: int, images: int = 40) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits of a reference, logits of a slightly different candidate, and labels."""
    rng = np.random.default_rng(seed)
    reference = rng.normal(0, 3, (images, 5)).astype(np.float32)
    return reference, reference + rng.normal(0, 1, reference.shape).astype(np.float32), rng.integers(0, 5, images)


def test_drift_compares_each_models_own_top_class():
    reference = np.array([[0.7, 0.2, 0.1], [0.5, 0.4, 0.1]])
    candidate = np.array([[0.6, 0.3, 0.1], [0.2, 0.5, 0.3]])  # the second image flips with the same confidence
    drift = confidence_drift(reference, candidate, "probabilities", None)
    assert drift.mean == pytest.approx(0.05)
    assert drift.p99 == pytest.approx(0.099)  # interpolated between 0 and 0.1
    assert drift.reference_ece is None and drift.ece is None


def test_p99_ignores_one_image_in_a_hundred():
    reference = np.tile([1.0, 0.0], (1001, 1))
    candidate = reference.copy()
    candidate[:10, 0] = 0.5
    assert confidence_drift(reference, candidate, "probabilities", None).p99 == 0.0
    candidate[10, 0] = 0.5
    assert confidence_drift(reference, candidate, "probabilities", None).p99 == pytest.approx(0.5)


def test_calibration_before_and_after_in_that_order():
    reference = np.array([[0.9, 0.1], [0.9, 0.1]])
    candidate = np.array([[0.4, 0.6], [0.4, 0.6]])  # all wrong; the reference is all right
    drift = confidence_drift(reference, candidate, "probabilities", np.array([0, 0]))
    assert drift.reference_ece == pytest.approx(0.1)
    assert drift.ece == pytest.approx(0.6)


def test_bins_are_closed_on_the_right_and_cover_the_ends():
    # 1/3 ends the fifth of 15 bins, so 0.34 is in another: the gaps add up instead of cancelling.
    assert calibration_error(np.array([1 / 3, 0.34]), np.array([True, False])) == pytest.approx((2 / 3 + 0.34) / 2)
    assert calibration_error(np.array([0.0, 1.0]), np.array([False, True])) == 0.0


def test_logits_and_probabilities_of_the_same_model_agree():
    reference, candidate, labels = pairs(0)
    softmax = [np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) for logits in (reference, candidate)]
    by_logits = confidence_drift(reference, candidate, "logits", labels)
    by_probabilities = confidence_drift(*softmax, "probabilities", labels)
    assert by_logits.mean == pytest.approx(by_probabilities.mean, rel=1e-4)
    assert by_logits.ece == pytest.approx(by_probabilities.ece, rel=1e-4)
    with pytest.raises(InputError, match="'scores'; expected 'logits' or 'probabilities'"):
        top_probability(reference, "scores")


@given(st.integers(0, 2**32 - 1), st.integers(1, 60))
def test_order_and_direction_do_not_matter(seed, images):
    reference, candidate, labels = pairs(seed, images)
    order = np.random.default_rng(seed).permutation(images)
    found = statistics_of(reference, candidate, labels=labels)
    shuffled = statistics_of(reference[order], candidate[order], labels=labels[order])
    swapped = statistics_of(candidate, reference, labels=labels)
    assert found.accuracy == shuffled.accuracy
    assert found.class_flip_rates == shuffled.class_flip_rates
    assert found.flip_rate == shuffled.flip_rate == swapped.flip_rate
    assert found.confidence.p99 == shuffled.confidence.p99 == swapped.confidence.p99
    assert found.confidence.mean == pytest.approx(shuffled.confidence.mean)
    assert found.confidence.ece == pytest.approx(shuffled.confidence.ece)
    assert (found.confidence.reference_ece, found.confidence.ece) == (
        swapped.confidence.ece,
        swapped.confidence.reference_ece,
    )
    assert 0 <= found.confidence.mean <= 1 and 0 <= found.confidence.ece <= 1


def test_flips_are_counted_by_the_references_class():
    answers, new_answers = np.array([0, 0, 0, 0, 1, 1]), np.array([0, 2, 1, 0, 1, 0])
    assert flip_rates(answers, new_answers, 4) == (0.5, 0.5, None, None)


@given(st.integers(0, 2**32 - 1))
def test_flips_by_class_add_up_to_all_flips(seed):
    reference, candidate, _ = pairs(seed)
    found = statistics_of(reference, candidate)
    asked = np.bincount(reference.argmax(axis=1), minlength=5)
    assert sum((rate or 0.0) * count for rate, count in zip(found.class_flip_rates, asked, strict=True)) == (
        pytest.approx(found.flip_rate * 40)
    )


def test_without_labels_accuracy_and_calibration_are_none():
    reference, candidate, _ = pairs(1)
    found = statistics_of(reference, candidate, margin=0.005)
    assert found.accuracy is None
    assert found.confidence.reference_ece is None and found.confidence.ece is None
    assert found.flip_rate > 0 and found.confidence.mean > 0


def test_a_model_does_not_differ_from_itself():
    reference, _, labels = pairs(2)
    found = statistics_of(reference, reference.copy(), labels=labels)
    assert found.flip_rate == 0 and not any(found.class_flip_rates)
    assert (found.confidence.mean, found.confidence.p99) == (0.0, 0.0)
    assert found.confidence.reference_ece == found.confidence.ece
    assert (found.accuracy.difference, found.accuracy.mcnemar_p) == (0.0, 1.0)
