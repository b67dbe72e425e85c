"""Recipes are checked, augmentation is bounded, and a training run can be interrupted without anyone noticing."""

import dataclasses
import json
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.errors import CheckpointError, FileError, InputError, UnknownNameError
from fmnist_edge.registry import MODELS, resolve
from fmnist_edge.training import fit
from fmnist_edge.training.augment import augment
from fmnist_edge.training.recipes import RECIPES, Recipe, recipe_for

PLAIN = Recipe("plain", epochs=1, flip=False, shift=0)
images = st.integers(0, 2**32 - 1).map(
    lambda seed: np.random.default_rng(seed).integers(1, 256, (5, 28, 28), dtype=np.uint8)
)


def rng(seed=0):
    return np.random.default_rng(seed)


@given(images, st.integers(0, 99))
def test_augmentation_follows_from_the_seed_and_leaves_its_input_alone(batch, seed):
    recipe = dataclasses.replace(PLAIN, flip=True, shift=3, erase=0.5)
    before = batch.copy()
    out = augment(batch, recipe, rng(seed))
    assert (out.shape, out.dtype) == (batch.shape, np.uint8)
    assert np.array_equal(out, augment(batch, recipe, rng(seed)))
    assert np.array_equal(batch, before)
    assert not np.shares_memory(out, batch)


@given(images)
def test_each_augmentation_alone(batch):
    assert np.array_equal(augment(batch, PLAIN, rng()), batch)
    for image, out in zip(batch, augment(batch, dataclasses.replace(PLAIN, flip=True), rng()), strict=True):
        assert np.array_equal(out, image) or np.array_equal(out, image[:, ::-1])
    for image, out in zip(batch, augment(batch, dataclasses.replace(PLAIN, shift=2), rng()), strict=True):
        padded = np.pad(image, 2)
        windows = [padded[y : y + 28, x : x + 28] for y in range(5) for x in range(5)]
        assert any(np.array_equal(out, window) for window in windows)
    erased = augment(batch, dataclasses.replace(PLAIN, erase=1.0), rng()) != batch
    for change in erased:
        rows, columns = np.flatnonzero(change.any(1)), np.flatnonzero(change.any(0))
        area = (rows[-1] - rows[0] + 1) * (columns[-1] - columns[0] + 1)
        assert 0 < area <= 0.30 * 28 * 28


def test_flips_and_shifts_do_happen():
    batch = rng().integers(1, 256, (200, 28, 28), dtype=np.uint8)
    flipped = (augment(batch, dataclasses.replace(PLAIN, flip=True), rng()) != batch).any((1, 2)).mean()
    assert 0.35 < flipped < 0.65


@pytest.mark.parametrize(
    ("field", "value"),
    [("epochs", 0), ("batch_size", 0), ("optimizer", "sgdd"), ("learning_rate", 0), ("shift", 15), ("erase", 1.1),
     ("label_smoothing", 1.0), ("ema_momentum", 1.0)],
)  # fmt: skip
def test_impossible_recipes_are_refused(field, value):
    with pytest.raises(InputError, match=f"{field} is {value!r}, expected"):
        dataclasses.replace(PLAIN, **{field: value})


def test_every_model_has_both_recipes():
    assert set(RECIPES) == set(MODELS)
    for name in MODELS:
        assert [recipe.name for recipe in RECIPES[name]] == ["published", "best"]
        assert recipe_for(name, "published").epochs == 27
        resolve("model", MODELS, name).build(**recipe_for(name, "best").build)
    with pytest.raises(UnknownNameError, match="published, best"):
        recipe_for("tiny_resnet", "worst")


SPEC = resolve("model", MODELS, "compact_cnn")
RECIPE = dataclasses.replace(recipe_for("compact_cnn", "best"), epochs=3, build={"dense_dropout": 0.4})


def train(folder, **options):
    return fit.train(SPEC, RECIPE, out=folder / "out", scratch=folder / "scratch", limit=256, **options)


