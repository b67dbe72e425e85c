"""Run a benchmark: each round measures every cell in a fresh process, in random order.

Drift and noise then affect all cells equally.
"""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark import environment, results, validity
from fmnist_edge.benchmark.calibration import calibrate
from fmnist_edge.benchmark.cells import Cell, entry_for, order, size_and_sha256
from fmnist_edge.benchmark.comparison import machine_differences
from fmnist_edge.benchmark.entries import MEMORY_PASS, add_entry, add_summaries, cpu_fallback
from fmnist_edge.benchmark.journal import SUFFIX, Journal, resume_command
from fmnist_edge.benchmark.loop import Request
from fmnist_edge.benchmark.monitor import Monitor, with_own_cpu
from fmnist_edge.benchmark.plan import Plan, from_dict
from fmnist_edge.benchmark.process import run_child
from fmnist_edge.benchmark.results import Result, State
from fmnist_edge.benchmark.rounds import further_round
from fmnist_edge.benchmark.state import now, state
from fmnist_edge.benchmark.validity import THROTTLED_SINCE
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.runtime.engine_catalog import GPU
from fmnist_edge.worker.temporary import temporary_folder, write_temporary

__all__ = ["Session", "begin", "resume", "run"]

Progress = Callable[[int, int, str], None]

IDLE_S = 1.0


@dataclass
class Session:
    """A run in progress. Make one with `begin` or `resume`, then `run` it.

    Attributes:
        path: the results file to write.
        pythons: engine -> the interpreter to run it in, if not this one.
        variables: environment variables of the children, which replace ours.
        entries: (round, cell index) -> journal entry of that measurement. A cell that failed is not measured again.
    """

    result: Result
    cells: Sequence[Cell]
    images: np.ndarray
    plan: Plan
    path: Path
    journal: Journal
    pythons: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    entries: dict[tuple[int, int], JsonObject] = field(default_factory=dict)

    @property
    def total(self) -> int:
        return len(self.cells) * (self.plan.rounds + 1)


def begin(
    cells: Sequence[Cell],
    images: np.ndarray,
    plan: Plan,
    out: Path,
    *,
    seed: int = 0,
    accuracies: Mapping[str, JsonObject] | None = None,
    pythons: Mapping[str, str] | None = None,
    variables: Mapping[str, str] | None = None,
    calibrated: bool = True,
) -> Session:
    """Describe the machine, measure its peak, and create the journal below `out`.

    `images`: uint8 (n, height, width, ...) or records of `tensors.packed`, cycled. None: each artifact's golden images.
    Raises InputError when there are no cells or when images are of another type, and FileError when `out` cannot be
    written.
    """
    if images.dtype.names is None and (images.dtype != np.uint8 or images.ndim < 3):
        raise InputError(f"images are {images.dtype} {images.shape}; expected uint8 (n, height, width)")
    if not cells:
        raise InputError("no cells to measure; expected at least 1")
    with Monitor() as idle:
        time.sleep(IDLE_S)
    created = now()
    result: Result = {
        "schema": results.SCHEMA,
        "created": created,
        "finished": None,
        "interrupted": True,
        "sessions": [created],
        "plan": asdict(plan),
        "seed": seed,
        "images": image_summary(images),
        "machine": environment.describe(),
        "calibration": calibrate([cell.threads for cell in cells]) if calibrated else None,
        "before": state(),
        "idle_cores": idle.during["other_cores"],
        "after": None,
        "verdict": None,
        "cells": [entry_for(cell, accuracies or {}) for cell in cells],
    }
    path = results.path_for(result, out)
    if path.exists():
        raise FileError(f"{path}: exists already: another run began in the same second; start this one again")
    # Only the journal holds the artifacts' paths, because it stays on this machine.
    where = [{**asdict(cell), "artifact": str(cell.artifact)} for cell in cells]
    pythons, variables = dict(pythons or {}), dict(variables or {})
    header = {"result": result, "cells": where, "pythons": pythons, "variables": variables}
    return Session(result, cells, images, plan, path, Journal.create(partial_path(path), header), pythons, variables)


def partial_path(path: Path) -> Path:
    return path.with_name(path.name.removesuffix(".json.gz") + SUFFIX)


def image_summary(images: np.ndarray) -> JsonObject:
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes()).hexdigest()
    return {"count": len(images), "shape": list(images.shape[1:]), "sha256": digest}


def resume(path: Path, images: np.ndarray) -> Session:
    """Load the interrupted run whose journal is `path`, to continue it.

    Raises FileError when the file is no such journal, and InputError when machine, artifacts or images have changed.
    """
    journal, header, lines = Journal.read(path)
    try:
        result: Result = header["result"]
        cells = [Cell(**{**cell, "artifact": Path(cell["artifact"])}) for cell in header["cells"]]
        plan = from_dict({k: v for k, v in result["plan"].items() if k != "name"}, result["plan"]["name"], str(path))
        entries = {(line["round"], line["cell"]): line for line in lines}
        schema, sha256s = result["schema"], [cell["sha256"] for cell in result["cells"]]
        if len(cells) != len(sha256s):
            raise TypeError("cells")
    except (KeyError, TypeError, AttributeError) as error:
        raise FileError(f"{path}: not the file of an interrupted run ({type(error).__name__} at {error})") from None
    if schema != results.SCHEMA:
        raise FileError(f"{path}: its schema is {schema!r}, this version expects {results.SCHEMA}; measure again")
    changed = [cell.name for cell, digest in zip(cells, sha256s) if size_and_sha256(cell.artifact)[1] != digest]
    unlike = machine_differences(result["machine"], environment.describe())
    if changed or unlike or image_summary(images) != result["images"]:
        what = changed[0] if changed else f"the machine ({unlike[0]})" if unlike else "the set of images"
        raise InputError(f"{path}: {what} has changed since the run began; start a new run")
    result["sessions"].append(now())
    remove_stale_throttling(result["before"], lines, state()["throttled"])
    target = path.with_name(path.name.removesuffix(SUFFIX) + ".json.gz")
    return Session(result, cells, images, plan, target, journal, header["pythons"], header["variables"], entries)


