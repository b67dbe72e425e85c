"""A student is taught by the teachers' answers to the very images it sees."""

import dataclasses

import keras
import numpy as np
import pytest
from support import ROOT
from support.tiny_model import TINY

from fmnist_edge import checkpoints
from fmnist_edge.data.fashion_mnist import Split
from fmnist_edge.errors import UnavailableError
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.training.distillation import DistillationLoss, TeacherLogits, accuracy
from fmnist_edge.training.feed import batches, prepare
from fmnist_edge.training.train import train

TRAINED = ROOT / "trained_model"
RECIPE = Recipe("taught", epochs=1, teachers=("compact_cnn",), distillation_weight=0.75, temperature=2.0)
SPEC = TINY


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def test_loss_is_hintons():
    rng = np.random.default_rng(0)
    student, teacher = rng.normal(0, 3, (2, 6, 10)).astype(np.float32)
    labels = np.eye(10, dtype=np.float32)[rng.integers(0, 10, 6)]
    hard = -(labels * np.log(softmax(student))).sum(axis=1)
    soft = -(softmax(teacher / 2) * np.log(softmax(student / 2))).sum(axis=1)
    loss = DistillationLoss(RECIPE)
    expected = (0.25 * hard + 0.75 * 2**2 * soft).mean()
    assert float(loss(np.concatenate([labels, teacher], axis=1), student)) == pytest.approx(expected, rel=1e-5)
    assert float(loss(labels, student)) == pytest.approx(hard.mean(), rel=1e-5)


def test_labels_are_smoothed_in_what_is_fed():
    split = Split(np.zeros((4, 28, 28), np.uint8), np.arange(4))
    fed = batches(split, dataclasses.replace(RECIPE, label_smoothing=0.2, batch_size=4), 0)
    fed.start(0)
    targets = fed[0][1]
    assert sorted(targets.argmax(axis=1)) == [0, 1, 2, 3]
    np.testing.assert_allclose(np.sort(targets, axis=1), [[0.02] * 9 + [0.82]] * 4, atol=1e-6)


def test_accuracy_looks_at_labels_and_not_at_the_teacher():
    labels, teacher = np.eye(10)[[0, 1, 2]], np.eye(10)[[3, 3, 3]]
    logits = np.eye(10)[[0, 3, 2]]
    for targets in (labels, np.concatenate([labels, teacher], axis=1)):
        assert np.asarray(accuracy(targets, logits)).tolist() == [1, 0, 1]


def teacher_logits_of(tmp_path, recipe, split):
    return TeacherLogits(recipe, split, TRAINED, tmp_path)


@pytest.fixture
def split():
    return Split(
        np.random.default_rng(1).integers(0, 256, (40, 28, 28), dtype=np.uint8), np.arange(40, dtype=np.uint8) % 10
    )


@pytest.mark.slow
def test_teachers_average_their_logits_and_see_what_the_student_sees(tmp_path, split):
    recipe = dataclasses.replace(RECIPE, batch_size=16, erase=0.5, views=2, teachers=("compact_cnn", "tuned_cnn"))
    models = [checkpoints.load(name, folder=TRAINED).model for name in recipe.teachers]
    teacher_logits = teacher_logits_of(tmp_path, recipe, split)
    fed = batches(split, recipe, 0, teacher_logits)
    seen = {}
    for epoch in range(4):
        fed.start(epoch)
        inputs, targets = (np.concatenate(part) for part in zip(*(fed[index] for index in range(3)), strict=True))
        assert inputs.shape == (40, 28, 28, 1) and targets.shape == (40, 20)
        views = (inputs, inputs[:, :, ::-1])
        expected = np.mean([model.predict(view, verbose=0) for model in models for view in views], axis=0)
        np.testing.assert_allclose(targets[:, 10:], expected, rtol=1e-4, atol=1e-4)
        assert np.array_equal(targets[:, :10].argmax(axis=1), fed.order % 10)
        seen[epoch] = inputs[np.argsort(fed.order)], fed.order
    assert np.array_equal(seen[0][0], seen[2][0]) and np.array_equal(seen[1][0], seen[3][0])
    assert not np.array_equal(seen[0][0], seen[1][0]) and not np.array_equal(seen[0][1], seen[2][1])
    assert teacher_logits.digests["tuned_cnn"] == checkpoints.load("tuned_cnn", folder=TRAINED).sha256


@pytest.mark.slow
def test_teachers_answer_each_view_once_until_anything_changes(tmp_path, split, monkeypatch):
    asked = []
    monkeypatch.setattr(TeacherLogits, "answers", lambda self, inputs: asked.append(self.key) or np.zeros((40, 10)))
    recipe = dataclasses.replace(RECIPE, views=2)
    for epoch in (0, 1, 2, 3):
        teacher_logits_of(tmp_path, recipe, split)(epoch)
    assert len(asked) == 2
    others = [
        teacher_logits_of(tmp_path, dataclasses.replace(recipe, flip=False), split),
        teacher_logits_of(tmp_path, dataclasses.replace(recipe, erase=0.1), split),
        teacher_logits_of(tmp_path, dataclasses.replace(recipe, teachers=("tuned_cnn",)), split),
        teacher_logits_of(tmp_path, recipe, split.part(0, 40 - 1)),
        teacher_logits_of(tmp_path, recipe, Split(255 - split.images, split.labels)),
    ]
    for other in others:
        other(0)
    assert len(set(asked)) == 6 and len(asked) == 7


@pytest.mark.slow
def test_a_teacher_of_a_recipe_without_flips_sees_no_mirror_images(tmp_path, split):
    teacher_logits = teacher_logits_of(tmp_path, dataclasses.replace(RECIPE, flip=False), split)
    model = checkpoints.load("compact_cnn", folder=TRAINED).model
    images, answers = teacher_logits(0)
    np.testing.assert_allclose(answers, model.predict(prepare(images), verbose=0), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_a_taught_student_takes_after_its_teacher(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=2, distillation_weight=1.0, ema_momentum=0.0)
    card = train(SPEC, recipe, out=tmp_path, scratch=tmp_path / "s", teachers=TRAINED, limit=512)
    digest = checkpoints.load("compact_cnn", folder=TRAINED).sha256
    assert card["teachers"] == {"compact_cnn": digest}
    student = keras.saving.load_model(tmp_path / "tiny.keras")
    untaught = train(
        SPEC, dataclasses.replace(recipe, teachers=()), out=tmp_path / "u", scratch=tmp_path / "s", limit=512
    )
    assert untaught["weights_sha256"] != card["weights_sha256"]
    assert student.name == "tiny"


def test_a_teacher_that_is_not_there_is_found_out_before_training(tmp_path):
    with pytest.raises(UnavailableError, match="compact_cnn"):
        train(SPEC, RECIPE, out=tmp_path / "out", scratch=tmp_path / "s", limit=64)
    assert not list((tmp_path / "out").iterdir())
