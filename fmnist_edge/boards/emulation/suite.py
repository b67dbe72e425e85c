"""Emulate every artifact on every core: compare its scores with this machine's, and count its instructions."""

from __future__ import annotations

import hashlib
import io
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.boards.emulation import profile, results, userland
from fmnist_edge.boards.emulation.cycles import cycles_of
from fmnist_edge.catalog.boards import CORES, Core
from fmnist_edge.catalog.gates import ENGINE_AGREEMENT
from fmnist_edge.errors import FmnistEdgeError, InputError, TemporaryFileError, UnavailableError, one_line
from fmnist_edge.files import write_atomic
from fmnist_edge.parity.matrix import cell
from fmnist_edge.parity.matrix.suite import agreement, name_of
from fmnist_edge.runtime.engine_catalog import engines_for
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["Choice", "failures", "run"]

PIECE = 100  # images; they take some seconds to half a minute
STALL_S = 290  # enough for a piece in the slowest emulated engine
CALLS = 4
REPEATABLE = 1e-3  # largest spread of the counts of a cell, as a share
ATTEMPTS = 3  # at counting a cell until its counts are repeatable

Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Choice:
    """What to emulate.

    Attributes:
        cores: names of the cores.
        images: number of images for parity.
        again: whether to repeat cells that the results already have.
    """

    cores: tuple[str, ...] = tuple(CORES)
    images: int = 500
    again: bool = False


def run(
    artifacts: Sequence[Artifact],
    images: np.ndarray,
    source: str,
    choice: Choice,
    folder: Path,
    out: Path,
    progress: Progress = lambda done, total, text: None,
) -> list[JsonObject]:
    """Emulate `artifacts`; each cell is written to `out`/<core>.json as soon as it is done.

    Args:
        images: uint8 or float (n, *input_shape).
        source: a name for the images.
        folder: the userland, see userland.make; intermediate scores and profiles are kept there.
        progress: called with (cells done, total cells, what is next).

    A cell that is in the results already, for the same file and at least as many images, is not repeated. Returns the
    cells of `choice`. Raises UnavailableError without QEMU, a C compiler or the userland, InputError for two artifacts
    of the same name, and for results of another QEMU or other wheels.
    """
    names = Counter(map(name_of, artifacts))
    if twice := [name for name, times in names.items() if times > 1]:
        raise InputError(f"two artifacts are called {twice[0]}; emulate them one by one, each with its own --out")
    userland.make(folder)
    library = profile.plugin(folder)
    found = []
    with temporary_folder("emulation") as temporary:
        file = save_images(temporary / "images.npy", images[: choice.images])
        for number, artifact in enumerate(artifacts):
            host = Host(artifact, file, len(images[: choice.images]))
            for place, name in enumerate(choice.cores):
                done = number * len(choice.cores) + place
                progress(done, len(artifacts) * len(choice.cores), f"{name_of(artifact)} on {name}")
                result = load_results(out, name)
                known = results.cell_of(result, artifact.manifest.sha256)
                if known is None or choice.again or not covers(known, host.count):
                    known = emulate_cell(host, CORES[name], folder, library, choice.again) | {"source": source}
                if known.get("cycles") is None:
                    ran = known["status"] == "ok"
                    known = known | {"cycles": simulate_cycles(known["sha256"], CORES[name], folder) if ran else None}
                    cells = [item for item in result["cells"] if item["artifact"] != known["artifact"]]
                    results.save({**result, "cells": [*cells, known]}, out)
                found.append({"core": name, **known})
    return found


class Host:
    """An artifact and its scores on this machine, which are computed once and only if needed."""

    def __init__(self, artifact: Artifact, images: Path, count: int) -> None:
        self.artifact, self.images, self.count = artifact, images, count
        self.engine = engines_for(artifact.path)[0]
        self._scores: np.ndarray | None = None

    def scores(self, images: Path, count: int, python: str) -> np.ndarray:
        """Scores, float32 (count, classes), computed by `python` in a child process.

        Raises FmnistEdgeError with the engine's reason.
        """
        answer = images.with_name("scores.npy")
        answer.unlink(missing_ok=True)
        task = cell.Task(str(self.artifact.path.resolve()), self.engine, str(images), count, str(answer), 1)
        reply = cell.run(task, python, lambda done: None, STALL_S)
        if reply["status"] != "ran":
            raise FmnistEdgeError(reply["reason"])
        return np.load(answer, allow_pickle=False)

    @property
    def expected(self) -> np.ndarray:
        if self._scores is None:
            self._scores = self.scores(self.images, self.count, sys.executable)
        return self._scores

    def emulated(self, core: Core, folder: Path, again: bool) -> np.ndarray:
        """Scores on a core, float32 (count, classes). Pieces are kept in `folder`, so an interrupted run continues."""
        images, found = np.load(self.images, mmap_mode="r", allow_pickle=False), []
        for start in range(0, self.count, PIECE):
            piece = np.array(images[start : start + PIECE])
            of = hashlib.sha256(self.artifact.manifest.sha256.encode() + piece.tobytes()).hexdigest()
            kept = folder / "answers" / core.name / f"{of}.npy"
            if again or not kept.is_file():
                file = save_images(self.images.with_name("piece.npy"), piece)
                scores = self.scores(file, len(piece), userland.interpreter(folder, core))
                content = io.BytesIO()
                np.save(content, scores)
                write_atomic(kept, content.getvalue())
            found.append(np.load(kept, allow_pickle=False))
        return np.concatenate(found)


