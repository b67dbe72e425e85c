"""Training recipes: the record, and the three base recipes of the models."""

from __future__ import annotations

import dataclasses
import math
import typing
from dataclasses import dataclass, field
from typing import Any

from fmnist_edge.errors import InputError

__all__ = ["Recipe", "best", "distilled", "published"]

OPTIMIZERS = ("adam", "adamw", "muon")


@dataclass(frozen=True)
class Recipe:
    """The settings of a training run, except the model, the data and the seed.

    Attributes:
        epochs: passes over the training images.
        batch_size: images per step.
        optimizer: "adam" with a constant rate; "adamw" or "muon" with linear warm-up, then cosine decay to zero.
        learning_rate: peak rate.
        weight_decay: decoupled weight decay (Loshchilov & Hutter 2019); adam ignores it.
        warmup_epochs: epochs of linear warm-up.
        flip: augment by horizontal flips.
        shift: augment by crops, shifted by up to this many pixels.
        erase: probability of erasing a random rectangle (Zhong et al. 2020).
        label_smoothing: Szegedy et al. 2016.
        teachers: zoo models whose averaged logits the student learns from (Hinton et al. 2015).
        views: number of augmented copies of the images for which the teachers' logits are computed; epochs use the
            copies in turn.
        distillation_weight: weight of the distillation loss, 0 to 1.
        temperature: divides the logits in the distillation loss.
        fit_validation: train on the validation images too, after every choice was made. The model card then has no
            validation figures.
        ema_momentum: momentum of the exponential moving average of the weights. The average is evaluated and released
            in place of the weights; 0 for none.
        build: keyword arguments of the model's build(), e.g. dropout rates.
    """

    name: str
    epochs: int
    batch_size: int = 128
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.02
    warmup_epochs: float = 1.0
    flip: bool = True
    shift: int = 2
    erase: float = 0.0
    label_smoothing: float = 0.0
    ema_momentum: float = 0.0
    teachers: tuple[str, ...] = ()
    views: int = 10
    distillation_weight: float = 0.9
    temperature: float = 3.0
    fit_validation: bool = False
    build: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.teachers, list):
            object.__setattr__(self, "teachers", tuple(self.teachers))
        hints = typing.get_type_hints(Recipe)
        for declared in dataclasses.fields(self):
            value = getattr(self, declared.name)
            if not is_a(value, hints[declared.name]):
                raise InputError(f"recipe {self.name!r}: {declared.name} is {value!r}, expected {declared.type}")
        checks = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "optimizer": (self.optimizer in OPTIMIZERS, f"one of {OPTIMIZERS}"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "shift": (0 <= self.shift <= 14, "0 to 14 pixels"),
            "erase": (0 <= self.erase <= 1, "a probability"),
            "label_smoothing": (0 <= self.label_smoothing < 1, "0 to below 1"),
            "weight_decay": (self.weight_decay >= 0, "0 or above"),
            "warmup_epochs": (0 <= self.warmup_epochs <= self.epochs, "0 up to the number of epochs"),
            "views": (self.views >= 1, "at least 1"),
            "distillation_weight": (0 <= self.distillation_weight <= 1, "0 to 1"),
            "temperature": (self.temperature > 0, "above 0"),
            "ema_momentum": (0 <= self.ema_momentum < 1, "0 to below 1"),
        }
        for name, (valid, expected) in checks.items():
            if not valid:
                raise InputError(f"recipe {self.name!r}: {name} is {getattr(self, name)!r}, expected {expected}")


def is_a(value: object, kind: Any) -> bool:
    """Whether a value from a file has a field's type. An int counts as a float, a bool does not count as an int."""
    if kind == tuple[str, ...]:
        return isinstance(value, tuple) and all(isinstance(item, str) for item in value)
    if kind is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, typing.get_origin(kind) or kind)


def published(**changes: Any) -> Recipe:
    """The published recipe: 27 epochs of Adam at a constant rate, with flips."""
    defaults = {"optimizer": "adam", "learning_rate": 1e-3, "weight_decay": 0.0, "warmup_epochs": 0.0, "shift": 0}
    return Recipe("published", **{"epochs": 27, **defaults, **changes})


def best(epochs: int, **changes: Any) -> Recipe:
    """Our recipe: Muon with warm-up and cosine decay; flips, crops and erasing; averaged weights."""
    defaults = {"optimizer": "muon", "learning_rate": 1e-2, "erase": 0.25, "ema_momentum": 0.998}
    return Recipe("best", **{"epochs": epochs, **defaults, **changes})


def distilled(epochs: int, **changes: Any) -> Recipe:
    """Our recipe, distilled from the zoo's teacher."""
    return best(epochs, **{"teachers": ("wrn_16_2",), **changes})
