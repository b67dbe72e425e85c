"""Optimizers and learning-rate schedules for a recipe. Importing this module imports Keras."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import keras
from keras import ops

from fmnist_edge.aliases import Tensor
from fmnist_edge.models.recipe import Recipe

if TYPE_CHECKING:
    import keras

__all__ = ["ConvMuon", "optimizer_for"]


ADAM_RATIO = 0.2


class ConvMuon(keras.optimizers.Muon):
    """Muon for convolution kernels, AdamW at a fifth of the rate for everything else.

    Muon is Jordan 2024, with the update scaled as in Liu et al. 2025. A convolution kernel is treated as the matrix
    (height * width * input channels, output channels); Keras's own Muon handles plain matrices only. AdamW also updates
    the large Dense kernels, because orthogonalising them takes a quarter of a step's time and did not change validation
    accuracy, and the kernels of the first convolution, which are no map between features.
    """

    def __init__(
        self,
        learning_rate: keras.optimizers.schedules.LearningRateSchedule,
        weight_decay: float,
        **options: Any,
    ) -> None:
        # Keras multiplies both decays by the one rate; ours is decoupled from each variable's own.
        decays = {"weight_decay": weight_decay, "adam_weight_decay": ADAM_RATIO * weight_decay}
        super().__init__(learning_rate, adam_lr_ratio=ADAM_RATIO, **decays, **options)

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        return len(variable.shape) != 4 or variable.shape[2] == 1

    def _muon_update_step(self, gradient: Tensor, variable: keras.Variable, lr: Tensor, m: keras.Variable) -> None:
        self.assign_add(m, ops.add(gradient, m * (self.momentum - 1)))
        update = ops.add(gradient, self.momentum * m) if self.nesterov else m
        update = ops.reshape(update, (-1, variable.shape[-1]))
        update = self.lr_adjust(lr * self.zeropower_via_newtonschulz5(update, self.ns_steps))
        self.assign_sub(variable, ops.reshape(update, variable.shape))


def optimizer_for(recipe: Recipe, steps: int) -> keras.optimizers.Optimizer:
    """`recipe`'s optimizer for epochs of `steps` batches."""
    average = {"use_ema": True, "ema_momentum": recipe.ema_momentum} if recipe.ema_momentum else {}
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(recipe.learning_rate, **average)
    warmup = round(recipe.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=max(1, recipe.epochs * steps - warmup),
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    if recipe.optimizer == "muon":
        optimizer = ConvMuon(schedule, recipe.weight_decay, **average)
    else:
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
