"""kill -9 at random moments of train, export, check and bench; what it leaves, and whether the next run minds.

Half of the kills come after a random time, half at a random change of the file system, where harm would be done.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from torture.bases import NAME
from torture.server import CHANGES, ESCAPED, WRITING, run_forked

__all__ = ["COMMANDS", "Interruption", "interrupt"]

BOUND_S = 120
OURS = ("stderr", "audit", "plan.toml")
PLAN = """rounds = 1
seconds = 0.05
end_to_end_seconds = 0.05
min_queries = 8
warm_up_runs = 1
warm_up_seconds = 0.0
threads = [1]
headline = "p50"
"""


@dataclass
class Interruption:
    """One kill: when it came, what it broke, and whether the next run went through.

    `mixed`: a new model file lay beside the old manifest, which a load refuses until the next run.
    """

    command: str
    number: int
    moment: str
    killed: bool
    mixed: bool = False
    faults: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


Arguments = Callable[[Path, Path, int], list[str]]


@dataclass(frozen=True)
class Command:
    """A command under test.

    Attributes:
        run: its arguments, given the bases, the folder it works in and a number; odd ones write other bytes than even.
        following: arguments of the run after a kill.
        damaged: of the files there, those that are neither old nor new and whole; given what whole runs wrote.
    """

    run: Arguments
    following: Arguments
    damaged: Callable[[Path, set[tuple[str, str]]], list[str]]


def interrupt(name: str, kills: int, bases: Path, folder: Path, seed: int = 0) -> Iterator[Interruption]:
    """Kill `kills` runs of the command `name` in `folder`, which is made."""
    command, chance = COMMANDS[name], random.Random(f"{name} {seed}")
    folder.mkdir(parents=True)
    (folder / "plan.toml").write_text(PLAN)
    whole: set[tuple[str, str]] = set()
    for number in (0, 1):
        started = time.monotonic()
        outcome = run_forked(command.run(bases, folder, number), folder, BOUND_S)
        lasts = time.monotonic() - started
        if outcome.code:
            raise RuntimeError(f"{name} does not run at all: {outcome.said}")
        whole |= files_in(folder)
    changes = count_changes(command.run(bases, folder, 0), folder)
    for number in range(kills):
        at_change = number // 2 % 2 == 0
        moment = chance.randrange(changes) if at_change else chance.uniform(0, lasts)
        code = killed_at(command.run(bases, folder, number), folder, moment)
        said = f"change {moment} of {changes}" if at_change else f"{moment:.2f} of {lasts:.2f} s"
        item = Interruption(name, number, said, killed=code == -signal.SIGKILL, mixed=mixed(folder))
        item.faults += [f"{path} is neither old nor new" for path in command.damaged(folder, whole)]
        outcome = run_forked(command.following(bases, folder, number), folder, BOUND_S)
        if outcome.code or outcome.faults():
            item.faults.append(f"the next run: {outcome.code} {outcome.faults()} {outcome.said.strip()[-300:]}")
        item.faults += [f"left behind: {path}" for path in hidden(folder)]
        if not item.faults:
            whole |= files_in(folder)
        yield item


def files_in(folder: Path) -> set[tuple[str, str]]:
    """(path, SHA-256) of every file below `folder` that is not hidden, without what this module puts there."""
    paths = [path for path in sorted(folder.rglob("[!.]*")) if path.is_file() and path.name not in OURS]
    return {(str(path.relative_to(folder)), hashlib.sha256(path.read_bytes()).hexdigest()) for path in paths}


def hidden(folder: Path) -> list[str]:
    """Temporary files that the run after a kill left, its own or those of the killed one."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*")]


def mixed(folder: Path) -> bool:
    """Whether a model file is not the one in the manifest beside it."""
    for manifest in folder.rglob("[!.]*.tflite.json"):
        model = manifest.with_suffix("")
        if json.loads(manifest.read_text())["sha256"] != hashlib.sha256(model.read_bytes()).hexdigest():
            return True
    return False


def counting(limit: float, seconds: bool) -> Callable[[str, tuple[Any, ...]], None]:
    """An audit hook that ends the process, as `kill -9` does, at change number `limit`."""
    seen = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        writes = event == "open" and isinstance(args[2], int) and args[2] & WRITING
        if writes or event in CHANGES:
            if not seconds and seen == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            seen += 1

    return hook


