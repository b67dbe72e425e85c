"""Labels in another order than in training are found by the order that would make the answers right."""

import numpy as np
import pytest

from fmnist_edge.parity.label_order import label_order

NAMES = ("cat", "dog", "eel", "fox")


def answers_to(labels, share, seed=0):
    """Right answers for this share of the images, and others at random."""
    rng = np.random.default_rng(seed)
    return np.where(rng.random(len(labels)) < share, labels, rng.integers(0, len(NAMES), len(labels)))


@pytest.fixture
def labels():
    return np.arange(400) % 4


def test_the_order_that_would_be_right_is_named(labels):
    moved = np.array([1, 2, 0, 3])[labels]
    found = label_order(answers_to(moved, 0.9), labels, NAMES, "test")
    assert "another order than in training" in found and "'dog' for 'cat'" in found and "'cat' for 'eel'" in found
    assert "fox" not in found


def test_sorted_numbers_as_keras_sorts_folders():
    """Eleven folders 0 to 10: Keras trains on 0, 1, 10, 2, ..."""
    names = [str(i) for i in range(11)]
    labels = np.arange(550) % 11
    trained = np.array([sorted(names).index(name) for name in names])
    assert "'3' for '2'" in label_order(trained[labels], labels, names, "test")


@pytest.mark.parametrize("share", [1.0, 0.8, 0.5, 0.0])
def test_the_right_order_and_guesses_are_no_other_order(labels, share):
    for seed in range(20):
        assert label_order(answers_to(labels, share, seed), labels, NAMES, "test") is None


def test_few_images_prove_nothing():
    assert label_order(np.array([1, 0]), np.array([0, 1]), NAMES, "test") is None
