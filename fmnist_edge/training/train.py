"""Train a model of the zoo for release: resumable, seeds compared on validation images, test images read last."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import shutil
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge import checkpoints
from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.environment import cpu_model
from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.fashion_mnist import Split
from fmnist_edge.errors import InputError
from fmnist_edge.files import (
    check_writable,
    json_text,
    locked,
    remove_folder,
    sha256_of,
    write_all,
    write_via,
    writer_of,
)
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec
from fmnist_edge.training.curve import Curve, epoch_callback
from fmnist_edge.training.evaluation import evaluate
from fmnist_edge.training.feed import Feed, TeacherLogits
from fmnist_edge.training.fit import fit

if TYPE_CHECKING:
    import keras

__all__ = ["SCHEMA", "train"]

SCHEMA = 2


@dataclass
class Run:
    """One seed's finished training."""

    seed: int
    curve: Curve
    file: Path
    model: keras.Model
    validation: JsonObject | None
    test: JsonObject


def train(
    spec: ModelSpec,
    recipe: Recipe,
    *,
    out: Path,
    scratch: Path,
    seeds: Sequence[int] = (0,),
    resume: bool = False,
    teachers: Path | None = None,
    data_folder: str | Path | None = None,
    limit: int | None = None,
) -> JsonObject:
    """Train `spec` with `recipe` once per seed; write `<name>.keras` and `<name>.json`, its card, to `out`.

    The seed with the best validation accuracy is released. Of equal seeds it is the first, and so it is when the recipe
    fits on the validation images too. The card has the figures of every seed.

    Args:
        scratch: folder for each seed's checkpoint of its last finished epoch and its learning curve so far.
        resume: continue from `scratch`. Otherwise a new run starts, and old checkpoints are deleted.
        teachers: folder of the recipe's teachers, by default `out`.
        limit: use only that many images of each split, to try things out; the card says so.

    Returns the card. Raises CheckpointError when `scratch` belongs to another run, FileError when `out` cannot be
    written or another run is using `scratch`, UnavailableError when a teacher is not trained yet. All of these are
    checked before training starts.
    """
    check_writable(out)
    with locked(scratch):
        return train_locked(spec, recipe, out, scratch, seeds, resume, teachers, data_folder, limit)


def train_locked(
    spec: ModelSpec,
    recipe: Recipe,
    out: Path,
    scratch: Path,
    seeds: Sequence[int],
    resume: bool,
    teachers: Path | None,
    data_folder: str | Path | None,
    limit: int | None,
) -> JsonObject:
    """`train`, with the lock of `scratch` held."""
    if not resume:
        empty(scratch)
    run = {"model": spec.name, "recipe": dataclasses.asdict(recipe), "limit": limit}
    curves = {seed: Curve(scratch / f"seed-{seed}", {**run, "seed": seed}) for seed in seeds}
    fitted, validation, test = splits(spec, recipe, data_folder, limit)
    teacher_logits, digests = None, {}
    if recipe.teachers:
        from fmnist_edge.training import distillation

        teacher_logits = distillation.TeacherLogits(recipe, fitted, teachers or out, scratch.parent / "teacher-logits")
        digests = teacher_logits.digests

    runs = []
    for seed, curve in curves.items():
        file = curve.folder / f"{spec.name}.keras"
        if not file.exists():
            fit_and_save(spec, recipe, fitted, validation, curve, seed, teacher_logits, file)
        model = checkpoints.load(file).model
        checked = None if validation is None else evaluate(model, validation)
        runs.append(Run(seed, curve, file, model, checked, evaluate(model, test)))
    chosen = max(runs, key=lambda run: run.validation["accuracy"] if run.validation else 0.0)

    card = card_of(spec, chosen, runs, fitted_images=len(fitted), teachers=digests)
    card["sha256"] = sha256_of(chosen.file)
    with locked(out, wait=True):
        write_all(
            {
                out / f"{spec.name}.keras": lambda path: shutil.copyfile(chosen.file, path),
                out / f"{spec.name}.json": writer_of(json_text(card)),
            }
        )
    remove_folder(scratch)
    return card


