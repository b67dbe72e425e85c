"""Read results files into a Run per file and a Row per measured cell. `values` checks all text and numbers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.browser_table import first_answer_us
from fmnist_edge.benchmark.estimates import Estimate, Rounds, calm_p50, estimate, p50s_of
from fmnist_edge.benchmark.results import Cell, Result
from fmnist_edge.benchmark.tables import unmeasured
from fmnist_edge.benchmark.validity import INVALID, VALID, run_reasons
from fmnist_edge.console import track
from fmnist_edge.errors import FileError
from fmnist_edge.report.curve import Point, percentile_curve
from fmnist_edge.report.machine import machine_facts
from fmnist_edge.report.pareto import front
from fmnist_edge.report.values import clean_text, number, optional_number, optional_text

__all__ = ["Row", "Run", "find", "read", "with_rows"]

SUFFIX = ".json.gz"
# How a figure was obtained. All figures of a results file are measured; reports show other kinds, too.
MEASURED = "measured"


@dataclass(frozen=True)
class Row:
    """A measured cell. Times are in µs, and p50 unless the name says otherwise; shares and accuracies are fractions.

    Attributes:
        id: unique in the report.
        target: the part of the machine that computed, "cpu", "gpu" or "browser".
        device_us: latency by the GPU's own clock, if the engine reports it.
        loaded_bytes, first_answer_us: of a cell in a browser, what it loads until its first answer, and how long that
            takes.
        validity: VALID or INVALID, by the cell's own verdict and by the reasons against its whole run.
        reasons: (rule, text) for each reason why it is INVALID.
        rounds: the p50s of each window, from which ratios are paired; see `benchmark.estimates`.
        estimate: the calm p50 with its 95 % interval, in µs; None for too few rounds.
        front: whether it is on the Pareto front of latency and accuracy, among cells of its run, target and batch.
        unbeaten: whether it is on the Pareto front of latency, accuracy and size.
        curve: latency by percentile.
        passed: whether the file passed `check`; None if that is not known.
    """

    id: str
    device: str
    kind: str
    artifact: str
    model: str | None
    format: str
    precision: str | None
    engine: str
    engine_version: str | None
    target: str
    threads: int
    batch: int
    p50_us: float
    p90_us: float
    p99_us: float | None
    samples: int
    repeatability: float | None
    end_to_end_us: float
    device_us: float | None
    images_per_s: float | None
    cold_load_us: float
    load_us: float
    first_us: float
    burst_us: float | None
    sustained_us: float | None
    peak_rss_bytes: float | None
    size_bytes: float | None
    accuracy: float | None
    accuracy_images: float | None
    share_of_peak: float | None
    share_of_limit: float | None
    validity: str
    reasons: tuple[tuple[str, str], ...]
    rounds: Rounds = field(default_factory=dict, repr=False)
    estimate: Estimate | None = None
    front: bool = False
    unbeaten: bool = False
    curve: tuple[Point, ...] = field(default=(), repr=False)
    passed: bool | None = None
    loaded_bytes: float | None = None
    first_answer_us: float | None = None

    @property
    def valid(self) -> bool:
        return self.validity == VALID

    @property
    def known_us(self) -> float:
        """The calm p50."""
        if self.estimate is not None:
            return self.estimate.value
        return calm_p50(self.rounds) if self.rounds else self.p50_us

    @property
    def file(self) -> str:
        """The artifact's file name, with its folder if that is not the model's name."""
        folder, _, name = self.artifact.rpartition("/")
        return name if folder == self.model else self.artifact

    @property
    def group(self) -> str:
        """The model's name, or the artifact's if the model is unknown."""
        return self.model or self.artifact

    @property
    def setting(self) -> tuple[str, int]:
        """Target and batch size. Only latencies with the same setting are shown together."""
        return self.target, self.batch

    @property
    def sustained_by_burst(self) -> float | None:
        return None if not self.burst_us or self.sustained_us is None else self.sustained_us / self.burst_us


@dataclass(frozen=True)
class Run:
    """A results file.

    Attributes:
        file: the device's folder and the file name.
        machine: (fact, text) for each known fact about the machine.
        verdict: VALID or INVALID; reasons: (rule, text) for each of its reasons.
        unseen: facts that the machine does not report.
        missing: one line per reason why cells were not measured.
    """

    path: Path
    file: str
    device: str
    created: str
    plan: str
    machine: tuple[tuple[str, str], ...]
    verdict: str
    reasons: tuple[tuple[str, str], ...]
    unseen: tuple[str, ...]
    missing: tuple[str, ...]
    rows: tuple[Row, ...]


def with_rows(runs: Sequence[Run], rows: Sequence[Row]) -> list[Run]:
    """The runs, reduced to those of their rows that are in `rows`; runs without such rows are left out."""
    kept = {row.id for row in rows}
    thinned = [replace(run, rows=tuple(row for row in run.rows if row.id in kept)) for run in runs]
    return [run for run in thinned if run.rows]


def find(paths: Sequence[Path]) -> list[Path]:
    """The results files among `paths` and at any depth in their folders, each file once.

    Raises FileError when a folder contains none.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        files = sorted(path.rglob(f"*{SUFFIX}")) if path.is_dir() else [path]
        if not files:
            raise FileError(f"{path}: no results file (*{SUFFIX}) in this folder; `fmnist-edge bench` writes one")
        found.update({file.resolve(): file for file in reversed(files)})
    return sorted(found.values())


