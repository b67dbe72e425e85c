"""Check: find the images of each artifact, compare it with its Keras model, and count the verdicts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import InputError
from fmnist_edge.jobs.project import CHECK, by_project

if TYPE_CHECKING:
    import numpy as np

    from fmnist_edge.aliases import JsonObject
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.console import Track
    from fmnist_edge.parity.check import CheckedArtifact
    from fmnist_edge.parity.elsewhere import Elsewhere
    from fmnist_edge.parity.evaluation import Evaluation

    Checked = tuple[Evaluation, list[CheckedArtifact]]
    # The options, the artifacts, and their images -> the artifacts' scores on another machine; None for this one alone.
    ElsewhereOf = Callable[[Any, Sequence[Artifact], np.ndarray], "Elsewhere | None"]

__all__ = [
    "CheckOptions", "Tally", "as_report", "checked_groups", "failures_besides", "is_inconclusive", "merged", "record",
    "tally", "write_report",
]  # fmt: skip


@dataclass
class CheckOptions:
    """The options of `check`, named as on the command line. Paths are text; None is what was not given."""

    images: str | None = None
    labels: str | None = None
    reference: str | None = None
    limit: int | None = None
    skip_bad: bool = False
    data: str | None = None
    trained: Path = Path("trained_model")


def checked_groups(
    options: Any, artifacts: Sequence[Artifact], track: Track, elsewhere: ElsewhereOf | None = None
) -> list[Checked]:
    """Check the artifacts, in groups that use the same images and the same Keras model.

    `options`: with the fields of CheckOptions. `track` wraps chunks of images, and files, in a progress bar.

    Raises what reading the images raises, InputError for images that do not fit, and what `parity.check.check` raises.
    """
    return [
        checked_group(given, group, track, elsewhere) for given, group in by_project(options, list(artifacts), CHECK)
    ]


def checked_group(options: Any, artifacts: Sequence[Artifact], track: Track, elsewhere: ElsewhereOf | None) -> Checked:
    from fmnist_edge.parity.check import check

    evaluation = images_for(options, artifacts, track)
    rows = check(
        artifacts,
        evaluation,
        trained=options.trained,
        reference=options.reference,
        track=track,
        elsewhere=None if elsewhere is None else elsewhere(options, artifacts, evaluation.images),
    )
    return evaluation, list(rows)


def images_for(options: Any, artifacts: Sequence[Artifact], track: Track) -> Evaluation:
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
        track=track,
    )
    others = [item for item in artifacts if item.contract.labels != contract.labels]
    if others and options.images is not None and found.labels is not None:
        raise InputError(
            f"{artifacts[0].path} and {others[0].path} have different classes, so {options.images} has different "
            "answers for them; check them one after another"
        )
    return found


def as_report(groups: Sequence[Checked], on: str | None = None) -> JsonObject:
    """Images, their source, and the rows. Where the groups are several, `images` is the sum, and rows have a source.

    `on`: where the artifacts ran, if not here.
    """
    several = len(groups) > 1
    rows = [
        {**row.as_dict(), **({"source": evaluation.source} if several else {})}
        for evaluation, checked in groups
        for row in checked
    ]
    sources = dict.fromkeys(evaluation.source for evaluation, _ in groups)
    images = sum(len(evaluation.images) for evaluation, _ in groups)
    return {"schema": 1, "images": images, "source": "; ".join(sources), "on": on, "rows": rows}


def merged(path: Path, new: JsonObject) -> JsonObject:
    """The report `new`, with those rows of the report at `path` that are about other files, by SHA-256 and by path.

    Then each row says on which images, and where, it was found; `images`, `source` and `on` of the whole are the new
    ones. A file that is no such report is not merged.
    """
    import json

    from fmnist_edge.benchmark.cells import accuracies_of
    from fmnist_edge.errors import FileError

    try:
        accuracies_of(path)
        old = json.loads(path.read_bytes())
    except (FileError, OSError, ValueError):
        return new
    known = {row[key] for row in new["rows"] for key in ("sha256", "artifact")}
    kept = [row for row in old["rows"] if not known & {row["sha256"], row.get("artifact")}]
    if not kept:
        return new
    rows = [
        {"source": report["source"], "on": report.get("on"), **row}
        for report, found in ((old, kept), (new, new["rows"]))
        for row in found
    ]
    return {**new, "rows": rows}


def write_report(path: Path, report: JsonObject) -> None:
    """Write the report of `as_report`, merged with what is there. Raises FileError when it cannot be written."""
    from fmnist_edge.files import locked, write_json

    with locked(path.parent, wait=True):
        write_json(path, merged(path, report))


def record(groups: Sequence[Checked]) -> None:
    """Write each verdict into the artifact's manifest. Raises what `Artifact.record` raises."""
    for evaluation, rows in groups:
        for row in rows:
            row.record(evaluation.source)


def failures_besides(row: CheckedArtifact) -> list[str]:
    """One line for each failure that is not the gate's: of the fitted confidence, and of another machine's answers."""
    confidence = [] if row.reliability is None else row.reliability.failures
    elsewhere = None if row.elsewhere is None else row.elsewhere.failure
    return [*(f"its confidence: {failure}" for failure in confidence), *([elsewhere] if elsewhere else [])]


def is_inconclusive(row: CheckedArtifact) -> bool:
    """Whether the verdict on the accuracy is open."""
    paired = row.report.statistics.accuracy
    return paired is not None and paired.verdict == "inconclusive"


@dataclass(frozen=True)
class Tally:
    """How many artifacts failed, have a reference that proves nothing, or are undecided; of how many."""

    failed: int
    unproven: int
    undecided: int
    count: int

    def reasons(self, *, strict: bool) -> list[str]:
        """Why the check fails, if it does. `strict`: what is undecided fails, too."""
        found = [f"{self.failed} of {self.count} artifacts failed their gate"] * bool(self.failed)
        found += [f"parity proves nothing for {self.unproven} of {self.count} artifacts"] * bool(self.unproven)
        if strict and self.undecided:
            found.append(f"{self.undecided} of {self.count} artifacts are inconclusive, and --strict was given")
        return found


def tally(checked: Sequence[CheckedArtifact]) -> Tally:
    failed = sum(not row.report.passed or bool(failures_besides(row)) for row in checked)
    unproven = sum(row.report.passed and not row.passed for row in checked)
    undecided = sum(row.passed and (bool(row.report.undecided) or is_inconclusive(row)) for row in checked)
    return Tally(failed, unproven, undecided, len(checked))
