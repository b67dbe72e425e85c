"""What is no fault of any file: a full disk, folders that may not be written or read, a second run, a clock that jumps.

Each is to be one line, and what was there before is to be there after, byte for byte.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torture.bases import NAME
from torture.interrupt import BOUND_S, COMMANDS, PLAN, files_in
from torture.server import Outcome, run_forked

__all__ = ["Refusal", "refusals"]

NOBODY = 65534
SIZES = (0, 1000, 4096, 9000, 20_000)  # bytes that fit before the disk is full
FAKETIME = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")


@dataclass
class Refusal:
    """A command under some adversity: how it ended, and what is wrong with that."""

    command: str
    adversity: str
    code: int
    said: str
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def refusals(bases: Path, root: Path) -> Iterator[Refusal]:
    yield from full_disk(bases, root / "full")
    if os.geteuid() == 0:  # root may write everywhere, so that the command has to be somebody else
        yield from no_permission(bases, root / "permission")
    yield from two_at_once(bases, root / "two")
    if FAKETIME.exists():
        yield from clock_jumps(bases, root / "clock")


def settled(name: str, bases: Path, folder: Path) -> set[tuple[str, str]]:
    """`folder` after one whole run of the command; its files."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "plan.toml").write_text(PLAN)
    outcome = run_forked(COMMANDS[name].run(bases, folder, 0), folder, BOUND_S)
    if outcome.code:
        raise RuntimeError(f"{name} does not run at all: {outcome.said}")
    return files_in(folder)


def judged(name: str, adversity: str, outcome: Outcome, before: set[tuple[str, str]], folder: Path) -> Refusal:
    """One line, an exit code that says so, and nothing lost."""
    item = Refusal(name, adversity, outcome.code, outcome.said.strip()[:300], outcome.faults())
    if outcome.code not in (2, 3):
        item.faults.append(f"exit code {outcome.code} and no refusal")
    item.faults += [f"lost: {path}" for path, _ in sorted(before - files_in(folder))]
    return item


def full_disk(bases: Path, folder: Path) -> Iterator[Refusal]:
    """No file may grow beyond some bytes: what a full disk looks like, whoever runs the test."""
    for name in COMMANDS:
        before = settled(name, bases, folder)
        for size in SIZES:
            limit = (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
            outcome = with_limit(
                limit, lambda name=name: run_forked(COMMANDS[name].run(bases, folder, 1), folder, BOUND_S)
            )
            if outcome.code == 0:  # all it writes is smaller
                continue
            if size == 0 and not outcome.said:  # its stderr is a file on that disk too, so that the exit code says it
                outcome.said = "fmnist-edge: error: "
            yield judged(name, f"disk full after {size:,} bytes", outcome, before, folder)


def with_limit(limit: tuple[int, int], run: Callable[[], Outcome]) -> Outcome:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit[0], before[1]))
    try:
        return run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def no_permission(bases: Path, folder: Path) -> Iterator[Refusal]:
    """Output folders that may not be written to, and model files that may not be read, by a user who is not root."""
    for name in COMMANDS:
        before = settled(name, bases, folder)
        modes = {path: path.stat().st_mode for path in [folder, *folder.rglob("*")]}
        for path in modes:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield judged(name, "read-only folder", as_nobody(COMMANDS[name].run(bases, folder, 1), folder), before, folder)
    secret = folder / "secret.tflite"
    secret.write_bytes((bases / NAME / "int8.tflite").read_bytes())
    shutil.copy(bases / NAME / "int8.tflite.json", folder / "secret.tflite.json")
    secret.chmod(0)
    before = files_in(folder)
    for name in ("doctor", "check", "bench"):
        outcome = as_nobody([name, str(secret)], folder)
        yield judged(name, "model that may not be read", outcome, before, folder)


def as_nobody(arguments: Sequence[str], folder: Path) -> Outcome:
    """The command as a user who owns nothing. What it says and writes for itself goes to a folder of its own."""
    inside = folder.parent / "nobody"
    shutil.rmtree(inside, ignore_errors=True)
    inside.mkdir()
    os.chown(inside, NOBODY, NOBODY)
    for parent in folder.parents[:2]:
        parent.chmod(0o755)
    return run_forked(arguments, inside, BOUND_S, user=NOBODY, working=folder)


def two_at_once(bases: Path, folder: Path) -> Iterator[Refusal]:
    """A second run while the first is under way: it waits or refuses, and the first ends well."""
    for name in COMMANDS:
        settled(name, bases, folder)
        children = []
        for number in (0, 1):
            read, write = os.pipe()
            child = os.fork()
            if not child:
                inside = folder / f".{number}"
                inside.mkdir()
                outcome = run_forked(COMMANDS[name].run(bases, folder, 0), inside, BOUND_S, working=folder)
                os.write(write, f"{outcome.code}\n{outcome.said}".encode())
                os._exit(0)
            os.close(write)
            children.append((child, read))
        ends = []
        for child, read in children:
            os.waitpid(child, 0)
            with os.fdopen(read) as pipe:
                code, _, said = pipe.read().partition("\n")
            ends.append((int(code), said))
        codes = sorted(code for code, _ in ends)
        said = next((said.strip() for code, said in ends if code), "")
        item = Refusal(name, "two runs at once", codes[-1], said)
        if codes not in ([0, 0], [0, 2]) or (codes == [0, 2] and "another run" not in said):
            item.faults.append(f"exit codes {codes}")
        yield item


def clock_jumps(bases: Path, folder: Path) -> Iterator[Refusal]:
    """The wall clock goes back by an hour in the middle of a run; time that is measured must not care."""
    for name in ("bench", "train"):
        settled(name, bases, folder)
        clock = folder / "clock"
        clock.write_text("+0\n")
        environment = {
            **os.environ, "LD_PRELOAD": str(FAKETIME), "FAKETIME_TIMESTAMP_FILE": str(clock), "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }  # fmt: skip
        command = [sys.executable, "-m", "fmnist_edge", *COMMANDS[name].run(bases, folder, 1)]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        time.sleep(4)
        clock.write_text("-1h\n")
        _, said = process.communicate(timeout=BOUND_S)
        item = Refusal(name, "clock goes back by an hour", process.returncode, said.strip()[-300:])
        if process.returncode:
            item.faults.append(f"exit code {process.returncode}")
        yield item
