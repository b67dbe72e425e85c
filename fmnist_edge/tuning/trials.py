"""Summarise all trials of a study, ready for JSON: spread, best trial, importance of each parameter."""

from __future__ import annotations

import dataclasses
import math
import statistics
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec
from fmnist_edge.tuning.space import trial_recipe

if TYPE_CHECKING:
    import optuna

__all__ = ["best_of", "finished", "summarize_study"]

IMPORTANCE_TRIALS = 10  # complete trials needed for importances, which compare the best tenth with all trials
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "WAITING": "waiting"}


def finished(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.is_finished()]


def best_of(complete: list[optuna.trial.FrozenTrial]) -> optuna.trial.FrozenTrial | None:
    """The complete trial with the highest validation accuracy; of equal ones, the first. None when none is complete."""
    return max(complete, key=lambda trial: (trial.value, -trial.number), default=None)


def summarize_study(study: optuna.Study, spec: ModelSpec, best: Recipe) -> JsonObject:
    """The summary of all trials of a study, including those of other workers."""
    trials = study.get_trials(deepcopy=False)
    complete = [trial for trial in trials if trial.state.name == "COMPLETE"]
    winner = best_of(complete)
    baseline = next((trial for trial in complete if trial.user_attrs.get("baseline")), None)
    importance, note = importance_of(study, len(complete))
    return {
        "counts": {label: sum(trial.state.name == state for trial in trials) for state, label in STATES.items()},
        "trials_wall_time_s": round(sum(seconds(trial) or 0.0 for trial in trials), 1),
        "validation_accuracy": spread([trial.value for trial in complete]),
        "baseline": baseline and {"number": baseline.number, "value": baseline.value, "recipe": best.name},
        "best": winner and {"number": winner.number, "value": winner.value, "params": winner.params},
        "importance": importance,
        "importance_note": note,
        "recipe": winner
        and {
            **dataclasses.asdict(trial_recipe(spec, best, winner.params, best.epochs)),
            "teachers": [],  # a list, as in JSON, where the recipe has a tuple
        },
        "trials": [
            {
                "number": trial.number,
                "state": STATES[trial.state.name],
                "value": trial.value,  # of a pruned trial, the value of its last epoch
                "epochs": trial.last_step or 0,
                "seconds": seconds(trial),
                "params": trial.params,
            }
            for trial in trials
        ],
    }


def seconds(trial: optuna.trial.FrozenTrial) -> float | None:
    """A finished trial's wall time; None for a trial that is queued, running or was interrupted."""
    return round(trial.duration.total_seconds(), 1) if trial.duration and trial.state.is_finished() else None


def spread(values: list[float]) -> dict[str, float | int | None]:
    """Order statistics, mean and sample standard deviation; None when there are too few values."""
    if not values:
        return {"trials": 0, **dict.fromkeys(("min", "q1", "median", "q3", "max", "mean", "stdev"))}
    q1, median, q3 = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    figures = {
        "min": min(values),
        "q1": q1,
        "median": median,
        "q3": q3,
        "max": max(values),
        "mean": statistics.fmean(values),
    }
    deviation = round(statistics.stdev(values), 6) if len(values) > 1 else None
    return {"trials": len(values), **{name: round(x, 6) for name, x in figures.items()}, "stdev": deviation}


def importance_of(study: optuna.Study, complete: int) -> tuple[dict[str, float] | None, str]:
    """(parameter -> share, the largest first; the method), or (None, the reason)."""
    import optuna

    if complete < IMPORTANCE_TRIALS:
        return None, f"needs {IMPORTANCE_TRIALS} complete trials, there are {complete}"
    shares = optuna.importance.PedAnovaImportanceEvaluator().evaluate(study)
    total = sum(shares.values())
    if not total > 0 or not math.isfinite(total):
        return None, "no parameter made a difference"
    ordered = sorted(shares.items(), key=lambda item: -item[1])
    # Watanabe et al. 2023: how the best tenth of the trials differs from all trials
    return {name: round(share / total, 4) for name, share in ordered}, f"PED-ANOVA over {complete} complete trials"
