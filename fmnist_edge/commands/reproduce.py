"""`fmnist-edge reproduce`: is an artifact what its manifest makes today?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.console import track
from fmnist_edge.errors import ArtifactError, GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.checkpoints import Checkpoint
    from fmnist_edge.export.calibration_images import Calibration
    from fmnist_edge.export.reproduce import Recipe, Reproduction

__all__ = ["run"]

SHOWN = 20  # differences of a file; the report has them all


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.export.recovery.judge import judge_for
    from fmnist_edge.export.reproduce import Recipe, reproduce
    from fmnist_edge.files import check_writable, write_json

    check_writable(options.report.parent)
    recipes = [Recipe.read(path) for path in options.manifests]
    found = []
    for recipe in track(recipes, "exporting again"):
        checkpoint = model_of(recipe, options)
        calibration = calibration_of(recipe, options)

        def lessons(recipe: Recipe = recipe, calibration: Calibration | None = calibration) -> Any:
            if calibration is None:
                raise ArtifactError(f"{recipe.path}: its manifest tells of a remedy, and of no calibration images")
            own = options.calibration is not None
            return judge_for(recipe.manifest.contract, calibration, options.data, own=own).lessons

        found.append(reproduce(recipe, checkpoint, calibration, lessons))
    write_json(options.report, {"schema": 1, "artifacts": [item.as_dict() for item in found]})
    for item in found:
        show(item)
    print(f"wrote {options.report}")
    different = sum(not item.identical for item in found)
    if different:
        raise GateError(f"{different} of {len(found)} exports came out otherwise than their manifests say")


def model_of(recipe: Recipe, options: argparse.Namespace) -> Checkpoint:
    """The file named with --model, or the zoo's of the recipe's name."""
    from fmnist_edge import checkpoints
    from fmnist_edge.lookup import MODELS

    if options.model is not None:
        return checkpoints.load(
            options.model if options.model in MODELS else Path(options.model), folder=options.trained
        )
    if recipe.model.name not in MODELS:
        raise InputError(
            f"{recipe.path} was made from {recipe.model.name!r} (SHA-256 {recipe.model.sha256[:12]}…), which is not of "
            "the zoo; name its file with --model"
        )
    return checkpoints.load(recipe.model.name, folder=options.trained)


def calibration_of(recipe: Recipe, options: argparse.Namespace) -> Calibration | None:
    """The images of --calibration, or those that the manifest's seed selects from Fashion-MNIST."""
    from fmnist_edge.export.calibration_images import calibration_for

    used = recipe.manifest.calibration
    if used is None:
        return None
    count, seed = used.images, used.seed
    selected = options.calibration is None and seed is not None
    if options.calibration is None and not selected:
        raise InputError(
            f"{recipe.path} was calibrated with {count:,} images of its user's own; give them with --calibration"
        )
    chosen: dict[str, int] = {} if seed is None else {"count": count, "seed": seed}
    found = calibration_for(recipe.manifest.contract, options.calibration, options.data, **chosen)
    if found is None:
        raise InputError(f"{recipe.path} was calibrated with {count:,} images; give them with --calibration")
    return found


def show(item: Reproduction) -> None:
    if item.identical:
        print(f"{item.path}: identical ({item.size_bytes:,} bytes, SHA-256 {item.sha256[:12]}…)")
    else:
        print(f"{item.path}: differs")
    for line in item.differences[:SHOWN]:
        print(f"  {line}")
    if len(item.differences) > SHOWN:
        print(f"  … and {len(item.differences) - SHOWN} more, see the report")
    for name, (then, now) in item.versions.items():
        print(f"  version of {name}: {then} then, {now or 'not installed'} now")
