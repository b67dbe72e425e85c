"""Profile a guest on an emulated core, as blocks of instructions and how often each ran.

Compiles the QEMU plugin, runs the guest, and reads the plugin's file.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from fmnist_edge.aliases import JsonObject
from fmnist_edge.boards.emulation.guest import Task
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.files import write_atomic, write_via
from fmnist_edge.worker.calls import call, program
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import check_room, temporary_folder

__all__ = ["Profile", "collect", "instructions", "load", "plugin", "read", "save"]

SOURCE = Path(__file__).with_name("blocks.c")
INSTRUCTION = 8  # hexadecimal digits per instruction
TIMEOUT_S = 280
GUEST = "fmnist_edge.boards.emulation.guest:count"

Profile = Counter[str]  # a block's instructions in hexadecimal -> how often it ran


def plugin(folder: Path) -> Path:
    """The plugin, compiled once into `folder`. Raises UnavailableError without a C compiler."""
    library = folder.resolve() / f"blocks-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}.so"
    if library.is_file():
        return library
    compiler = shutil.which(os.environ.get("CC", "gcc")) or shutil.which("cc")
    if compiler is None:
        raise UnavailableError("no C compiler on this machine; on Debian 12 run: apt-get install gcc libc6-dev")

    def build(temporary: Path) -> None:
        command = [compiler, "-O2", "-fvisibility=hidden", "-shared", "-fPIC", "-o", str(temporary), str(SOURCE)]
        program(command).result(UnavailableError, f"{SOURCE.name} does not compile: ")

    return write_via(library, build)


def collect(task: Any, python: str, library: Path, guest: str = GUEST) -> tuple[list[Profile], JsonObject]:
    """Run `task` with the emulated interpreter `python`; returns a Profile per section, and the guest's reply.

    Raises ArtifactError with the guest's last line when it fails, UnavailableError when QEMU refuses the plugin.
    """
    with temporary_folder("profile") as folder:
        out = folder / "blocks.txt"
        environment = {"QEMU_PLUGIN": f"file={library},out={out}"}
        end = call(guest, asdict(task), python=python, timeout_s=TIMEOUT_S, environment=environment)
        if end.status is Status.TIMED_OUT:
            raise ArtifactError(f"{task.artifact}: counting took more than {TIMEOUT_S} s; count fewer calls")
        if end.status is not Status.DONE:
            check_room()
            if isinstance(end.error, UnavailableError):
                raise end.error
            kind = UnavailableError if "plugin" in end.reason.lower() else ArtifactError
            raise kind(f"{task.artifact}: {task.engine} on an emulated core: {end.reason}")
        return read(out.read_text(encoding="ascii")), end.value


def read(text: str) -> list[Profile]:
    """Parse the plugin's sections. Equal instructions at different addresses count as one block.

    >>> read("blocks\\n2 ff00 1f2003d5\\n1 ff08 1f2003d51f2003d5\\nend\\n")
    [Counter({'1f2003d5': 2, '1f2003d51f2003d5': 1})]
    """
    sections: list[Profile] = []
    for line in text.splitlines():
        if line == "blocks":
            sections.append(Counter())
        elif line != "end":
            executions, _, code = line.split()
            sections[-1][code] += int(executions)
    return sections


def instructions(profile: Mapping[str, int]) -> int:
    """Number of instructions that ran.

    >>> instructions({"1f2003d5": 2, "1f2003d51f2003d5": 1})
    4
    """
    return sum(executions * (len(code) // INSTRUCTION) for code, executions in profile.items())


def save(profile: Profile, calls: int, path: Path) -> None:
    """Save a profile for `load`, so that estimates can be repeated without emulation."""
    content = json.dumps({"calls": calls, "blocks": profile}).encode()
    write_atomic(path, gzip.compress(content, mtime=0))


def load(path: Path) -> tuple[Profile, int] | None:
    """A saved profile and its number of calls; None if there is no such file."""
    if not path.is_file():
        return None
    saved = json.loads(gzip.decompress(path.read_bytes()))
    return Counter(saved["blocks"]), saved["calls"]


def task_for(artifact: Path, engine: str, images: Path, calls: int) -> Task:
    return Task(str(artifact.resolve()), engine, str(images), calls)
