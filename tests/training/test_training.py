"""Recipes are checked, augmentation is bounded, and a training run can be interrupted without anyone noticing."""

import dataclasses
import json
import re
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_model import TINY

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.errors import CheckpointError, FileError, InputError, UnknownNameError
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.training import feed
from fmnist_edge.training.augment import augment
from fmnist_edge.training.curve import Curve, epoch_callback
from fmnist_edge.training.recipes import read_recipe, recipe_for, write_recipe
from fmnist_edge.training.train import splits, weights_sha256
from fmnist_edge.training.train import train as train_release

PLAIN = Recipe("plain", epochs=1, flip=False, shift=0)
SPEC = TINY
RECIPE = dataclasses.replace(
    recipe_for(MODELS["compact_cnn"], "best"), epochs=3, teachers=(), build={"dense_dropout": 0.4}
)
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
     ("label_smoothing", 1.0), ("ema_momentum", 1.0), ("weight_decay", -0.1), ("warmup_epochs", 1.5),
     ("distillation_weight", 1.1), ("temperature", 0), ("epochs", 1.5), ("epochs", True), ("flip", 1),
     ("learning_rate", "0.1"), ("learning_rate", float("nan")), ("teachers", "tiny_resnet"), ("teachers", (1,)),
     ("build", [0.1])],
)  # fmt: skip
def test_impossible_recipes_are_refused(field, value):
    with pytest.raises(InputError, match=re.escape(f"{field} is {value!r}, expected")):
        dataclasses.replace(PLAIN, **{field: value})


def test_every_model_has_its_recipes():
    for name in MODELS:
        spec = MODELS[name]
        assert "best" in {recipe.name for recipe in spec.recipes}
        assert (spec.published_accuracy is not None) == ("published" in {recipe.name for recipe in spec.recipes})
        for recipe in spec.recipes:
            assert set(recipe.build) <= set(spec.rates)
            assert set(recipe.teachers) <= set(MODELS) - {name}
            assert recipe.name != "published" or recipe.epochs == 27
    with pytest.raises(UnknownNameError, match=r"published, best, or name a \.json file"):
        recipe_for(MODELS["tiny_resnet"], "worst")


def test_a_models_rates_are_its_dropouts():
    assert MODELS["tiny_resnet_edge"].rates == {"conv_dropout": 0.25, "dense_dropout": 0.5}


def test_a_recipe_file_gives_the_recipe_back(tmp_path):
    recipe = dataclasses.replace(RECIPE, teachers=("tiny_resnet", "wide_cnn"))
    write_recipe(recipe, tmp_path / "mine.json")
    assert recipe_for(MODELS["compact_cnn"], str(tmp_path / "mine.json")) == recipe


@pytest.mark.parametrize(
    ("content", "message"),
    [("", "is not JSON"), ("[" * 100_000, "is not JSON"), ("[1]", "is no recipe: got list"),
     ('{"name": "x"}', r"is no recipe: got \['name'\], expected an object with name, epochs"),
     ('{"name": "x", "epochs": 2, "epoch": 3}', "is no recipe: got .'epoch', 'epochs'"),
     ('{"name": "x", "epochs": "2"}', "epochs is '2', expected int"),
     ('{"name": "x", "epochs": 2, "erase": NaN}', "erase is nan")],
)  # fmt: skip
def test_a_file_that_is_no_recipe(tmp_path, content, message):
    (tmp_path / "bad.json").write_text(content)
    with pytest.raises(InputError, match=message):
        read_recipe(tmp_path / "bad.json")
    with pytest.raises(FileError, match="cannot be read"):
        read_recipe(tmp_path / "none.json")


def test_a_rate_that_the_model_does_not_have_is_refused(tmp_path):
    recipe = dataclasses.replace(RECIPE, build={"conv_dropout": 0.1})
    with pytest.raises(InputError, match=r"tiny has no \['conv_dropout'\], expected any of \['dense_dropout'\]"):
        train_release(SPEC, recipe, out=tmp_path / "o", scratch=tmp_path / "s", limit=32)


def train(folder, **options):
    recipe = options.pop("recipe", RECIPE)
    return train_release(SPEC, recipe, out=folder / "out", scratch=folder / "scratch", limit=256, **options)


def released(folder):
    return keras.saving.load_model(folder / "out/tiny.keras")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, train(folder, seeds=(5, 6))


@pytest.mark.slow
def test_card_says_what_was_done(whole):
    folder, card = whole
    assert json.loads((folder / "out/tiny.json").read_text()) == json.loads(json.dumps(card))
    assert (card["model"], card["limit"], card["parameters"]) == ("tiny", 256, SPEC.parameters)
    assert card["recipe"]["epochs"] == 3 == len(card["curve"])
    assert card["teachers"] == {}
    assert card["test"]["images"] == card["validation"]["images"] == card["fitted_images"] == 256
    assert card["curve"][-1]["val_accuracy"] == pytest.approx(card["validation"]["accuracy"], abs=1e-6)
    assert not (folder / "scratch").exists()


