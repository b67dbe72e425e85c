"""Blocks of instructions, and how often an emulated core ran each: compile the plugin, run the guest, read its file."""

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

from fmnist_edge.boards.emulation.guest import Task
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.files import write_atomic, write_via
from fmnist_edge.worker.calls import call, program
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import check_room, temporary_folder

__all__ = ["Profile", "collect", "instructions", "load", "plugin", "read", "save"]

SOURCE = Path(__file__).with_name("blocks.c")
INSTRUCTION = 8  # hexadecimal digits of one
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


def collect(task: Any, python: str, library: Path, guest: str = GUEST) -> tuple[list[Profile], dict[str, Any]]:
    """What `task` ran between its marks, a Profile per section, on the core that `python` starts; and its reply.

    Raises ArtifactError with the guest's last line when it fails, UnavailableError when QEMU refuses the plugin.
    """
    with temporary_folder("profile") as folder:
        out = folder / "blocks.txt"
        environment = {"QEMU_PLUGIN": f"file={library},out={out}"}
        end = call(guest, asdict(task), python=python, timeout_s=TIMEOUT_S, environment=environment)
        if end.status is Status.TIMED_OUT:
            raise ArtifactError(f"{task.artifact}: not counted within {TIMEOUT_S} s; count fewer calls")
        if end.status is not Status.DONE:
            check_room()
            kind = UnavailableError if "plugin" in end.reason.lower() else ArtifactError
            raise kind(f"{task.artifact}: {task.engine} on an emulated core: {end.reason}")
        return read(out.read_text(encoding="ascii")), end.value


def read(text: str) -> list[Profile]:
    """The plugin's sections. The same instructions at two addresses are the same block.

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
    """
    >>> instructions({"1f2003d5": 2, "1f2003d51f2003d5": 1})
    4
    """
    return sum(executions * (len(code) // INSTRUCTION) for code, executions in profile.items())


def save(profile: Profile, calls: int, path: Path) -> None:
    """For `load`: kept so that estimates can be made anew without emulating anything."""
    content = json.dumps({"calls": calls, "blocks": profile}).encode()
    write_atomic(path, gzip.compress(content, mtime=0))


def load(path: Path) -> tuple[Profile, int] | None:
    """A saved profile and how many calls it is of; None where there is none."""
    if not path.is_file():
        return None
    saved = json.loads(gzip.decompress(path.read_bytes()))
    return Counter(saved["blocks"]), saved["calls"]


def task_for(artifact: Path, engine: str, images: Path, calls: int) -> Task:
    return Task(str(artifact.resolve()), engine, str(images), calls)