def read(paths: Sequence[Path]) -> list[Run]:
    """Read the runs in these files and folders, sorted by device, the newest first.

    Raises FileError when a file is missing, damaged or of another schema, or when no file has a measured cell.
    """
    runs = [run_of(number, path) for number, path in enumerate(track(find(paths), "reading results"))]
    if not any(run.rows for run in runs):
        names = ", ".join(run.file for run in runs)
        raise FileError(f"no measured cell in {names}; run `fmnist-edge bench`, which shows the reasons")
    return sorted(sorted(runs, key=lambda run: run.created, reverse=True), key=lambda run: run.device)


def run_of(number: int, path: Path) -> Run:
    result = results.load(path)
    try:
        return run_from(number, path, result)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, OverflowError) as error:
        kind = type(error).__name__
        raise FileError(f"{path}: damaged ({kind}: {error}); run `fmnist-edge bench` again") from None


def run_from(number: int, path: Path, result: Result) -> Run:
    machine, verdict = result["machine"], result["verdict"]
    device = clean_text(machine.get("device") or "unknown")
    against = reasons_of(run_reasons(result))
    rows = []
    for place, cell in enumerate(track(result["cells"], "cells")):
        if cell["summary"] is not None and not results.is_software(cell):  # `missing` lists the software GPUs
            try:
                rows.append(row_of(f"r{number}c{place}", device, cell, against))
            except FileError as error:  # a damaged window of samples; the error does not name the file
                raise FileError(f"{path}: cells[{place}]: {error}") from None
    return Run(
        path=path,
        file=f"{device}/{clean_text(path.name)}",
        device=device,
        created=clean_text(result["created"]),
        plan=clean_text(result["plan"]["name"]),
        machine=tuple(machine_facts(result)),
        verdict=VALID if verdict is not None and verdict["status"] == VALID else INVALID,
        reasons=(("never finished", "the run was never finished"),)
        if verdict is None
        else reasons_of(verdict["reasons"]),
        unseen=() if verdict is None else tuple(map(clean_text, verdict["unseen"])),
        missing=tuple(map(clean_text, unmeasured(result))),
        rows=tuple(with_fronts(rows)),
    )


def row_of(id: str, device: str, cell: Cell, against: tuple[tuple[str, str], ...]) -> Row:
    summary = cell["summary"] or {}
    engine, own = summary["engine"], cell["verdict"]
    accuracy, memory, roofline = cell["accuracy"] or {}, cell["memory"], summary["roofline"] or {}
    reasons = (*against, *(() if own is None else reasons_of(own["reasons"])))
    rounds = p50s_of(cell)
    return Row(
        id=id,
        device=device,
        kind=MEASURED,
        artifact=clean_text(cell["artifact"]),
        model=optional_text(cell["model"]),
        format=clean_text(cell["format"]),
        precision=optional_text(cell["precision"]),
        engine=clean_text(cell["engine"]),
        engine_version=optional_text(cell["engine_version"]),
        target=clean_text(cell["target"]),
        threads=int(number(cell["threads"])),
        batch=int(number(cell["batch"])),
        p50_us=number(engine["p50"]),
        p90_us=number(engine["p90"]),
        p99_us=optional_number(engine["p99"]),
        samples=int(number(engine["count"])),
        repeatability=optional_number(engine["repeatability"]["p50"]),
        end_to_end_us=number(summary["end_to_end"]["p50"]),
        device_us=None if summary.get("device") is None else number(summary["device"]["p50"]),
        images_per_s=optional_number(engine["images_per_s"]),
        cold_load_us=number(summary["cold_load"]["p50"]),
        load_us=number(summary["load"]["p50"]),
        first_us=number(summary["first"]["p50"]),
        burst_us=optional_number(engine["burst_p50"]),
        sustained_us=optional_number(engine["sustained_p50"]),
        peak_rss_bytes=None if memory is None else optional_number(memory["peak_rss_bytes"]),
        size_bytes=optional_number(cell["size_bytes"]),
        accuracy=optional_number(accuracy.get("accuracy")),
        accuracy_images=optional_number(accuracy.get("images")),
        passed=accuracy["passed"] if isinstance(accuracy.get("passed"), bool) else None,
        share_of_peak=optional_number(roofline.get("share_of_gemm_peak")),
        share_of_limit=optional_number(roofline.get("share_of_limit")),
        validity=VALID if own is not None and own["status"] == VALID and not against else INVALID,
        reasons=reasons,
        loaded_bytes=None if cell["browser"] is None else number(cell["browser"]["bytes_loaded"]),
        first_answer_us=None if cell["browser"] is None else first_answer_us(cell),
        rounds=rounds,
        estimate=estimate(rounds),
        curve=percentile_curve(window for part in cell["rounds"] for window in part["engine"]["windows"]),
    )


def with_fronts(rows: Sequence[Row]) -> list[Row]:
    """Mark the rows on the Pareto fronts of each target and batch: of all rows with a known accuracy, VALID or not.

    A front of VALID rows alone would be of those that happened to be measured in a quiet minute.
    """
    marked = {row.id: row for row in rows}
    for like in {row.setting for row in rows}:
        known = [row for row in rows if row.setting == like and row.accuracy is not None]
        points = [(row.known_us, -(row.accuracy or 0)) for row in known]
        sizes = [math.inf if row.size_bytes is None else row.size_bytes for row in known]
        for place in front([(*point, size) for point, size in zip(points, sizes, strict=True)]):
            marked[known[place].id] = replace(marked[known[place].id], unbeaten=True)
        for place in front(points):
            marked[known[place].id] = replace(marked[known[place].id], front=True)
    return list(marked.values())


def reasons_of(reasons: Sequence[results.Reason]) -> tuple[tuple[str, str], ...]:
    return tuple((clean_text(reason["rule"]), clean_text(reason["text"])) for reason in reasons)