@pytest.mark.slow
def test_the_best_seed_on_validation_is_released(whole):
    folder, card = whole
    first, second = card["seeds"]
    assert (first["seed"], second["seed"]) == (5, 6)
    assert first["weights_sha256"] != second["weights_sha256"]
    best = max((first, second), key=lambda run: run["validation_accuracy"])
    assert card["seed"] == best["seed"]
    assert card["weights_sha256"] == best["weights_sha256"] == weights_sha256(released(folder))
    assert card["validation"]["accuracy"] == best["validation_accuracy"]
    assert card["test"]["accuracy"] == best["test_accuracy"]
    accuracies = [first["test_accuracy"], second["test_accuracy"]]
    assert card["spread"]["mean"] == pytest.approx(np.mean(accuracies), abs=1e-6)
    assert card["spread"]["stdev"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-6)


@pytest.mark.slow
def test_the_final_fit_may_use_the_validation_images_too(tmp_path):
    recipe = dataclasses.replace(RECIPE, epochs=1, fit_validation=True)
    fitted, validation, _ = splits(MODELS["wide_cnn"], recipe, None, None)
    assert len(fitted) == 20_000 and validation is None
    card = train(tmp_path, recipe=recipe, seeds=(3, 2))
    assert card["validation"] is None and card["seed"] == 3
    assert card["seeds"][0]["validation_accuracy"] is None


@pytest.mark.slow
def test_saved_model_has_no_optimizer(whole, tmp_path):
    with zipfile.ZipFile(whole[0] / "out/tiny.keras") as archive:
        archive.extract("model.weights.h5", tmp_path)
        assert not json.loads(archive.read("config.json"))["compile_config"]
    with h5py.File(tmp_path / "model.weights.h5") as file:
        assert "optimizer" not in file
    assert (whole[0] / "out/tiny.keras").stat().st_size < 1.5 * 4 * SPEC.parameters


@pytest.fixture(scope="module")
def resumed(tmp_path_factory):
    """The run of `whole` anew, interrupted in its second seed: the card, and the seeds that were fitted."""
    folder, module = tmp_path_factory.mktemp("resumed"), sys.modules["fmnist_edge.training.train"]
    add, fit, fitted_seeds = Curve.add, module.fit, []

    def watched(*arguments, seed, **options):
        fitted_seeds.append(seed)
        return fit(*arguments, seed=seed, **options)

    def interrupt(self, record):
        if fitted_seeds[-1] == 6 and record["epoch"] == 1:
            raise KeyboardInterrupt
        add(self, record)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "fit", watched)
        with patch.context() as once:
            once.setattr(Curve, "add", interrupt)
            with pytest.raises(KeyboardInterrupt):
                train(folder, seeds=(5, 6))
        assert not list((folder / "out").iterdir())
        with pytest.raises(CheckpointError, match="another run"):
            train(folder, seeds=(5, 6), recipe=dataclasses.replace(RECIPE, erase=0.1), resume=True)
        card = train(folder, seeds=(5, 6), resume=True)
    return card, fitted_seeds


@pytest.mark.slow
def test_a_resumed_run_ends_with_the_very_same_weights(whole, resumed):
    card, _ = resumed
    assert [record["epoch"] for record in card["curve"]] == [0, 1, 2]
    assert card["seeds"][1]["weights_sha256"] == whole[1]["seeds"][1]["weights_sha256"]


@pytest.mark.slow
def test_a_finished_seed_is_not_trained_again_when_a_run_goes_on(resumed):
    assert resumed[1] == [5, 6, 6]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(whole, resumed):
    """The first seed was never interrupted."""
    (one, other), (again, _) = whole[1]["seeds"], resumed[0]["seeds"]
    assert again["weights_sha256"] == one["weights_sha256"] != other["weights_sha256"]


def test_each_epoch_has_its_own_order_augmentation_and_dropout(tmp_path):
    from fmnist_edge.data.fashion_mnist import Split

    split = Split(rng().integers(0, 256, (300, 28, 28), dtype=np.uint8), np.arange(300) % 10)
    fed = feed.batches(split, RECIPE, seed=0)
    callback = epoch_callback(fed, None)
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


def test_limit_must_leave_an_image(tmp_path):
    with pytest.raises(InputError, match="at least 1 image"):
        train_release(SPEC, RECIPE, out=tmp_path, scratch=tmp_path / "s", limit=0)


def test_a_folder_that_cannot_be_written_is_found_out_before_training(tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(FileError, match="cannot be written"):
        train(tmp_path)
    assert not (tmp_path / "scratch").exists()
