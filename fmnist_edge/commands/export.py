"""`fmnist-edge export`: convert models, each file with its manifest."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar, table, track
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.catalog.precisions import Precision
    from fmnist_edge.checkpoints import Checkpoint

__all__ = ["HELP", "add_arguments", "run"]

HEADER = ["artifact", "kB", "ops", "float ops", "sha256"]

HELP = Help(
    group=Group.EXPORT,
    order=1,
    summary="convert models to TFLite, ONNX and other formats",
    description="""
        Converts Keras models to the formats and precisions that devices want. Each file gets a manifest beside it, a
        .json file with the file's SHA-256, its input and output, and how it was made; the other commands read it.

        A model is one of the zoo, or a .keras, .h5 or SavedModel of your own. Nothing from the model file is
        executed. A model that is not for Fashion-MNIST needs --calibration for integer precisions.

        The table shows each file's size, its ops, how many of them compute in float, and the start of its SHA-256.
        """,
    examples=(
        ("All precisions of TFLite and ONNX", "export tiny_resnet"),
        ("One precision of a model of your own",
         "export my.keras --format tflite --precision int8 --calibration images.npy --labels labels.txt"),
        ("Lose at most 0.2 percentage points of accuracy",
         "export tiny_resnet --format tflite --precision int8 --tune-accuracy 0.2"),
    ),
    gate="with --tune-accuracy: no remedy kept the loss within PP",
    extra="export",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_what(parser.add_argument_group("What to export"))
    add_how(parser.add_argument_group("Integer precisions"))
    add_contract(parser.add_argument_group("What devices must know"))
    arguments.out(
        parser.add_argument_group("Output"),
        arguments.EXPORTED,
        "The files are DIR/<model>/<precision>.<format>, with a manifest beside each.",
    )


def add_what(what: arguments.Arguments) -> None:
    what.add_argument(
        "models", nargs="+", metavar="MODEL", help="A model of the zoo, or the path of a .keras, .h5 or SavedModel."
    )
    arguments.trained(what)
    what.add_argument(
        "--format",
        default="all",
        choices=[*FORMATS, "all"],
        metavar="FORMAT",
        help="Format of the files; all is tflite and onnx.",
    )
    what.add_argument(
        "--precision",
        action="append",
        metavar="NAME",
        help="A precision, such as float32 or int8. Default: every precision of the format.",
    )
    what.add_argument("--batch", type=arguments.batch_size, default=1, metavar="1|N|dynamic", help="Images per call.")


def add_how(how: arguments.Arguments) -> None:
    arguments.data(how)
    arguments.calibration(
        how,
        "Images that set the integer ranges: an array, or a folder of PNGs and JPEGs. Take some hundred that look like "
        "what the device will see. Default for Fashion-MNIST: 500 training images.",
    )
    how.add_argument(
        "--keep-float",
        action="append",
        default=[],
        metavar="LAYER",
        help="A Keras layer that computes in float in an integer file. `explain` names the one to choose.",
    )
    how.add_argument(
        "--tune-accuracy",
        type=arguments.number,
        metavar="PP",
        help="Lose at most PP percentage points of accuracy in precisions that are calibrated. Tries equalisation, "
        "bias correction, fine-tuning and layers in float, one after another, until one is enough. The judge is the "
        "validation split, or every other one of your own calibration images.",
    )
    how.add_argument(
        "--budget",
        type=arguments.number,
        default=10.0,
        metavar="MIN",
        help="With --tune-accuracy: start no further remedy for a file after MIN minutes.",
    )


def add_contract(contract: arguments.Arguments) -> None:
    contract.add_argument(
        "--labels",
        type=Path,
        metavar="FILE.txt",
        help="Names of the classes, one per line, in the order of the output.",
    )
    contract.add_argument(
        "--polarity",
        choices=["light-on-dark", "dark-on-light", "either"],
        metavar="POLARITY",
        help="How the images look that the model was trained on; devices warn about others. Default: light-on-dark for "
        "Fashion-MNIST, else either.",
    )
    contract.add_argument(
        "--resize",
        default="bilinear",
        choices=["nearest", "box", "bilinear", "bicubic", "lanczos"],
        metavar="FILTER",
        help="How devices bring image files to the size of the model's input.",
    )
    contract.add_argument(
        "--scale",
        type=float,
        default=1 / 255,
        metavar="X",
        help="The model's input is (pixel * scale - mean) / std. Default: 1/255.",
    )
    contract.add_argument("--mean", type=float, default=0.0, metavar="X", help="See --scale.")
    contract.add_argument("--std", type=float, default=1.0, metavar="X", help="See --scale.")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge import checkpoints
    from fmnist_edge.catalog.precisions import select
    from fmnist_edge.export.calibration_images import calibration_for
    from fmnist_edge.export.contracts import contract_for
    from fmnist_edge.export.pipeline import export
    from fmnist_edge.files import locked
    from fmnist_edge.runtime.preprocess import Preprocessing

    precisions = select(options.format, options.precision)
    if options.tune_accuracy is not None and options.keep_float:
        raise InputError("--tune-accuracy itself chooses the layers to keep in float; leave --keep-float out")
    if options.tune_accuracy is not None and not any(precision.calibrated for precision in precisions):
        names = ", ".join(precision.filename for precision in precisions)
        raise InputError(f"--tune-accuracy is for calibrated precisions, such as int8, and not for {names}")
    if options.tune_accuracy is not None and options.format == "c-array":
        raise InputError("--tune-accuracy has to run the files, and a c-array does not run here; use --format tflite")
    preprocessing = Preprocessing(options.scale, options.mean, options.std)
    artifacts = []
    for name in options.models:
        checkpoint = checkpoints.load(name, folder=options.trained)
        contract = contract_for(checkpoint, preprocessing, options.labels, options.polarity, options.resize)
        calibration = None
        if any(precision.calibrated for precision in precisions):
            calibration = calibration_for(contract, options.calibration, options.data)
        arguments = {"batch": options.batch, "calibration": calibration}
        folder = options.out / checkpoint.name
        with locked(folder):
            for precision in track(precisions, f"exporting {checkpoint.name}"):
                what = (checkpoint, precision, contract, folder)
                if options.tune_accuracy is not None and precision.calibrated and calibration is not None:
                    artifacts.append(tuned(options, *what, **arguments))
                else:
                    artifacts.append(export(*what, **arguments, keep_float=tuple(options.keep_float)))
    print(listed(artifacts))
    short = [item for item in artifacts if item.manifest.recovery and not item.manifest.recovery.passed]
    if short:
        paths = ", ".join(str(artifact.path) for artifact in short)
        raise GateError(
            f"no remedy kept the loss within {options.tune_accuracy} pp; wrote the best file found: {paths}"
        )


def listed(artifacts: Sequence[Artifact]) -> str:
    return table(HEADER, [row(artifact) for artifact in artifacts], left=["sha256"])


def row(artifact: Artifact) -> list[str]:
    manifest, islands = artifact.manifest, artifact.manifest.float_ops
    return [
        str(artifact.path),
        f"{(manifest.size_bytes or 0) / 1000:,.0f}",
        f"{sum(manifest.op_census.values())}",
        "all" if islands == "all" else str(len(islands)),
        manifest.sha256[:12],
    ]


def tuned(
    options: argparse.Namespace, checkpoint: Checkpoint, precision: Precision, *what: Any, **arguments: Any
) -> Artifact:
    """Export with --tune-accuracy, and print a table of the remedies that were tried."""
    from fmnist_edge.explain.explanation import weakest_layers
    from fmnist_edge.export.recovery.ladder import LADDER
    from fmnist_edge.export.recovery.tuned import export_tuned
    from fmnist_edge.export.recovery.validation import validation_images_for

    contract, calibration = what[0], arguments["calibration"]
    validation = validation_images_for(contract, calibration, options.data, own=options.calibration is not None)
    with progress_bar(f"tuning {checkpoint.name} {precision.filename}") as progress:
        progress(0, len(LADDER), LADDER[0].name)
        artifact, steps = export_tuned(
            checkpoint,
            precision,
            *what,
            **arguments,
            validation=validation,
            weakest_layers=weakest_layers,
            allowed=options.tune_accuracy / 100,
            budget_s=options.budget * 60,
            report=lambda count, step: progress(
                count, len(LADDER), f"{step.rung}: {step.accuracy_drop * 100:.2f} pp lost"
            ),
        )
    print(f"{artifact.path}: accuracy lost on {len(validation.images):,} images ({validation.source})\n")
    cells = [
        [step.rung, f"{step.accuracy_drop * 100:.2f}", "yes" if step.passed else "no", f"{step.seconds:.0f}"]
        for step in steps
    ]
    print(table(["remedy", "drop pp", "enough", "s"], cells) + "\n")
    return artifact
