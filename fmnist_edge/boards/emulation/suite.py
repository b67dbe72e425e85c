"""Emulate every artifact on every core: compare its scores with this machine's, and count its instructions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.boards.emulation import profile, results, userland
from fmnist_edge.boards.emulation.c_host import CHost, is_c_form
from fmnist_edge.boards.emulation.cycles import cycles_of
from fmnist_edge.boards.emulation.host import Host
from fmnist_edge.catalog.boards import CORES, Core
from fmnist_edge.catalog.gates import ENGINE_AGREEMENT
from fmnist_edge.errors import FmnistEdgeError, InputError, TemporaryFileError, UnavailableError, one_line
from fmnist_edge.parity.c_form.run import check_tools
from fmnist_edge.parity.c_form.targets import TARGETS
from fmnist_edge.parity.matrix.suite import agreement, name_of
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["Choice", "failures", "host_of", "needs_userland", "run"]

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
    if any(map(is_c_form, artifacts)):
        for name in choice.cores:
            check_tools(TARGETS[name])
    if needs_userland(artifacts):
        userland.make(folder)
    library = profile.plugin(folder)
    found = []
    with temporary_folder("emulation") as temporary:
        file = save_images(temporary / "images.npy", images[: choice.images])
        for number, artifact in enumerate(artifacts):
            host = host_of(artifact, file, len(images[: choice.images]))
            for place, name in enumerate(choice.cores):
                done = number * len(choice.cores) + place
                progress(done, len(artifacts) * len(choice.cores), f"{name_of(artifact)} on {name}")
                result = load_results(out, name)
                known = results.cell_of(result, artifact.manifest.sha256)
                if known is None or choice.again or not covers(known, host, CORES[name]):
                    known = emulate_cell(host, CORES[name], folder, library, choice.again) | {"source": source}
                if known.get("cycles") is None:
                    ran = known["status"] == "ok"
                    known = known | {"cycles": simulate_cycles(known["sha256"], CORES[name], folder) if ran else None}
                    cells = [item for item in result["cells"] if item["artifact"] != known["artifact"]]
                    results.save({**result, "cells": [*cells, known]}, out)
                found.append({"core": name, **known})
    return found


def host_of(artifact: Artifact, images: Path, count: int) -> Host:
    return (CHost if is_c_form(artifact) else Host)(artifact, images, count)


def needs_userland(artifacts: Sequence[Artifact]) -> bool:
    """Whether one of the artifacts is run by a Python on the core."""
    return not all(map(is_c_form, artifacts))


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


def covers(known: JsonObject, host: Host, core: Core) -> bool:
    if known["status"] != "ok" or known["parity"]["images"] < host.count:
        return False
    return host.version(core) in (None, known["engine_version"])


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
    if host.reference != host.engine:
        parity["reference"] = host.reference
    return {**identity, "status": "ok", "reason": None, "parity": parity, **counted}


def count(host: Host, core: Core, folder: Path, library: Path) -> JsonObject:
    """Count the instructions of one inference, in two sections in each of two processes.

    They are counted again if they differ too much: on a busy machine, an engine's other threads may run in a section.
    """
    apart, attempts = math.inf, 0
    while apart > REPEATABLE and attempts < ATTEMPTS:
        attempts += 1
        sections: list[profile.Profile] = []
        for _ in range(2):
            found, reply = host.profiles(core, folder, library, CALLS)
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
