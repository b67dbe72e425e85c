"""`fmnist-edge check`: prove that artifacts give the answers of their Keras model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import table, track
from fmnist_edge.errors import GateError

if TYPE_CHECKING:
    from fmnist_edge.parity import PairedAccuracy
    from fmnist_edge.parity.check import CheckedArtifact

__all__ = ["HELP", "add_arguments", "run"]

PARITY_HEADER = [
    "model",
    "artifact",
    "accuracy %",
    "Δ accuracy pp [95 %]",
    "McNemar p",
    "verdict",
    "agreement %",
    "max Δ",
    "gate",
]

HELP = Help(
    group=Group.PROVE,
    order=1,
    summary="compare artifacts with their Keras model, image by image",
    description="""
        Runs each artifact and its Keras model on the same images, and judges whether they are still the same model.
        Each precision has gates of its own, for the accuracy, for how often both choose the same class, and for how
        far their outputs lie apart.

        The verdict compares Tango's 95 % interval of the difference in accuracy with a margin: 0.1 percentage points
        for float precisions, 0.5 for integer ones. "inferior" fails; "inconclusive" needs more images. McNemar's
        exact p answers whether both are equally accurate. The JSON report also has the flips by class, the drift of
        the confidence, and the calibration error (ECE).
        """,
    examples=(
        ("What is in exported/", "check exported"),
        ("Record the verdicts in the manifests", "check exported/tiny_resnet --record"),
        ("A model and images of your own",
         "check exported/my --reference my.keras --images images.npy --labels labels.npy"),
    ),
    gate="an artifact missed a gate",
    extra="export",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to check")
    arguments.artifacts(what)
    arguments.trained(what)
    arguments.reference(what)
    on = parser.add_argument_group("On which images")
    arguments.data(on)
    arguments.images(on)
    on.add_argument(
        "--labels", metavar="FILE.npy", help="Classes of your own images, as numbers; the gates on accuracy need them."
    )
    arguments.limit(on, "Use only the first N images; the report says so.")
    output = parser.add_argument_group("Output")
    arguments.report(output, "reports/parity.json")
    output.add_argument(
        "--record",
        action="store_true",
        help="Write each verdict into the manifest, where `doctor` reads it.",
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.parity.check import check
    from fmnist_edge.parity.evaluation import evaluation_for

    report = Report.of(options)
    artifacts = collect(options.artifacts)
    shape = artifacts[0].contract.input_shape
    evaluation = evaluation_for(options.images, options.labels, options.limit, options.data, shape)
    checked = list(check(artifacts, evaluation, trained=options.trained, reference=options.reference, track=track))
    rows = [row.as_dict() for row in checked]
    report.write(  # first: it took minutes
        {"schema": 1, "images": len(evaluation.images), "source": evaluation.source, "rows": rows}, locked=True
    )
    if options.record:
        for row in checked:
            row.record(evaluation.source)
    with report.beside():
        print(f"Parity on {len(evaluation.images):,} images of {evaluation.source}:\n")
        print(table(PARITY_HEADER, [parity_row(row) for row in checked]))
        open_verdicts = inconclusive(checked)
        if open_verdicts:
            print(f"\n{open_verdicts}")
        report.say_written(" and the verdicts into the manifests" * options.record, before="\n")
    for row in checked:
        if not row.report.passed:
            worst = ", ".join(map(str, row.report.worst_images))
            found = "; ".join(row.report.failures)
            print(f"FAILED {row.artifact.path}: {found} (worst images: {worst})", file=sys.stderr)
    failed = sum(not row.report.passed for row in checked)
    if failed:
        raise GateError(f"{failed} of {len(checked)} artifacts failed their gate")


def parity_row(row: CheckedArtifact) -> list[str]:
    report = row.report
    return [
        row.artifact.model,
        row.artifact.path.name,
        percent(report.accuracy),
        *accuracy_cells(report.statistics.accuracy),
        percent(report.agreement),
        f"{report.max_abs_delta:.1e}",
        "pass" if report.passed else "FAIL",
    ]


def accuracy_cells(paired: PairedAccuracy | None) -> list[str]:
    """The difference in accuracy with its interval, McNemar's p and the verdict; dashes without labels."""
    if paired is None:
        return ["–"] * 3
    difference, lower, upper = (f"{value * 100:+.2f}" for value in (paired.difference, paired.lower, paired.upper))
    p = f"{paired.mcnemar_p:.3f}" if paired.mcnemar_p >= 0.001 else f"{paired.mcnemar_p:.0e}"
    return [f"{difference} [{lower}, {upper}]", p, paired.verdict or "–"]


def inconclusive(checked: Sequence[CheckedArtifact]) -> str:
    """One line about the artifacts whose verdict is inconclusive; empty when there are none."""
    paired = [row.report.statistics.accuracy for row in checked]
    opened = [item for item in paired if item is not None and item.verdict == "inconclusive"]
    if not opened:
        return ""
    line = f"inconclusive on {opened[0].images:,} images: {len(opened)} of {len(checked)} artifacts"
    needed = [item.images_needed for item in opened]
    enough = [number for number in needed if number is not None]
    if enough:
        line += f"; about {max(enough):,} images are needed to show non-inferiority (see `images_needed` in the report)"
    if None in needed:
        line += f"; {needed.count(None)} lost the margin or more here, and more images are unlikely to change that"
    return line


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.2f}"
