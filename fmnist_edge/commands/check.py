"""`fmnist-edge check`: prove that artifacts give the answers of their Keras model."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.check_confidence import confidence_failures, confidence_table
from fmnist_edge.commands.check_on import add_on, elsewhere_failures, elsewhere_for, elsewhere_table
from fmnist_edge.commands.check_tasks import task_tables
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import table, track, warn
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

        A gate fails when the images show that it is missed. One image of 500 shows nothing: it is "inconclusive", and
        the exit code is 0 unless --strict is given. From 10,000 images on, the figures found decide.

        The verdict compares Tango's 95 % interval of the difference in accuracy with a margin: 0.1 percentage points
        for float precisions, 0.5 for integer ones. "inferior" fails; "inconclusive" needs more images. McNemar's
        exact p answers whether both are equally accurate.

        The gate says UNPROVEN, and the exit code is 1, if the Keras model itself is at chance on labelled images or
        answers all images alike: then both forms are equally blind, because of a wrong --scale as a rule.

        A binary model answers by its threshold; a second table shows the area under the ROC curve. An image of a
        multilabel model is right if all its labels are; a second table shows each label, and the mean average
        precision. The outputs of a tensor model are compared as numbers: their relative error, SQNR and cosine.

        The JSON report also has the flips by class, the drift of the confidence, and the calibration error (ECE).

        For a file with a fitted confidence (see `confidence`), a second table shows the calibration error without and
        with it, the share of images that is answered, the error among the answered, and which share of images that
        are none of the classes is unknown: noise, gradients, constants. Fewer than 90 % of noise and constants fail.

        A web folder resizes images itself. One line says in how many image files its pixels, scores and classes are
        not Python's: its golden photos, and up to 100 of --images.
        """,
    examples=(
        ("What is in exported/", "check exported"),
        ("On a Raspberry Pi; give it again after a broken link", "check exported/tiny_resnet --on pi@raspberrypi"),
        ("Record the verdicts in the manifests", "check exported/tiny_resnet --record"),
        ("A model and images of your own",
         "check exported/my --reference my.keras --images test/"),
    ),
    gate="an artifact missed a gate, or parity with its Keras model proves nothing",
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
    arguments.labels(
        on,
        "Classes of your own images, where PATH does not give them; gates on accuracy need them. For a multilabel "
        "model 0 or 1 for each image and label.",
    )
    arguments.limit(on, "Use only the first N images; the report says so.")
    add_on(parser)
    output = parser.add_argument_group("Output")
    arguments.report(output, "reports/parity.json")
    output.add_argument(
        "--strict",
        action="store_true",
        help="Fail also when the images are too few to decide: a gate or a verdict is inconclusive.",
    )
    output.add_argument(
        "--record",
        action="store_true",
        help="Write each verdict into the manifest, where `doctor` reads it.",
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect, collect_usable
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.jobs.check import as_report, checked_groups, merged, record

    report = Report.of(options)
    if options.on is None:
        artifacts, left_out = collect_usable(options.artifacts)
        warn(left_out)
    else:
        artifacts = collect(options.artifacts, for_devices=True)
    groups = checked_groups(options, artifacts, track, elsewhere_for)
    for evaluation, _ in groups:
        warn(evaluation.notes)
    checked = [row for _, rows in groups for row in rows]
    report.write(as_report(groups, options.on), merge=merged)  # first: it took minutes
    if options.record:
        record(groups)
    with report.beside():
        for evaluation, rows in groups:
            print(f"Parity on {len(evaluation.images):,} images of {evaluation.source}:\n")
            print(table(PARITY_HEADER, [parity_row(row) for row in rows]))
            print(task_tables(rows) + elsewhere_table(rows) + confidence_table(rows), end="")
            for row in rows:
                if row.files is not None:
                    print(f"\n{row.artifact.path}: {row.files.line}")
            open_verdicts = inconclusive(rows)
            if open_verdicts:
                print(f"\n{open_verdicts}")
            if rows is not groups[-1][1]:
                print()
        report.say_written(" and the verdicts into the manifests" * options.record, before="\n")
    show_doubts(checked)
    judge(checked, strict=options.strict)


def judge(checked: Sequence[CheckedArtifact], *, strict: bool) -> None:
    """Print one line for each artifact that failed or is undecided; raises GateError when one failed."""
    from fmnist_edge.jobs.check import tally

    for row in checked:
        report = row.report
        if report.outcome != "pass":
            worst = ", ".join(map(str, report.worst_images))
            word = "FAILED" if report.failures else "inconclusive:"
            found = "; ".join([*report.failures, *report.undecided])
            print(f"{word} {row.artifact.path}: {found} (worst images: {worst})", file=sys.stderr)
    for line in (*elsewhere_failures(checked).values(), *confidence_failures(checked).values()):
        print(line, file=sys.stderr)
    reasons = tally(checked).reasons(strict=strict)
    if reasons:
        raise GateError("; ".join(reasons))


def show_doubts(checked: Sequence[CheckedArtifact]) -> None:
    """Print on stderr, once for a model, why its parity proves nothing, and other doubts about its contract."""
    lines: dict[str, None] = {}
    for row in checked:
        if row.unproven:
            lines[f"UNPROVEN {row.artifact.model}: {row.unproven}"] = None
        for warning in row.reference.warnings if row.reference else ():
            lines[f"fmnist-edge: warning: {row.artifact.model}: {warning}"] = None
    for line in lines:
        print(line, file=sys.stderr)


def parity_row(row: CheckedArtifact) -> list[str]:
    report = row.report
    return [
        row.artifact.model,
        row.artifact.path.name,
        percent(report.accuracy),
        *accuracy_cells(report.statistics.accuracy),
        percent(report.agreement),
        f"{report.max_abs_delta:.1e}",
        "UNPROVEN" if row.unproven and report.passed else report.outcome,
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
    from fmnist_edge.jobs.check import is_inconclusive

    paired = [row.report.statistics.accuracy for row in checked if is_inconclusive(row)]
    opened = [item for item in paired if item is not None]
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