def load_results(out: Path, core: str) -> JsonObject:
    """The results of `core` so far, with the versions of QEMU and the wheels.

    Raises InputError when other versions made them.
    """
    path = out / f"{core}.json"
    made = {"schema": results.SCHEMA, "kind": results.KIND, "core": core, **versions()}
    if not path.is_file():
        return {**made, "cells": []}
    known = results.load(path)
    if other := [f"{key} {known.get(key)}, here {made[key]}" for key in made if known.get(key) != made[key]]:
        raise InputError(f"{path}: made by {'; '.join(other)}; name another --out, or delete it to start again")
    return {**made, "cells": known["cells"]}


def versions() -> JsonObject:
    reply = program(["qemu-aarch64", "--version"]).result(UnavailableError, "qemu-aarch64: ")
    lines = [line.split()[0].partition("==")[::2] for line in userland.WHEELS.read_text().splitlines() if "==" in line]
    return {"qemu": reply.split("version ")[-1].split()[0], "packages": dict(lines)}


def covers(known: JsonObject, images: int) -> bool:
    return known["status"] == "ok" and known["parity"]["images"] >= images


def emulate_cell(host: Host, core: Core, folder: Path, library: Path, again: bool) -> JsonObject:
    """Emulate one cell; if that fails, the cell has the reason."""
    artifact = host.artifact
    identity = {
        "artifact": name_of(artifact),
        "sha256": artifact.manifest.sha256,
        "model": artifact.model,
        "precision": artifact.precision,
        "size_bytes": artifact.size_bytes,
        "engine": host.engine,
    }
    try:
        expected = host.expected
        gate = ENGINE_AGREEMENT[artifact.manifest.kind]
        parity = agreement(expected, host.emulated(core, folder, again), gate, artifact.contract)
        counted = count(host, core, folder, library)
    except (UnavailableError, TemporaryFileError):  # something is missing on this machine, for all artifacts
        raise
    except FmnistEdgeError as error:
        nothing = dict.fromkeys(("parity", "engine_version", "instructions", "repeatability", "calls"))
        return {**identity, "status": "failed", "reason": one_line(error), **nothing}
    return {**identity, "status": "ok", "reason": None, "parity": parity, **counted}


def count(host: Host, core: Core, folder: Path, library: Path) -> JsonObject:
    """Count the instructions of one inference, in two sections in each of two processes.

    They are counted again if they differ too much: on a busy machine, an engine's other threads may run in a section.
    """
    python = userland.interpreter(folder, core)
    task = profile.task_for(host.artifact.path, host.engine, host.images, CALLS)
    apart, attempts = math.inf, 0
    while apart > REPEATABLE and attempts < ATTEMPTS:
        attempts += 1
        sections: list[profile.Profile] = []
        for _ in range(2):
            found, reply = profile.collect(task, python, library)
            sections += found
        counts = [profile.instructions(section) / CALLS for section in sections]
        mean = sum(counts) / len(counts)
        apart = (max(counts) - min(counts)) / mean
    profile.save(sections[-1], CALLS, profile_path(folder, core.name, host.artifact.manifest.sha256))
    return {**reply, "instructions": round(mean), "repeatability": apart, "calls": CALLS, "attempts": attempts}


def simulate_cycles(sha256: str, core: Core, folder: Path) -> JsonObject | None:
    """Cycles of one inference, see `cycles_of`; None if there is no profile or llvm-mca is not installed."""
    saved = profile.load(profile_path(folder, core.name, sha256))
    if saved is None:
        return None
    blocks, calls = saved
    try:
        found = cycles_of(blocks, core.scheduling)
    except UnavailableError:
        return None
    return {**found, "cycles": round(found["cycles"] / calls)}


def profile_path(folder: Path, core: str, name: str) -> Path:
    return folder / "profiles" / core / f"{name}.json.gz"


def failures(cells: Sequence[JsonObject]) -> list[str]:
    """One line for each cell that failed, missed its gate or is not repeatable."""
    lines = []
    for item in cells:
        where = f"{item['artifact']} on {item['core']}: "
        if item["status"] != "ok":
            lines.append(where + item["reason"])
        elif not item["parity"]["passed"]:
            parity = item["parity"]
            lines.append(f"{where}{parity['differing']} of {parity['images']} images have another top class than here")
        elif item["repeatability"] > REPEATABLE:
            lines.append(f"{where}instruction counts lie {item['repeatability']:.2%} apart; at most {REPEATABLE:.1%}")
    return lines