def weights(folder):
    return keras.saving.load_model(folder / "out/compact_cnn.keras").get_weights()


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, seed=5)


def test_card_says_what_was_done(whole):
    folder, card = whole
    assert json.loads((folder / "out/compact_cnn.json").read_text()) == json.loads(json.dumps(card))
    assert (card["model"], card["seed"], card["limit"], card["parameters"]) == ("compact_cnn", 5, 256, 106_991)
    assert card["recipe"]["epochs"] == 3 == len(card["curve"])
    assert card["test"]["images"] == card["validation"]["images"] == card["fitted_images"] == 256
    assert card["curve"][-1]["val_accuracy"] == pytest.approx(card["validation"]["accuracy"], abs=1e-6)
    assert (folder / "out/compact_cnn.png").read_bytes().startswith(b"\x89PNG")
    assert not (folder / "scratch").exists()


def test_saved_model_has_no_optimizer(whole, tmp_path):
    with zipfile.ZipFile(whole[0] / "out/compact_cnn.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
        assert not json.loads(archive.read("config.json"))["compile_config"]
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert "optimizer" not in file
    assert (whole[0] / "out/compact_cnn.keras").stat().st_size < 1.2 * 4 * 106_991


def test_evaluate_is_accuracy_and_cross_entropy_in_nats():
    from fmnist_edge.data import Split

    class Fixed:
        def predict(self, batch, **_):
            return np.log(np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1]]))

    split = Split(np.zeros((2, 28, 28), np.uint8), np.array([0, 2]))
    assert fit.evaluate(Fixed(), split) == {"accuracy": 0.5, "loss": round(-np.log(0.07) / 2, 6)}


def test_a_resumed_run_ends_with_the_very_same_weights(whole, tmp_path, monkeypatch):
    add = fit.Curve.add

    def interrupt(self, record):
        if record["epoch"] == 1:
            raise KeyboardInterrupt
        add(self, record)

    monkeypatch.setattr(fit.Curve, "add", interrupt)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, seed=5)
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="another run"):
        train(tmp_path, seed=6, resume=True)
    card = train(tmp_path, seed=5, resume=True)
    assert [record["epoch"] for record in card["curve"]] == [0, 1, 2]
    for mine, theirs in zip(weights(tmp_path), weights(whole[0]), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_each_epoch_has_its_own_order_augmentation_and_dropout(tmp_path):
    from fmnist_edge.data import Split

    split = Split(rng().integers(0, 256, (300, 28, 28), dtype=np.uint8), np.arange(300) % 10)
    fed = fit.batches(split, RECIPE, seed=0)
    callback = fit.epoch_callback(fed, None)
    callback.set_model(SPEC.build(**RECIPE.build))
    seen = {}
    for epoch in (0, 3, 4, 3):
        callback.on_epoch_begin(epoch)
        dropout = np.concatenate(
            [layer.seed_generator.state for layer in callback.model.layers if "dropout" in layer.name]
        )
        images, labels = fed[0]
        assert all(np.array_equal(*pair) for pair in zip(seen.get(epoch, ()), (images, labels, dropout), strict=False))
        seen[epoch] = (images, labels, dropout)
    for first, second in ((0, 3), (3, 4)):
        assert not any(np.array_equal(*pair) for pair in zip(seen[first], seen[second], strict=True))
    assert len(fed) == 3 and sum(len(fed[index][1]) for index in range(3)) == 300


def test_another_seed_is_another_model(whole, tmp_path):
    train(tmp_path, seed=6)
    assert not np.array_equal(weights(tmp_path)[0], weights(whole[0])[0])


def test_limit_must_leave_an_image(tmp_path):
    with pytest.raises(InputError, match="at least 1 image"):
        fit.train(SPEC, RECIPE, out=tmp_path, scratch=tmp_path / "s", limit=0)


def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FileError, match="cannot be written"):
        train(tmp_path)
    assert not (tmp_path / "scratch").exists()