def remove_stale_throttling(before: State, lines: Sequence[JsonObject], bits: int | None) -> None:
    """After a reboot, remove the throttling bits "since boot" that the reboot cleared, from before and during the run.

    Otherwise they would hide throttling after the reboot.
    """
    old = before["throttled"]
    if old is None or bits is None or not old & ~bits:
        return
    before["throttled"] = old & bits
    for line in lines:
        seen = line["during"]["throttled"]
        if seen is not None:
            line["during"]["throttled"] = seen & ~(old & ~bits & THROTTLED_SINCE)


def run(session: Session, progress: Progress = lambda done, total, text: None) -> Result:
    """Measure what is still missing, write the result to `session.path`, and return it.

    `progress(done, total, text)` is called before each measurement. A cell that fails is not measured again; the other
    cells go on. Ctrl-C ends the run early: the result holds the measurements so far, "interrupted" is true, and the
    journal stays for `resume`. If nothing was measured yet, no file is left and KeyboardInterrupt is raised. Raises
    FileError when the disk is full; the journal keeps the earlier measurements.
    """
    result = session.result
    try:
        measure_all(session, progress)
        result["interrupted"] = False
    except (KeyboardInterrupt, FileError) as error:
        if not session.entries:
            session.journal.remove()
        if not session.entries or isinstance(error, FileError):
            raise
    finish(session)
    write(session)
    return result


def write(session: Session) -> None:
    """Write the result. Then remove the journal, unless the run was interrupted."""
    try:
        results.save(session.result, session.path)
    except FileError as error:
        raise FileError(f"{error}; all measurements are in {session.journal.path}, {how_to_resume(session)}") from None
    if not session.result["interrupted"]:
        session.journal.remove()


def how_to_resume(session: Session) -> str:
    return f"continue with: {resume_command(session.journal.path)}"


def measure_all(session: Session, progress: Progress) -> None:
    steps = [(MEMORY_PASS, index) for index in range(len(session.cells))]
    steps += order(len(session.cells), session.plan.rounds, session.result["seed"])
    with temporary_folder("bench") as folder:
        file = save_images(folder / "images.npy", session.images)
        measure_steps(session, steps, file, progress)
        number = session.plan.rounds
        while more := further_round(session, number):
            measure_steps(session, more, file, progress)
            number += 1
        progress(session.total, session.total, "done")


def measure_steps(session: Session, steps: Sequence[tuple[int, int]], images: Path, progress: Progress) -> None:
    failed = {index for (_, index), entry in session.entries.items() if entry["reply"]["status"] != "measured"}
    for done, (number, index) in enumerate(steps):
        beyond = number >= session.plan.rounds
        text = f"{session.cells[index]}, round {number + 1}" if beyond else str(session.cells[index])
        progress(session.total if beyond else done, session.total, text)
        if index in failed or (number, index) in session.entries:
            continue
        entry = measure_cell(session, number, index, images)
        session.journal.append(entry)
        session.entries[number, index] = entry
        if entry["reply"]["status"] != "measured":
            failed.add(index)


def save_images(path: Path, images: np.ndarray) -> Path:
    """Save the images for the child processes. Raises TemporaryFileError when there is no room for them."""
    return write_temporary(path, partial(np.save, arr=images))


def measure_cell(session: Session, number: int, index: int, images: Path) -> JsonObject:
    """Measure one cell in one round; returns its line of the journal."""
    cell, plan = session.cells[index], session.plan
    is_memory = number == MEMORY_PASS
    if not is_memory:
        time.sleep(plan.cool_down_seconds)
    request = Request(
        artifact=str(cell.artifact),
        engine=cell.engine,
        threads=cell.threads,
        batch=cell.batch,
        images=str(images),
        seconds=plan.seconds / plan.rounds,
        end_to_end_seconds=plan.end_to_end_seconds / plan.rounds,
        min_queries=plan.min_queries_per_round,
        warm_up_runs=plan.warm_up_runs,
        warm_up_seconds=plan.warm_up_seconds,
        memory=is_memory,
        variables=session.variables,
    )
    with Monitor(gpu=cell.target == GPU) as monitor:
        reply = run_child(request, session.pythons.get(cell.engine, sys.executable))
    during = with_own_cpu(monitor.during, reply.pop("uncounted_cpu_seconds", 0.0))
    return {"round": number, "cell": index, "reply": reply, "during": during}


def finish(session: Session) -> None:
    """Add the entries to the result, then everything that is derived from them."""
    result = session.result
    for cell in result["cells"]:
        cell["rounds"] = []
    for (number, index), entry in sorted(session.entries.items()):
        add_entry(result["cells"][index], number, entry)
    for cell in result["cells"]:
        if cell["reason"] is None:
            complete = len(cell["rounds"]) >= session.plan.rounds
            missing = f"interrupted after {len(cell['rounds'])} of {session.plan.rounds} rounds"
            cell["reason"] = cpu_fallback(cell) if complete else missing
            cell["status"] = "ok" if cell["reason"] is None else "partial"
    add_summaries(result)
    result["after"], result["finished"] = state(), now()
    result["verdict"] = validity.judge(result)
