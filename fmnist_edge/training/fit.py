"""Fit one model to one recipe and one seed. `train` makes a released model of it, `tune` a trial."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fmnist_edge.data.fashion_mnist import Split
from fmnist_edge.errors import InputError
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec
from fmnist_edge.training.feed import Lessons, batches, one_hot, prepare

__all__ = ["fit"]


def fit(
    spec: ModelSpec,
    recipe: Recipe,
    fitted: Split,
    validation: Split | None,
    *,
    seed: int,
    lessons: Lessons | None = None,
    callbacks: Callable[[Any], Sequence[Any]] = lambda fed: (),
    verbose: int | str = "auto",
) -> Any:
    """A Keras model with `recipe`'s final weights (their average, where the recipe has one).

    Raises InputError when the recipe sets a rate that the model does not have.

    Args:
        lessons: what the recipe's teachers say, where it names any; see `feed.batches`.
        callbacks: given the feed, returns Keras callbacks. One of them has to call the feed's `start(epoch)`.
    """
    import keras

    from fmnist_edge.training.distillation import DistillationLoss, accuracy
    from fmnist_edge.training.optimizers import optimizer_for

    unknown = set(recipe.build) - set(spec.rates)
    if unknown:
        raise InputError(
            f"recipe {recipe.name!r}: {spec.name} has no {sorted(unknown)}, expected any of {[*spec.rates]}"
        )
    keras.utils.set_random_seed(seed)
    model = spec.build(**recipe.build)
    fed = batches(fitted, recipe, seed, lessons)
    model.compile(
        optimizer=optimizer_for(recipe, len(fed)),
        loss=DistillationLoss(recipe),
        metrics=[accuracy],
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",  # XLA on CPUs is 6 times slower
    )
    averaging = [keras.callbacks.SwapEMAWeights()] if recipe.ema_momentum else []  # validate the average, train the raw
    model.fit(
        fed,
        validation_data=None if validation is None else (prepare(validation.images), one_hot(validation.labels)),
        validation_batch_size=500,
        epochs=recipe.epochs,
        callbacks=[*callbacks(fed), *averaging],
        verbose=verbose,
        shuffle=False,
    )
    return model
