"""`fmnist-edge reproduce`: does the manifest of an artifact still lead to the same bytes?"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import track
from fmnist_edge.errors import ArtifactError, GateError, InputError

if TYPE_CHECKING:
    import numpy as np

    from fmnist_edge.checkpoints import Checkpoint
    from fmnist_edge.exporters.calibration_images import Calibration
    from fmnist_edge.exporters.reproduce import Recipe, Reproduction

__all__ = ["HELP", "add_arguments", "run"]

SHOWN = 20  # differences of a file; the report has them all

HELP = Help(
    group=Group.PROVE,
    order=4,
    summary="export again from a manifest, and compare the bytes",
    description="""
        Exports again what a manifest describes, into a temporary folder. The model and the calibration images must
        have the SHA-256 that the manifest names.

        Prints "identical", or the bytes, sections and tensors that differ and every package whose version changed.
        """,
    examples=(
        ("A file of the zoo", "reproduce exported/tiny_resnet/int8.tflite.json"),
        ("A model of your own, with the images it was calibrated on",
         "reproduce exported/my/int8.tflite.json --model my.keras --calibration images.npy"),
    ),
    gate="a file differs",
    extra="export",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to reproduce")
    what.add_argument(
        "manifests", nargs="+", type=Path, metavar="MANIFEST", help="The .json file beside an exported file."
    )
    what.add_argument(
        "--model", metavar="MODEL", help="Keras file that the artifact was made from. Default: the zoo's own."
    )
    arguments.trained(what)
    arguments.data(what)
    arguments.calibration(what, "Images that `export` was given, if it was given any.")
    arguments.report(parser.add_argument_group("Output"), "reports/reproduce.json")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.exporters.recovery.validation import validation_images_for
    from fmnist_edge.exporters.reproduce import Recipe, reproduce

    report = Report.of(options)
    recipes = [Recipe.read(path) for path in options.manifests]
    found = []
    for recipe in track(recipes, "exporting again"):
        checkpoint = model_of(recipe, options)
        calibration = calibration_of(recipe, options)

        def fine_tuning_images(recipe: Recipe = recipe, calibration: Calibration | None = calibration) -> np.ndarray:
            if calibration is None:
                raise ArtifactError(
                    f"{recipe.path}: the manifest names a remedy but no calibration images; export the model again"
                )
            own = options.calibration is not None
            return validation_images_for(
                recipe.manifest.contract, calibration, options.data, own=own
            ).fine_tuning_images

        found.append(reproduce(recipe, checkpoint, calibration, fine_tuning_images))
    report.write({"schema": 1, "artifacts": [item.as_dict() for item in found]})
    with report.beside():
        for item in found:
            show(item)
        report.say_written()
    different = sum(not item.identical for item in found)
    if different:
        raise GateError(f"{different} of {len(found)} exports differ from what their manifests say")


def model_of(recipe: Recipe, options: argparse.Namespace) -> Checkpoint:
    """The file named with --model, or the zoo's of the recipe's name."""
    from fmnist_edge import checkpoints
    from fmnist_edge.catalog.models import MODELS

    if options.model is not None:
        return checkpoints.load(
            options.model if options.model in MODELS else Path(options.model), folder=options.trained
        )
    if recipe.model.name not in MODELS:
        raise InputError(
            f"{recipe.path} was made from {recipe.model.name!r} (SHA-256 {recipe.model.sha256[:12]}…), which is not in "
            "the zoo; name its file with --model"
        )
    return checkpoints.load(recipe.model.name, folder=options.trained)


def calibration_of(recipe: Recipe, options: argparse.Namespace) -> Calibration | None:
    """The images of --calibration, or those that the manifest's seed selects from Fashion-MNIST."""
    from fmnist_edge.exporters.calibration_images import calibration_for

    used = recipe.manifest.calibration
    if used is None:
        return None
    count, seed = used.images, used.seed
    selected = options.calibration is None and seed is not None
    if options.calibration is None and not selected:
        raise InputError(
            f"{recipe.path} was calibrated with {count:,} images of its user; give them with --calibration"
        )
    contract, given = recipe.manifest.contract, options.calibration
    if seed is None:
        found = calibration_for(contract, given, options.data)
    else:
        found = calibration_for(contract, given, options.data, count=count, seed=seed)
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
        print(f"  … and {len(item.differences) - SHOWN} more; the report has them all")
    for name, (then, now) in item.versions.items():
        print(f"  version of {name}: was {then}, is {now or 'not installed'}")
