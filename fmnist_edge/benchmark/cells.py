"""Cells, the units of measurement: one artifact on one engine with one number of threads and one batch size."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.plan import is_count
from fmnist_edge.errors import ArtifactError, FileError, InputError, UnknownNameError
from fmnist_edge.files import sha256_of
from fmnist_edge.runtime.engine_catalog import BROWSER, CPU, ENGINES, TARGETS, engines_for, engines_on
from fmnist_edge.runtime.loading import check_hash, read_whole
from fmnist_edge.runtime.manifest import Manifest

__all__ = [
    "ALL",
    "Cell",
    "accuracies_of",
    "cells_for",
    "default_engines",
    "engines_timed_on",
    "entry_for",
    "is_counterpart",
    "order",
    "paired_cells",
]

ALL = "all"  # in place of engine names: every engine that can run the file, on the CPU unless there is another target


@dataclass(frozen=True)
class Cell:
    """One thing to measure.

    Attributes:
        side, pair: in a run of two sets of artifacts, "A" or "B", and the name by which a file has its counterpart in
            the other set.
    """

    artifact: Path
    engine: str
    threads: int
    batch: int = 1
    side: str | None = None
    pair: str | None = None

    @property
    def target(self) -> str:
        return ENGINES[self.engine].target

    @property
    def name(self) -> str:
        """The last folder and file name, after the side: results travel between machines, so no absolute path."""
        return f"{self.side}:" * bool(self.side) + "/".join(self.artifact.parts[-2:])

    def __str__(self) -> str:
        batch = "" if self.batch == 1 else f", batch {self.batch}"
        return f"{self.name}, {self.engine}, {self.threads} thread{'s' * (self.threads > 1)}{batch}"


def default_engines() -> tuple[str, ...]:
    """Engines timed on a CPU by default: the one to ship, its alternatives, and the reference."""
    return tuple(name for name in engines_on(CPU) if ENGINES[name].timed)


def engines_timed_on(target: str, named: Sequence[str] | None = None) -> tuple[str, ...]:
    """The `named` engines, or by default those timed on `target`. Raises InputError for an engine of another target."""
    if target != CPU and ALL in (named or ()):
        return engines_on(target)
    for name in named or ():
        if name != ALL and ENGINES[name].target != target:
            where = "in a browser" if target == BROWSER else f"on the {target.upper()}"
            raise InputError(f"{name} does not run {where}; choose from: {', '.join(engines_on(target))}")
    return tuple(named or (default_engines() if target == CPU else engines_on(target)))


def cells_for(
    artifacts: Sequence[Path],
    threads: Sequence[int],
    engines: Sequence[str] | None = None,
    batches: Sequence[int] = (1,),
) -> list[Cell]:
    """Every combination of artifact, engine that can run it, number of threads and batch size.

    By default the engines are `default_engines()`. A file whose manifest fixes the batch gets cells of that batch
    alone. It gets no cell when `batches` was given and does not contain that batch. Raises InputError on an unknown
    suffix or engine, on threads or batches below 1, and when no cell is left.
    """
    cells = possible_cells(artifacts, threads, engines, batches)
    if not cells:
        wished = " or ".join(engines) if engines else "any engine"
        sizes = "" if tuple(batches) == (1,) else f" with a batch of {' or '.join(map(str, batches))}"
        raise InputError(
            f"no artifact among {len(artifacts)} that {wished} can run{sizes}; `fmnist-edge export` writes some"
        )
    names = Counter((cell.name, cell.engine, cell.threads, cell.batch) for cell in cells)
    if twice := [name for (name, *_), times in names.items() if times > 1]:
        raise InputError(f"two artifacts are called {twice[0]}; measure them in two runs, and `compare` those")
    return cells


def possible_cells(
    artifacts: Sequence[Path], threads: Sequence[int], engines: Sequence[str] | None, batches: Sequence[int]
) -> list[Cell]:
    """As `cells_for`, but there may be no cell."""
    for name in engines or ():
        if name not in ENGINES and name != ALL:
            known = ", ".join([*ENGINES, ALL])
            raise UnknownNameError(f"unknown engine {name!r}; choose from: {known}")
    for kind, numbers in (("threads", threads), ("batches", batches)):
        if not numbers or not all(map(is_count, numbers)):
            raise InputError(f"{kind} is {list(numbers)!r}; expected whole numbers of at least 1")
    wanted = engines_on(CPU) if engines is not None and ALL in engines else engines or default_engines()
    return [
        Cell(path, engine, count, batch)
        for path in artifacts
        for engine in (name for target in TARGETS for name in engines_for(path, target))
        for count in ((1,) if ENGINES[engine].target == BROWSER else threads)
        for batch in batches_of(path, batches)
        if engine in wanted
    ]


def paired_cells(
    a: Path,
    b: Path,
    threads: Sequence[int],
    engines: Sequence[str] | None = None,
    batches: Sequence[int] = (1,),
) -> list[Cell]:
    """The cells of two artifacts, or of the files that two folders have under the same path.

    Cells without a counterpart on the same engine are left out. Raises InputError when none is left, and what
    `cells_for` and `artifact.collect` raise.
    """
    files_a, files_b = files_below(a), files_below(b)
    if not a.is_dir() and not b.is_dir():
        files_b = dict(zip(files_a, files_b.values()))  # two files are a pair whatever their names
    found = []
    for name in files_a.keys() & files_b.keys():
        of_a, of_b = (
            {
                (cell.engine, cell.threads, cell.batch): cell
                for cell in possible_cells([path], threads, engines, batches)
            }
            for path in (files_a[name], files_b[name])
        )
        for key in of_a.keys() & of_b.keys():
            found += [replace(cells[key], side=side, pair=name) for side, cells in (("A", of_a), ("B", of_b))]
    if not found:
        raise InputError(
            f"no artifact in {a} has a counterpart in {b} that the same engine runs; expected two files, or two "
            "folders whose files have the same names"
        )
    return sorted(found, key=lambda cell: (cell.pair or "", cell.engine, cell.threads, cell.batch, cell.side or ""))


def is_counterpart(a: Cell, b: Cell) -> bool:
    """Whether two cells are the two sides of one pair."""
    return a.side != b.side and replace(a, artifact=b.artifact, side=b.side) == b


def files_below(root: Path) -> dict[str, Path]:
    """Path below `root` -> artifact; for a file, its name."""
    found = [artifact.path for artifact in collect([root])]
    return {path.relative_to(root).as_posix() if root.is_dir() else path.name: path for path in found}


def batches_of(path: Path, batches: Sequence[int]) -> list[int]:
    """Those of `batches` that the artifact accepts."""
    manifest = manifest_of(path)
    fixed = manifest.batch if manifest else 1
    if fixed is None:
        return sorted(set(batches))
    return [fixed] if tuple(batches) == (1,) or fixed in batches else []


def order(cells: int, rounds: int, seed: int) -> Iterator[tuple[int, int]]:
    """(round, cell index) in the order of measurement: each cell once per round, every round in a new random order."""
    shuffler = random.Random(seed)
    for number in range(rounds):
        yield from ((number, index) for index in shuffler.sample(range(cells), cells))


def entry_for(cell: Cell, accuracies: Mapping[str, JsonObject]) -> results.Cell:
    """The cell's part of a result before anything is measured.

    An unreadable file is no error here; its cell fails when it is measured. `accuracies`: by SHA-256 of the artifact,
    as `accuracies_of` returns them.
    """
    manifest = manifest_of(cell.artifact)
    size_bytes, sha256 = size_and_sha256(cell.artifact)
    return {
        "artifact": cell.name,
        "sha256": sha256,
        "size_bytes": size_bytes,
        "model": manifest.model.name if manifest and manifest.model else None,
        "format": cell.artifact.suffix.removeprefix("."),
        "precision": manifest.precision if manifest else None,
        "target": cell.target,
        "side": cell.side,
        "pair": cell.pair,
        "engine": cell.engine,
        "engine_version": None,
        "threads": cell.threads,
        "batch": cell.batch,
        "status": "partial",
        "reason": None,
        "images": None,
        "accuracy": accuracies.get(sha256 or ""),
        "complexity": None,
        "memory": None,
        "placement": None,
        "parity": None,
        "browser": None,
        "rounds": [],
        "summary": None,
        "verdict": None,
    }


def accuracies_of(report: Path) -> dict[str, JsonObject]:
    """SHA-256 of an artifact -> its accuracy, from a report of `fmnist-edge check`. Raises FileError on other files.

    "source" names the images, and the device if `check --on` ran them there.
    """
    try:
        parity = json.loads(report.read_bytes())
        found = {}
        for row in parity["rows"]:
            on = row.get("on", parity.get("on"))  # absent from older reports
            found[row["sha256"]] = {
                **{key: row[key] for key in ("accuracy", "reference_accuracy", "images", "passed")},
                "source": row.get("source", parity["source"]) + (f", on {on}" if on else ""),
            }
        return found
    except OSError as error:
        raise FileError(f"{report}: cannot be read ({error.strerror}); `fmnist-edge check` writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FileError(f"{report}: not a report of `fmnist-edge check`; run it again") from None


def manifest_of(path: Path) -> Manifest | None:
    """The manifest beside `path`; None when it is missing or unreadable."""
    try:
        return Artifact.open(path).manifest
    except ArtifactError:
        return None


def size_and_sha256(path: Path) -> tuple[int | None, str | None]:
    """Size in bytes and SHA-256; both None when the file cannot be read."""
    try:
        if not path.is_dir():
            return path.stat().st_size, sha256_of(path)
        artifact = Artifact.open(path)
        check_hash(path, read_whole(path), artifact.manifest.sha256)
        return artifact.size_bytes, artifact.manifest.sha256
    except (OSError, ArtifactError):
        return None, None
