"""Accuracy, cross-entropy and calibration against figures worked out by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.training.evaluation import metrics


def logits_of(*rows):
    """Logits whose softmax is each row, padded to ten classes of no probability."""
    return np.log(np.pad(np.array(rows), ((0, 0), (0, 10 - len(rows[0]))), constant_values=1e-30))


def test_figures_worked_out_by_hand():
    found = metrics(logits_of([0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.06, 0.9, 0.04]), np.array([0, 2, 1]))
    assert found["accuracy"] == pytest.approx(2 / 3, abs=1e-6)
    assert found["loss"] == pytest.approx(-np.log(0.7 * 0.1 * 0.9) / 3, abs=1e-6)
    # Each image has a fifteenth of its own: |1 - 0.7| + |0 - 0.8| + |1 - 0.9|, a third each.
    assert found["ece"] == pytest.approx((0.3 + 0.8 + 0.1) / 3, abs=1e-6)
    assert found["class_accuracy"] == [1.0, 1.0, 0.0] + [None] * 7
    assert np.array(found["confusion"])[:3, :3].tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 0]]


def test_images_of_one_bin_are_averaged_before_the_gap_is_taken():
    # 0.61 and 0.65 share the bin (9/15, 10/15]: one right of two is 0.5, mean confidence 0.63.
    found = metrics(logits_of([0.61, 0.39], [0.65, 0.35]), np.array([0, 1]))
    assert found["ece"] == pytest.approx(0.13, abs=1e-6)


@given(st.integers(0, 2**32 - 1), st.floats(-50, 50))
def test_a_shift_of_all_logits_changes_nothing_and_counts_add_up(seed, shift):
    rng = np.random.default_rng(seed)
    logits, labels = rng.normal(0, 3, (40, 10)), rng.integers(0, 10, 40)
    found, shifted = metrics(logits, labels), metrics(logits + shift, labels)
    assert found["confusion"] == shifted["confusion"] and found["loss"] == pytest.approx(shifted["loss"], abs=2e-6)
    assert np.sum(found["confusion"]) == 40
    assert np.trace(found["confusion"]) == pytest.approx(40 * found["accuracy"], abs=1e-3)
    assert 0 <= found["ece"] <= 1
