"""Fit one model with one recipe and one seed, for `train` and for each trial of `tune`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fmnist_edge.data.fashion_mnist import Split
from fmnist_edge.errors import InputError
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec
from fmnist_edge.training.feed import Feed, TeacherLogits, batches, one_hot, prepare

if TYPE_CHECKING:
    import keras

__all__ = ["fit"]


def fit(
    spec: ModelSpec,
    recipe: Recipe,
    fitted: Split,
    validation: Split | None,
    *,
    seed: int,
    teacher_logits: TeacherLogits | None = None,
    callbacks: Callable[[Feed], Sequence[keras.callbacks.Callback]] = lambda fed: (),
    verbose: int | str = "auto",
) -> keras.Model:
    """A Keras model with the final weights; with their average, where the recipe averages.

    Raises InputError when the recipe sets a rate that the model does not have.

    Args:
        teacher_logits: of the recipe's teachers, where it names any; see `feed.batches`.
        callbacks: feed -> Keras callbacks, one of which must call the feed's `start(epoch)`.
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
    fed = batches(fitted, recipe, seed, teacher_logits)
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
