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
from fmnist_edge.commands.project import CHECK, by_project
from fmnist_edge.console import table, track, warn
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.aliases import JsonObject
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.parity import PairedAccuracy
    from fmnist_edge.parity.check import CheckedArtifact
    from fmnist_edge.parity.evaluation import Evaluation

    Checked = tuple[Evaluation, list[CheckedArtifact]]

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


def images_for(options: argparse.Namespace, artifacts: Sequence[Artifact]) -> Evaluation:
    """Raises InputError for artifacts of several sets of classes, whose images would need several readings."""
    from fmnist_edge.parity.evaluation import evaluation_of

    contract = artifacts[0].contract
    found = evaluation_of(
        contract,
        options.images,
        options.labels,
        options.limit,
        options.data,
        skip_bad=options.skip_bad,
        of=str(artifacts[0].path),
    )
    others = [item for item in artifacts if item.contract.labels != contract.labels]
    if others and options.images is not None and found.labels is not None:
        raise InputError(
            f"{artifacts[0].path} and {others[0].path} have different classes, so {options.images} has different "
            "answers for them; check them one after another"
        )
    warn(found.notes)
    return found


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.commands.reports import Report

    report = Report.of(options)
    groups = [
        checked_group(given, artifacts) for given, artifacts in by_project(options, collect(options.artifacts), CHECK)
    ]
    checked = [row for _, rows in groups for row in rows]
    report.write({"schema": 1, **as_report(groups, options.on)}, locked=True)  # first: it took minutes
    if options.record:
        for evaluation, rows in groups:
            for row in rows:
                row.record(evaluation.source)
    with report.beside():
        for evaluation, rows in groups:
            print(f"Parity on {len(evaluation.images):,} images of {evaluation.source}:\n")
            print(table(PARITY_HEADER, [parity_row(row) for row in rows]))
            print(task_tables(rows) + elsewhere_table(rows) + confidence_table(rows), end="")
            open_verdicts = inconclusive(rows)
            if open_verdicts:
                print(f"\n{open_verdicts}")
            if rows is not groups[-1][1]:
                print()
        report.say_written(" and the verdicts into the manifests" * options.record, before="\n")
    show_doubts(checked)
    judge(checked, strict=options.strict)


def checked_group(options: argparse.Namespace, artifacts: Sequence[Artifact]) -> Checked:
    """Check the artifacts that use the same images and the same Keras model."""
    from fmnist_edge.parity.check import check

    evaluation = images_for(options, artifacts)
    elsewhere = elsewhere_for(options, artifacts, evaluation.images)
    rows = check(
        artifacts,
        evaluation,
        trained=options.trained,
        reference=options.reference,
        track=track,
        elsewhere=elsewhere,
    )
    return evaluation, list(rows)


def as_report(groups: Sequence[Checked], on: str | None) -> JsonObject:
    """Images, their source, and the rows. Where the groups are several, `images` is the sum, and rows have a source."""
    several = len(groups) > 1
    rows = [
        {**row.as_dict(), **({"source": evaluation.source} if several else {})}
        for evaluation, checked in groups
        for row in checked
    ]
    sources = dict.fromkeys(evaluation.source for evaluation, _ in groups)
    images = sum(len(evaluation.images) for evaluation, _ in groups)
    return {"images": images, "source": "; ".join(sources), "on": on, "rows": rows}


def judge(checked: Sequence[CheckedArtifact], *, strict: bool) -> None:
    """Print one line for each artifact that failed or is undecided; raises GateError when one failed."""
    for row in checked:
        report = row.report
        if report.outcome != "pass":
            worst = ", ".join(map(str, report.worst_images))
            word = "FAILED" if report.failures else "inconclusive:"
            found = "; ".join([*report.failures, *report.undecided])
            print(f"{word} {row.artifact.path}: {found} (worst images: {worst})", file=sys.stderr)
    otherwise = [elsewhere_failures(checked), confidence_failures(checked)]
    for line in (line for found in otherwise for line in found.values()):
        print(line, file=sys.stderr)
    doubtful = {path for found in otherwise for path in found}
    failed = sum(not row.report.passed or str(row.artifact.path) in doubtful for row in checked)
    unproven = sum(row.report.passed and not row.passed for row in checked)
    undecided = sum(row.passed and (bool(row.report.undecided) or is_inconclusive(row)) for row in checked)
    reasons = [f"{failed} of {len(checked)} artifacts failed their gate"] * bool(failed)
    reasons += [f"parity proves nothing for {unproven} of {len(checked)} artifacts"] * bool(unproven)
    if strict and undecided:
        reasons.append(f"{undecided} of {len(checked)} artifacts are inconclusive, and --strict was given")
    if reasons:
        raise GateError("; ".join(reasons))


def is_inconclusive(row: CheckedArtifact) -> bool:
    """Whether the verdict on the accuracy is open."""
    paired = row.report.statistics.accuracy
    return paired is not None and paired.verdict == "inconclusive"


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
