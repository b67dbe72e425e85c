"""Define the search space of a study, and make a recipe from a trial's values."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec

if TYPE_CHECKING:
    import optuna

__all__ = ["SPACE", "Range", "space_of", "suggest", "trial_recipe"]


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included. If both bounds are whole numbers, so are all values."""

    low: float
    high: float
    log: bool = False


Space = dict[str, Range | tuple[object, ...]]

# Field of the recipe -> its range, or a tuple of choices. Every `best` recipe is inside the space.
SPACE: Space = {
    "optimizer": ("adamw", "muon"),
    "learning_rate": Range(3e-4, 3e-2, log=True),
    "weight_decay": Range(1e-3, 0.3, log=True),
    "batch_size": (64, 128, 256, 512),
    "erase": Range(0.0, 0.5),
    "shift": Range(0, 3),
    "label_smoothing": Range(0.0, 0.2),
    "ema_momentum": (0.0, 0.99, 0.995, 0.998),
}
RATE = Range(0.0, 0.6)  # of every dropout layer


def space_of(spec: ModelSpec) -> Space:
    """SPACE, and the range of every dropout rate of the model's build()."""
    return {**SPACE, **dict.fromkeys(spec.rates, RATE)}


def suggest(trial: optuna.Trial, name: str, domain: Range | tuple[object, ...]) -> object:
    if isinstance(domain, tuple):
        return trial.suggest_categorical(name, domain)
    pick = trial.suggest_int if isinstance(domain.low, int) and isinstance(domain.high, int) else trial.suggest_float
    return pick(name, domain.low, domain.high, log=domain.log)


def trial_recipe(spec: ModelSpec, best: Recipe, params: JsonObject, epochs: int) -> Recipe:
    """`best` with a trial's values. It is fitted without teachers, and never on validation images."""
    return dataclasses.replace(
        best,
        name="tuned",
        epochs=epochs,
        warmup_epochs=min(best.warmup_epochs, epochs),
        teachers=(),
        fit_validation=False,
        **{name: params[name] for name in SPACE},
        build={name: params[name] for name in spec.rates},
    )
