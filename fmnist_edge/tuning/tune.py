"""Search a fixed architecture's hyper-parameters: an Optuna study that many machines can share.

It follows the published idea: how much do hyper-parameters alone change the accuracy of a fixed architecture? A trial
is a short training on the model's training images. Its score is the accuracy on validation images; the test images are
never read.
"""

from __future__ import annotations

import json
import logging
import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.fashion_mnist import Split
from fmnist_edge.errors import InputError
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec
from fmnist_edge.training.feed import Feed
from fmnist_edge.training.fit import fit
from fmnist_edge.training.recipes import recipe_for
from fmnist_edge.tuning.space import space_of, suggest, trial_recipe
from fmnist_edge.tuning.storage import open_storage, storage_errors
from fmnist_edge.tuning.trials import best_of, finished, summarize_study

if TYPE_CHECKING:
    import optuna

__all__ = ["SCHEMA", "tune"]

SCHEMA = 1
PROTOCOL = "fmnist_edge"  # the study's attribute that holds the protocol of its trials


def tune(
    spec: ModelSpec,
    *,
    trials: int,
    epochs: int,
    storage: str,
    study_name: str | None = None,
    seed: int = 0,
    limit: int | None = None,
    data_folder: str | Path | None = None,
    progress: Callable[[int, int, str], None] = lambda done, total, text: None,
) -> JsonObject:
    """Run `trials` trials of `epochs` epochs each; returns the summary of the whole study, ready for JSON.

    An existing study continues, so many machines can run this with the same `storage`. An interrupted study keeps every
    finished trial. The first trial is the model's `best` recipe, the baseline for the gain. With one worker and one
    `seed` the study is reproducible, even when it is run in several parts.

    Args:
        storage: a URL; see `storage.open_storage`.
        study_name: by default the model's name.
        limit: fit and score on only this many images, to try things out.
        progress: called with (done, trials, text) before the first trial and after each one.

    Raises InputError for numbers below their minimum and for a study of another model or protocol. Also raises what
    `storage.open_storage` raises.
    """
    for name, value, least in (("trials", trials, 1), ("epochs", epochs, 1), ("limit", limit, 1), ("seed", seed, 0)):
        if value is not None and value < least:
            raise InputError(f"{name} must be at least {least}, got {value}")
    import optuna

    best = recipe_for(spec, "best")
    fitted, validation = fashion_mnist.train_and_validation(spec.train_images, spec.validation_images, data_folder)
    fitted, validation = fitted.part(0, limit or len(fitted)), validation.part(0, limit or len(validation))
    protocol = protocol_of(spec, best, epochs, limit, len(fitted), len(validation))
    started = time.monotonic()
    with quiet():
        with storage_errors(storage):
            study = optuna.create_study(
                storage=open_storage(storage),
                study_name=study_name or spec.name,
                direction="maximize",
                load_if_exists=True,
                sampler=sampler_for(seed),
                # No successive halving: with cosine schedules learning curves cross late, and halving would drop the
                # steep ones.
                pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1 + max(1, epochs // 3)),
            )
            check_protocol(study, protocol)
            before = len(finished(study))
            enqueue_baseline(study, spec, best)

        def objective(trial: optuna.Trial) -> float:
            params = {name: suggest(trial, name, domain) for name, domain in space_of(spec).items()}
            return score(trial, spec, trial_recipe(spec, best, params, epochs), fitted, validation, seed)

        done = 0

        def report(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            nonlocal done
            done += 1
            progress(done, trials, progress_text(study))

        progress(0, trials, f"continuing after {before} trials" if before else "new study")
        with storage_errors(storage, mixed=True):
            study.optimize(objective, n_trials=trials, callbacks=[report])
            summary = summarize_study(study, spec, best)
    return {
        "schema": SCHEMA,
        "model": spec.name,
        "study": study.study_name,
        "protocol": protocol,
        "seed": seed,
        "sampler": "TPESampler (multivariate)",
        "pruner": "MedianPruner",
        "optuna": optuna.__version__,
        "continued_after": before,
        "wall_time_s": round(time.monotonic() - started, 1),
        **summary,
    }


def protocol_of(
    spec: ModelSpec, best: Recipe, epochs: int, limit: int | None, fitted_images: int, validation_images: int
) -> JsonObject:
    """What all trials of a study have in common, with JSON's types. Only scores of one protocol can be compared."""
    space = {name: domain if isinstance(domain, tuple) else vars(domain) for name, domain in space_of(spec).items()}
    protocol = {
        "model": spec.name,
        "epochs": epochs,
        "limit": limit,
        "fitted_images": fitted_images,
        "validation_images": validation_images,
        "flip": best.flip,
        "warmup_epochs": best.warmup_epochs,
        "space": space,
    }
    return json.loads(json.dumps(protocol))


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Optuna's warnings about experimental features, its log of trials, and TensorFlow's advice to build fewer
    models. Optuna's log would show a traceback after an interrupt."""
    import optuna

    loggers = [logging.getLogger(name) for name in ("optuna", "tensorflow")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def sampler_for(seed: int) -> optuna.samplers.BaseSampler:
    """A TPE sampler (Bergstra et al. 2011) of all parameters jointly.

    Each trial has its own random numbers, from (seed, trial number). With one generator for all trials, every worker
    and every continued study would repeat the same first trials.
    """
    import optuna

    class Sampler(optuna.samplers.BaseSampler):
        def before_trial(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            own = int(np.random.SeedSequence((seed, trial.number)).generate_state(1)[0])
            # constant_liar: trials that other workers are running count as poor, so this worker tries other values
            self.tpe = optuna.samplers.TPESampler(seed=own, multivariate=True, constant_liar=True)

        def infer_relative_search_space(
            self, study: optuna.Study, trial: optuna.trial.FrozenTrial
        ) -> dict[str, optuna.distributions.BaseDistribution]:
            return self.tpe.infer_relative_search_space(study, trial)

        def sample_relative(
            self,
            study: optuna.Study,
            trial: optuna.trial.FrozenTrial,
            search_space: dict[str, optuna.distributions.BaseDistribution],
        ) -> JsonObject:
            return self.tpe.sample_relative(study, trial, search_space)

        def sample_independent(
            self,
            study: optuna.Study,
            trial: optuna.trial.FrozenTrial,
            param_name: str,
            param_distribution: optuna.distributions.BaseDistribution,
        ) -> object:
            return self.tpe.sample_independent(study, trial, param_name, param_distribution)

    return Sampler()


def check_protocol(study: optuna.Study, protocol: JsonObject) -> None:
    """Store the protocol in a new study. Raises InputError when an existing study has another protocol."""
    if PROTOCOL not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(PROTOCOL, protocol)
    known = study.user_attrs.get(PROTOCOL)
    if known is None or [direction.name for direction in study.directions] != ["MAXIMIZE"]:
        raise InputError(f"study {study.study_name!r} was not made by `tune`; name another with --study")
    for key, value in protocol.items():
        if known.get(key) != value:
            difference = "another search space" if key == "space" else f"{key} {known.get(key)}, not {value}"
            raise InputError(f"study {study.study_name!r} was made for {difference}; name another with --study")


def enqueue_baseline(study: optuna.Study, spec: ModelSpec, best: Recipe) -> None:
    """Make the model's `best` recipe the next trial, unless it is queued, running or finished. If it failed or was
    interrupted, it is queued again."""
    for trial in study.get_trials(deepcopy=False):
        if trial.user_attrs.get("baseline") and trial.state.name != "FAIL":
            return
    values = {**vars(best), **spec.rates, **best.build}
    study.enqueue_trial({name: values[name] for name in space_of(spec)}, user_attrs={"baseline": True})


def score(trial: optuna.Trial, spec: ModelSpec, recipe: Recipe, fitted: Split, validation: Split, seed: int) -> float:
    """Validation accuracy after the last epoch, a fraction. Raises optuna.TrialPruned when the trial is pruned."""
    import keras
    import optuna

    accuracy, pruned = math.nan, False

    class Reporter(keras.callbacks.Callback):
        def __init__(self, fed: Feed) -> None:
            super().__init__()
            self.fed = fed

        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.fed.start(epoch)

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            nonlocal accuracy, pruned
            accuracy = float((logs or {})["val_accuracy"])
            trial.report(accuracy, epoch + 1)
            # Raising here would leave the feed's threads running, so stop the fit instead. Never prune the baseline.
            last, baseline = epoch + 1 == recipe.epochs, trial.user_attrs.get("baseline")
            pruned = not last and not baseline and trial.should_prune()
            self.model.stop_training = pruned

    keras.utils.clear_session()  # otherwise every trial's graph stays in memory
    fit(spec, recipe, fitted, validation, seed=seed, callbacks=lambda fed: [Reporter(fed)], verbose=0)
    if pruned:
        raise optuna.TrialPruned
    return accuracy


def progress_text(study: optuna.Study) -> str:
    best = best_of([trial for trial in finished(study) if trial.state.name == "COMPLETE"])
    return f"best {best.value:.2%} (trial {best.number})" if best else "no trial complete yet"
