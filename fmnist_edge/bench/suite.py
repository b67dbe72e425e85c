"""Every cell, interleaved: a round goes through all of them, so that drift and noise fall on each alike."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.artifacts import Artifact
from fmnist_edge.bench import environment, results
from fmnist_edge.bench.loop import Request, run_child
from fmnist_edge.bench.plan import Plan, is_count
from fmnist_edge.errors import ArtifactError, InputError, UnknownNameError
from fmnist_edge.files import sha256_of
from fmnist_edge.registry import ENGINES
from fmnist_edge.runtime.classifier import engines_for

__all__ = ["Cell", "cells_for", "run"]

Progress = Callable[[int, int, str], None]

# What one would ship. The other engines are there to compare answers (`fmnist-edge matrix`), and timed when named.
TIMED = ("litert", "litert-builtin", "onnxruntime")


@dataclass(frozen=True)
class Cell:
    """One thing to measure."""

    artifact: Path
    engine: str
    threads: int
    batch: int = 1

    @property
    def name(self) -> str:
        """The last folder and file name: results travel between machines, so no absolute path."""
        return "/".join(self.artifact.parts[-2:])

    def __str__(self) -> str:
        return f"{self.name}, {self.engine}, {self.threads} thread{'s' * (self.threads > 1)}"


def cells_for(artifacts: Sequence[Path], threads: Sequence[int], engines: Sequence[str] | None = None) -> list[Cell]:
    """Each artifact on each of `engines`, by default TIMED, that can run it, with each number of threads.

    Raises InputError on an unknown suffix or engine, threads below 1, or nothing left.
    """
    for name in engines or ():
        if name not in ENGINES:
            raise UnknownNameError(f"unknown engine {name!r}; choose from: {', '.join(ENGINES)}")
    if not threads or not all(map(is_count, threads)):
        raise InputError(f"threads is {list(threads)!r}; expected whole numbers of at least 1")
    cells = [
        Cell(path, engine, count)
        for path in artifacts
        for engine in engines_for(path)
        for count in threads
        if engine in (TIMED if engines is None else engines)
    ]
    if not cells:
        wanted = " or ".join(engines) if engines else "any engine"
        raise InputError(f"no artifact among {len(artifacts)} that {wanted} can run; `fmnist-edge export` writes some")
    return cells


def run(
    cells: Sequence[Cell],
    images: np.ndarray,
    plan: Plan,
    progress: Progress = lambda done, total, text: None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure `cells` on `images`, uint8 (n, height, width), cycled.

    `progress(done, total, text)` is called before each measurement. A cell that fails is not tried again and costs
    no other. Ctrl-C ends early: what was measured is returned, with "interrupted" true.
    Returns the result that `results.save` writes. Raises InputError on no cells or on images of another type.
    """
    check_images(images)
    if not cells:
        raise InputError("no cells to measure; expected at least 1")
    result: dict[str, Any] = {
        "schema": results.SCHEMA,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "interrupted": False,
        "plan": asdict(plan),
        "seed": seed,
        "environment": {"machine": environment.describe(), "before": environment.state(), "after": None},
        "cells": [entry_for(cell) for cell in cells],
    }
    try:
        measure_all(cells, result["cells"], images, plan, progress, seed)
    except KeyboardInterrupt:
        result["interrupted"] = True
    result["environment"]["after"] = environment.state()
    for entry in result["cells"]:
        entry["summary"] = results.summary_of(entry)
    return result


def check_images(images: np.ndarray) -> None:
    if images.dtype != np.uint8 or images.ndim < 3 or not len(images):
        raise InputError(f"images are {images.dtype} {images.shape}; expected uint8 (n, height, width), n at least 1")


def measure_all(
    cells: Sequence[Cell],
    entries: Sequence[dict[str, Any]],
    images: np.ndarray,
    plan: Plan,
    progress: Progress,
    seed: int,
) -> None:
    total = len(cells) * plan.rounds
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-bench-") as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        for done, index in enumerate(order(len(cells), plan.rounds, seed)):
            progress(done, total, str(cells[index]))
            if entries[index]["reason"] is None:
                record(entries[index], run_child(request_for(cells[index], file, plan)))
        progress(total, total, "done")


def order(cells: int, rounds: int, seed: int) -> Iterator[int]:
    """Cell indices to measure one after another: each once a round, every round shuffled anew."""
    shuffler = random.Random(seed)
    for _ in range(rounds):
        yield from shuffler.sample(range(cells), cells)


def request_for(cell: Cell, images: Path, plan: Plan) -> Request:
    return Request(
        artifact=str(cell.artifact),
        engine=cell.engine,
        threads=cell.threads,
        batch=cell.batch,
        images=str(images),
        seconds=plan.seconds_per_round,
        min_samples=plan.min_samples_per_round,
        warm_up_runs=plan.warm_up_runs,
        warm_up_seconds=plan.warm_up_seconds,
    )


def entry_for(cell: Cell) -> dict[str, Any]:
    """The cell's part of the result before anything is measured; unreadable files fail later, in their own cell."""
    try:
        manifest = Artifact.open(cell.artifact).manifest
    except ArtifactError:
        manifest = {}
    model = manifest.get("model")
    size_bytes, sha256 = identity(cell.artifact)
    return {
        "artifact": cell.name,
        "model": model.get("name") if isinstance(model, dict) else None,
        "precision": manifest.get("precision"),
        "format": cell.artifact.suffix.removeprefix("."),
        "size_bytes": size_bytes,
        "sha256": sha256,
        "engine": cell.engine,
        "engine_version": None,
        "threads": cell.threads,
        "batch": cell.batch,
        "status": "not measured",
        "reason": None,
        "images": None,
        "cold_load_ns": [],
        "load_ns": [],
        "first_ns": [],
        "rounds": [],
        "summary": None,
    }


def identity(path: Path) -> tuple[int | None, str | None]:
    """Size in bytes and SHA-256, or None for both when the file cannot be read."""
    try:
        return path.stat().st_size, sha256_of(path)
    except OSError:
        return None, None


def record(entry: dict[str, Any], reply: dict[str, Any]) -> None:
    """Add one round's reply to the cell; a failure keeps the rounds before it."""
    entry["status"] = reply["status"]
    if reply["status"] != "measured":
        entry["reason"] = reply["reason"]
        return
    entry["engine_version"], entry["images"] = reply["engine_version"], reply["images"]
    for key in ("cold_load_ns", "load_ns", "first_ns"):
        entry[key].append(reply[key])
    entry["rounds"].append({key: reply[key] for key in ("engine_ns", "end_to_end_ns", "warm_up", "peak_rss_bytes")})
