"""`fmnist-edge explain`: the layer where an export loses its accuracy."""

from __future__ import annotations

import argparse
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar, table, warn
from fmnist_edge.data.project import project_beside
from fmnist_edge.jobs.project import EXPLAIN, filled

if TYPE_CHECKING:
    from fmnist_edge.aliases import JsonObject
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.checkpoints import Checkpoint
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.explain.explanation import Explanation
    from fmnist_edge.explain.layers import LayerReport
    from fmnist_edge.runtime.contract import Contract

__all__ = ["HELP", "add_arguments", "run"]

HEADER = ["layer", "SQNR dB", "cosine", "max error", "saturated %", "own SQNR dB", "noise %", "saved %"]

HELP = Help(
    group=Group.PROVE,
    order=3,
    summary="find the layer where an export loses most",
    description="""
        Compares the output of every layer in an exported file with the same layer of the Keras model. The table has
        the layer that costs most on top, and the command ends with advice: which layer to keep in float, and what that
        is worth. The columns are:

        - "SQNR dB": ratio of the signal to the quantisation noise.
        - "saturated %": integers at the limit of their type, unless that limit stands for zero.
        - "own SQNR dB": the layer's own error, against the same layer in float on the same inputs.
        - "noise %": share of the noise at the model's output that the layer's own error makes.
        - "saved %": share of all that noise that goes when the layer is kept in float.
        """,
    examples=(
        ("An artifact of the zoo", "explain exported/tiny_resnet/int8.tflite"),
        ("A model of your own, on 100 images",
         "explain exported/my/int8.tflite --reference my.keras --images train/ --limit 100"),
    ),
    extra="train",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to explain")
    what.add_argument("artifact", metavar="ARTIFACT", help="A .tflite or .onnx file with its manifest beside it.")
    arguments.trained(what)
    arguments.reference(what)
    on = parser.add_argument_group("On which images")
    arguments.data(on)
    arguments.images(on, "Default for the zoo: training images.")
    arguments.limit(on, "Use only the first N images.", default=64)
    parser.add_argument_group("Output").add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="JSON report to write, with the plot beside it as .png; the plot shows the layers in the order of the "
        "graph. - prints it, without a plot. Default: reports/explain-<model>-<precision>.<format>.json.",
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge import checkpoints
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.errors import InputError
    from fmnist_edge.explain.explanation import check_loads, explain
    from fmnist_edge.exporters.calibration_images import calibration_for

    artifact = Artifact.open(options.artifact)
    options = filled(options, project_beside(artifact.path), EXPLAIN)
    path = options.report or Path("reports") / f"explain-{artifact.model}-{artifact.path.name}.json"
    if path.suffix == ".png":
        raise InputError(f"--report {path}: the plot is written there; name a .json file")
    check_loads(artifact)
    checkpoint = checkpoints.load(options.reference or artifact.model, folder=options.trained)
    calibration = calibration_for(artifact.contract, options.images, options.data, skip_bad=options.skip_bad)
    if calibration is None:
        raise InputError(f"{artifact.path}: the model is none of the zoo's; give images of its shape with --images")
    warn(calibration.notes)
    images = calibration.images[: options.limit]
    report = Report.at(path, optional=options.report is None)
    with progress_bar(f"explaining {artifact.model} {artifact.path.name}") as progress:
        explanation = explain(artifact, checkpoint, images, progress=progress)

    written = {"images_source": calibration.source, **explanation.as_dict()}
    report.write(written)
    with report.beside():
        print(f"{artifact.path} against {checkpoint.path}, {explanation.images} images ({calibration.source}):\n")
        print(table(HEADER, [row(explanation, layer, checkpoint) for layer in explanation.by_damage]))
        print(f"\n{advice(explanation, options, checkpoint)}")
        draw(report, written)


def draw(report: Report, written: JsonObject) -> None:
    """Draw the plot beside the report, if that is a file."""
    from fmnist_edge.commands.reports import STDOUT
    from fmnist_edge.explain.plot import draw_layers

    if report.path is not None and report.path != STDOUT:
        plot = report.path.with_suffix(".png")
        draw_layers(written, plot)
        report.say_written(f" and {plot.name}", before="\n")


def row(explanation: Explanation, report: LayerReport, checkpoint: Checkpoint) -> list[str]:
    error, saturation = report.error, report.saturation.share
    return [
        " + ".join(map(checkpoint.shown_name, report.layers)),
        decibels(error.sqnr_db, error.exact),
        "–" if error.cosine is None else f"{error.cosine:.5f}",
        f"{error.max_abs_error:.2g}" if not error.non_finite else "not finite",
        "–" if saturation is None else f"{saturation * 100:.2f}",
        decibels(report.own.sqnr_db, report.own.exact),
        f"{explanation.share(report.noise) * 100:.1f}",
        f"{explanation.share(report.saved) * 100:.1f}",
    ]


def decibels(value: float | None, exact: bool) -> str:
    if exact:
        return "∞"
    return "–" if value is None else f"{value:.1f}"


def advice(explanation: Explanation, options: argparse.Namespace, checkpoint: Checkpoint) -> str:
    """What to keep in float and what that is worth, in a sentence and a command."""
    from fmnist_edge.catalog.precisions import PRECISIONS
    from fmnist_edge.exporters.options import Options
    from fmnist_edge.exporters.recipe import precision_of

    artifact, error = explanation.artifact, explanation.output.error
    output = f"Output: SQNR {decibels(error.sqnr_db, error.exact)} dB."
    broken = [report for report in explanation.reports.values() if report.error.non_finite]
    if broken:
        return f"{output} {checkpoint.shown_name(broken[0].layer)} is the first layer whose values are not finite."
    recipe = precision_of(artifact.manifest)
    if recipe.weights == "float32":
        return f"{output} Nothing in this file is quantised; only the order of sums differs."
    if not explanation.remedies:
        return f"{output} Keeping a layer in float would make no difference."
    best = explanation.remedies[0]
    name, *others = map(checkpoint.shown_name, best.layers)
    kept, why = name, ""
    if others:
        kept += f" and the layers that read it ({', '.join(others)})"
        why = " Most of its error comes from rounding its output for them."
    share = explanation.share(best.saved)
    sentence = f"{output} Keep {kept} in float: that removes an estimated {share:.0%} of the noise at the output.{why}"
    selective = [item.name for item in PRECISIONS if item.format == recipe.format and item.selective and not item.stock]
    if artifact.precision not in selective:
        return f"{sentence} ({artifact.precision} cannot; {' and '.join(selective)} can)"
    command = ["export", options.reference or artifact.model, "--format", recipe.format]
    command += ["--precision", artifact.precision]
    command += [*as_before(artifact, options), *Options.of(recipe).arguments()]
    for layer in dict.fromkeys([*artifact.manifest.keep_float, *best.layers]):
        command += ["--keep-float", checkpoint.shown_name(layer)]
    return f"{sentence}\n\n  fmnist-edge {shlex.join(command)}"


def as_before(artifact: Artifact, options: argparse.Namespace) -> list[str]:
    """The options that another export like that of `artifact` needs."""
    from fmnist_edge.exporters.tasks import options_of

    batch, contract = artifact.manifest.batch, artifact.contract
    used = contract.preprocessing
    given = {"batch": "dynamic" if batch is None else str(batch)} if batch != 1 else {}
    if options.images is not None:
        given["calibration"] = options.images
    if options.trained != Path("trained_model"):
        given["trained"] = str(options.trained)
    if getattr(options, "labels", None) is not None:  # of the project file
        given["labels"] = options.labels
    if contract.resize != "bilinear":
        given["resize"] = contract.resize
    if artifact.model not in MODELS and contract.polarity is not None:
        given["polarity"] = contract.polarity
    out = artifact.path.absolute().parents[1]
    if out != Path(arguments.EXPORTED).absolute():
        given["out"] = str(out.relative_to(Path.cwd()) if Path.cwd() in out.parents else out)
    given |= options_of(contract)
    usual = input_words(replace(contract, preprocessing=type(used)(), fit="stretch", fill=0))
    # One word each: a value may begin with a minus sign.
    words = [f"--{name}={value}" for name, value in given.items()]
    return words + [word for word in input_words(contract) if word not in usual]


def input_words(contract: Contract) -> list[str]:
    """The options that say how an image becomes the model's input."""
    used = contract.preprocessing
    return [
        f"--scale={used.scale!r}",
        f"--mean={written(used.mean)}",
        f"--std={written(used.std)}",
        f"--channel-order={used.order}",
        f"--fit={contract.fit}",
        f"--fill={written(contract.fill)}",
    ]


def written(value: float | tuple[float, ...]) -> str:
    """One number, or one for each channel, as the command line takes it."""
    return ",".join(map(repr, value)) if isinstance(value, tuple) else repr(value)
