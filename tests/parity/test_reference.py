"""A reference that does not see what is on the images proves nothing; few images are no reason to say so."""

import json

import numpy as np
import pytest

from fmnist_edge.parity.reference import reference_health

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (2000, 4, 4, 1), dtype=np.uint8)


def answering(answers, classes=10, sure=3.0):
    """Logits whose top class is `answers`."""
    return (np.eye(classes)[answers] * sure + rng.normal(0, 0.3, (len(answers), classes))).astype(np.float32)


def labels_of(count, classes=10):
    return rng.integers(0, classes, count)


def right_in(labels, share, classes=10):
    """Answers of which about `share` are the labels."""
    wrong = (labels + rng.integers(1, classes, len(labels))) % classes
    return np.where(rng.random(len(labels)) < share, labels, wrong)


def health(scores, labels, **more):
    return reference_health(scores, IMAGES[: len(scores)], labels, **more)


@pytest.mark.parametrize("share", [0.15, 0.4, 0.9, 1.0])
def test_a_model_that_has_learnt_something_is_sound(share):
    labels = labels_of(2000)
    found = health(answering(right_in(labels, share)), labels)
    assert (found.verdict, found.finding) == ("sound", None)
    assert found.lower < share + 0.03 and found.upper > share - 0.03 and found.chance == pytest.approx(0.1, abs=0.01)


def test_random_answers_are_at_chance():
    found = health(answering(labels_of(2000)), labels_of(2000))
    assert found.verdict == "at chance"
    assert "of 2,000 images right (95 % interval [" in found.finding and "order" in found.finding
    json.dumps(found.as_dict(), allow_nan=False)


def test_one_answer_to_all_is_at_chance():
    """9.75 % with 10 classes: pixels that were divided by 255 twice."""
    labels = np.arange(2000) % 10
    found = health(answering(np.full(2000, 3)), labels)
    assert found.verdict == "at chance" and found.accuracy == found.chance == pytest.approx(0.1)


def test_labels_in_another_order_are_below_chance():
    labels = np.arange(2000) % 10
    assert health(answering((labels + 1) % 10), labels).verdict == "at chance"


def test_the_most_frequent_class_is_no_achievement():
    labels = (rng.random(2000) < 0.1).astype(int)
    assert health(answering(np.zeros(2000, int), 2), labels).verdict == "at chance"
    assert health(answering(right_in(labels, 0.97, 2), 2), labels).verdict == "sound"


@pytest.mark.parametrize(("right", "count"), [(1, 4), (1, 1), (0, 1), (0, 2), (3, 9), (4, 5)])
def test_a_few_images_prove_nothing(right, count):
    labels = np.arange(count) % 3
    answers = np.where(np.arange(count) < right, labels, (labels + 1) % 3)
    assert health(answering(answers, 3), labels).verdict == "sound"


def test_many_classes():
    labels = labels_of(200, 1000)
    assert health(answering(right_in(labels, 0.05, 1000), 1000), labels).verdict == "sound"
    assert health(answering(labels_of(200, 1000), 1000), labels).verdict == "at chance"


def test_images_of_one_class():
    """Right answers to them are alike by right; wrong ones are at chance."""
    labels = np.zeros(200, int)
    assert health(answering(right_in(labels, 0.9)), labels).verdict == "sound"
    assert health(answering(labels), labels).verdict == "sound"
    assert health(answering(labels + 1), labels).verdict == "at chance"


class TestWithoutLabels:
    def scores(self, spread):
        return (np.arange(10) + rng.normal(0, spread, (200, 10))).astype(np.float32)

    def test_answers_that_hardly_vary(self):
        found = health(self.scores(0.1), None)
        assert found.verdict == "constant" and found.variation < 0.05
        assert "answers class 9 to all 200 images" in found.finding

    def test_answers_to_images_of_one_class_vary(self):
        assert health(np.c_[self.scores(0.6)[:, :9], np.full(200, 10)], None).verdict == "sound"

    def test_probabilities_are_compared_as_logits(self):
        """Sure answers of one class are not constant; constant ones are, at any temperature."""

        def softmax(logits):
            exact = np.exp(logits - logits.max(1, keepdims=True))
            return exact / exact.sum(1, keepdims=True)

        sure = answering(np.full(200, 4), sure=30.0)
        sure[:, :4] += rng.normal(0, 4, (200, 4))
        assert (
            softmax(sure).std(0).max() < 0.05 and health(softmax(sure), None, output="probabilities").verdict == "sound"
        )
        assert health(softmax(self.scores(0.05)), None, output="probabilities").verdict == "constant"

    @pytest.mark.parametrize("count", [1, 20])
    def test_images_that_hardly_vary_prove_nothing(self, count):
        same = np.repeat(IMAGES[:1], count, axis=0)
        found = reference_health(np.tile(np.arange(10.0), (count, 1)), same, None)
        assert (found.verdict, found.variation) == ("sound", None)