def empty(scratch: Path) -> None:
    """Empty `scratch`. A seed's folder is removed in one step: half of one would be resumed as if it were complete."""
    for folder in scratch.iterdir():
        if folder.is_dir():
            remove_folder(folder)
        else:
            folder.unlink()


def splits(
    spec: ModelSpec, recipe: Recipe, folder: str | Path | None, limit: int | None
) -> tuple[Split, Split | None, Split]:
    """(fitted, validation, test) images by `spec` and `recipe`, at most `limit` of each."""
    if limit is not None and limit < 1:
        raise InputError(f"limit must be at least 1 image, got {limit}")
    fitted: Split
    validation: Split | None
    if recipe.fit_validation:
        fitted, validation = fashion_mnist.load("train", folder).part(0, spec.train_images), None
    else:
        fitted, validation = fashion_mnist.train_and_validation(spec.train_images, spec.validation_images, folder)
        validation = validation.part(0, limit or len(validation))
    test = fashion_mnist.load("test", folder)
    return fitted.part(0, limit or len(fitted)), validation, test.part(0, limit or len(test))


def fit_and_save(
    spec: ModelSpec,
    recipe: Recipe,
    fitted: Split,
    validation: Split | None,
    curve: Curve,
    seed: int,
    teacher_logits: TeacherLogits | None,
    file: Path,
) -> None:
    """Fit, starting after the last finished epoch in `curve.folder`; write the model without its optimizer state."""
    import keras

    def callbacks(fed: Feed) -> list[keras.callbacks.Callback]:
        # The curve is written before the checkpoint. A kill between the two repeats an epoch and overwrites its record.
        return [
            epoch_callback(fed, curve),
            keras.callbacks.BackupAndRestore(curve.folder / "state", double_checkpoint=True),
        ]

    model = fit(spec, recipe, fitted, validation, seed=seed, teacher_logits=teacher_logits, callbacks=callbacks)
    bare = keras.Model(model.inputs, model.outputs, name=model.name)
    write_via(file, bare.save)


def card_of(
    spec: ModelSpec, chosen: Run, runs: Sequence[Run], *, fitted_images: int, teachers: dict[str, str]
) -> JsonObject:
    """The card of a released model, ready for JSON."""
    import keras

    return {
        "schema": SCHEMA,
        **chosen.curve.run,
        "parameters": chosen.model.count_params(),
        "published_accuracy": spec.published_accuracy,
        "fitted_images": fitted_images,
        "validation": chosen.validation,
        "test": chosen.test,
        "seeds": [
            {
                "seed": run.seed,
                "validation_accuracy": run.validation["accuracy"] if run.validation else None,
                "test_accuracy": run.test["accuracy"],
                "wall_time_s": run.curve.seconds,
                "weights_sha256": weights_sha256(run.model),
            }
            for run in runs
        ],
        "spread": spread([run.test["accuracy"] for run in runs]),
        "teachers": teachers,
        "weights_sha256": weights_sha256(chosen.model),
        "wall_time_s": chosen.curve.seconds,
        "images_per_second": round(fitted_images * len(chosen.curve.records) / chosen.curve.seconds, 1),
        "backend": keras.backend.backend(),
        "machine": {"cpu": cpu_model(), "cores": os.cpu_count(), "devices": keras.distribution.list_devices()},
        "versions": {"keras": keras.version(), "numpy": np.__version__, "python": platform.python_version()},
        "curve": chosen.curve.records,
    }


def spread(accuracies: Sequence[float]) -> dict[str, float | int | None]:
    """Mean and sample standard deviation of test accuracy over seeds, as fractions."""
    deviation = round(statistics.stdev(accuracies), 6) if len(accuracies) > 1 else None
    return {"seeds": len(accuracies), "mean": round(statistics.fmean(accuracies), 6), "stdev": deviation}


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 of the float32 weights in the model's order. It does not depend on the file that holds them."""
    digest = hashlib.sha256()
    for weight in model.get_weights():
        digest.update(np.ascontiguousarray(weight, np.float32).tobytes())
    return digest.hexdigest()