def count_changes(arguments: Sequence[str], folder: Path) -> int:
    """How many changes of the file system a whole run makes."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        import atexit

        total = 0

        def hook(event: str, args: tuple[Any, ...]) -> None:
            nonlocal total
            total += event in CHANGES or (event == "open" and isinstance(args[2], int) and bool(args[2] & WRITING))

        quiet_main(arguments, folder, hook)
        os.write(write, str(total).encode())
        atexit._clear()
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        total = pipe.read()
    os.waitpid(child, 0)
    return int(total)


def killed_at(arguments: Sequence[str], folder: Path, moment: float) -> int:
    """Run, and kill at change number `moment` (int) or after so many seconds (float); the exit code."""
    child = os.fork()
    if not child:
        quiet_main(arguments, folder, counting(moment, isinstance(moment, float)))
        os._exit(0)
    if isinstance(moment, float):
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def quiet_main(arguments: Sequence[str], folder: Path, hook: Callable[[str, tuple[Any, ...]], None]) -> None:
    from fmnist_edge.cli import main

    os.chdir(folder)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    sys.addaudithook(hook)
    try:
        main(list(arguments))
    except BaseException:
        os._exit(ESCAPED)


def calibration(bases: Path) -> list[str]:
    return ["--calibration", str(bases / "calibration.npy")]


def export(bases: Path, folder: Path, number: int) -> list[str]:
    model = bases / ("other" if number % 2 else ".") / f"{NAME}.keras"
    precisions = ["--precision", "float32", "--precision", "int8", "--format", "tflite"]
    return ["export", str(model), *precisions, *calibration(bases), "--out", "out"]


def check(bases: Path, folder: Path, number: int) -> list[str]:
    copied = folder / "artifacts"
    if not copied.exists():
        copied.mkdir()
        for file in (bases / NAME).glob("float32.tflite*"):
            (copied / file.name).write_bytes(file.read_bytes())
    images = ["--images", str(bases / "calibration.npy"), "--limit", str(8 + number % 2)]
    return ["check", "artifacts", "--reference", str(bases / f"{NAME}.keras"), *images, "--record"]


def train(bases: Path, folder: Path, number: int) -> list[str]:
    sizes = ["--epochs", "3", "--limit", "256", "--seeds", str(number % 2)]
    return ["train", "compact_cnn", "--recipe", "published", *sizes, "--out", "out"]


def trained_on(bases: Path, folder: Path, number: int) -> list[str]:
    return [*train(bases, folder, number), "--resume"]


def bench(bases: Path, folder: Path, number: int) -> list[str]:
    artifact = str(bases / NAME / "int8.tflite")
    return ["bench", artifact, "--engine", "litert", "--plan", "plan.toml", "--out", "results"]


def benched_on(bases: Path, folder: Path, number: int) -> list[str]:
    """Go on with what a killed run had measured; where that was nothing, run again."""
    journals = sorted((folder / "results").rglob("*.partial.jsonl"))
    begun = [path for path in journals if path.read_bytes().count(b"\n") >= 2]
    return ["bench", "--resume", str(begun[0])] if begun else bench(bases, folder, number)


def neither(folder: Path, whole: set[tuple[str, str]]) -> list[str]:
    """Files whose bytes are of no whole run."""
    return sorted(path for path, digest in files_in(folder) if (path, digest) not in whole)


def unreadable(folder: Path, whole: set[tuple[str, str]]) -> list[str]:
    """Files that cannot be read to their end, of commands that write a time, and so never the same bytes."""
    return sorted(path for path, _ in files_in(folder) if not readable(folder / path))


def readable(path: Path) -> bool:
    from fmnist_edge.benchmark import results
    from fmnist_edge.benchmark.journal import Journal
    from fmnist_edge.errors import FileError

    try:
        if path.suffix == ".json":
            json.loads(path.read_text())
        elif path.suffix == ".keras":
            with zipfile.ZipFile(path) as archive:
                return archive.testzip() is None
        elif path.name.endswith(".json.gz"):
            results.load(path)
        elif path.suffix == ".jsonl":
            Journal.read(path)
    except (ValueError, zipfile.BadZipFile, FileError):
        return path.suffix == ".jsonl" and path.read_bytes().count(b"\n") == 0  # killed in its first line
    return True


COMMANDS = {
    "train": Command(train, trained_on, unreadable),
    "export": Command(export, export, neither),
    "check": Command(check, check, unreadable),
    "bench": Command(bench, benched_on, unreadable),
}
