"""One cell, an artifact in an engine, in a process of its own: a crash or a hang is that cell's reason and no more.

`python -m fmnist_edge.parity.matrix.cell TASK` takes a Task as JSON and prints JSON lines: the number of images
done, as it goes, and its reply. Any Python with NumPy and an engine can be that process.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import IO, Any, cast

import numpy as np

from fmnist_edge.errors import FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.trial import child_environment

__all__ = ["Task", "run"]

STALL_S = 180  # without a sign of life; loading and each CHUNK of images give one
CHUNK = 100  # images; 2 s of the slowest engine here


@dataclass(frozen=True)
class Task:
    """What the child is to do.

    Attributes:
        images: .npy file, uint8 or float (n, *input_shape).
        limit: how many of them to classify.
        scores: .npy file to write, float32 (limit, classes).
        threads: of the engine; None for its own choice.
    """

    artifact: str
    engine: str
    images: str
    limit: int
    scores: str
    threads: int | None = None


def run(task: Task, python: str, progress: Callable[[int], None], stall_s: float = STALL_S) -> dict[str, Any]:
    """Do `task` in a child of the interpreter `python`; `progress(images done)` is called as it goes.

    Never raises for what happens there. The reply's "status" is "ran", with "engine_version" and "arena" (see
    runtime.tflite_micro, None for other engines), or one of these, with one line under "reason": "failed" where the
    engine refuses the file, "crashed" where its process ended or stalled without an answer, "unavailable" where there
    is something to install.
    """
    with tempfile.TemporaryFile() as errors:
        try:
            child = subprocess.Popen(
                [python, "-m", "fmnist_edge.parity.matrix.cell", json.dumps(asdict(task))],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=child_environment(),
                process_group=0,  # Ctrl-C reaches the parent alone, which then ends the child
            )
        except OSError as error:
            return reply("unavailable", f"{python} did not start ({error.strerror or error})")
        with child:
            try:
                return follow(cast(IO[bytes], child.stdout), progress, stall_s) or ended(child, errors)
            finally:
                end(child)


def end(child: subprocess.Popen) -> None:
    """Kill the child with what it has started: an interpreter may be a script around the real one."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except OSError:  # no such group, or not ours to signal
        child.kill()


def follow(stdout: IO[bytes], progress: Callable[[int], None], stall_s: float) -> dict[str, Any] | None:
    """Pass the child's progress on; returns its reply, None when it ends without one.

    Other lines are passed over: what starts the interpreter, such as `conda run`, may have its own to say.
    """
    try:
        for line in lines(stdout, stall_s):
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict) and "status" in said:
                return said
            if isinstance(said, int):
                progress(said)
    except TimeoutError:
        return reply("crashed", f"gave no sign of life for {stall_s:g} s")
    return None


def lines(stream: IO[bytes], stall_s: float) -> Iterator[bytes]:
    """Lines of a pipe as they come; raises TimeoutError when nothing comes for `stall_s` seconds."""
    rest = b""
    while select.select([stream], [], [], stall_s)[0]:
        piece = os.read(stream.fileno(), 65536)
        if not piece:
            return
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole
    raise TimeoutError


def ended(child: subprocess.Popen, errors: IO[bytes]) -> dict[str, Any]:
    """The reply of a child that gave none."""
    code = child.wait()
    if code < 0:
        return reply("crashed", f"crashed ({signal_name(-code)})")
    errors.seek(0)
    said = (errors.read().decode(errors="replace").strip().splitlines() or ["no message"])[-1]
    return reply("crashed", f"its process ended with code {code} ({said[:160]})")


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def reply(status: str, reason: str) -> dict[str, Any]:
    return {"status": status, "reason": reason}


def classify(task: Task, progress: Callable[[int], None]) -> dict[str, Any]:
    """The child's work. Raises what Classifier raises, and whatever the engine does."""
    images = np.load(task.images, mmap_mode="r", allow_pickle=False)[: task.limit]
    with Classifier.load(task.artifact, threads=task.threads, engine=task.engine) as classifier:
        progress(0)
        scores = []
        for start in range(0, len(images), CHUNK):
            scores.append(classifier.scores(images[start : start + CHUNK]))
            progress(min(start + CHUNK, len(images)))
        np.save(task.scores, np.concatenate(scores))
        engine = classifier.engine
        return {"status": "ran", "engine_version": engine.version, "arena": engine.arena}


def reply_to(task: Task, progress: Callable[[int], None]) -> dict[str, Any]:
    try:
        return classify(task, progress)
    except UnavailableError as error:
        return reply("unavailable", one_line(error))
    except FmnistEdgeError as error:
        return reply("failed", one_line(error).removeprefix(f"{task.artifact}: "))
    except Exception as error:  # engines raise classes of their own
        return reply("failed", f"{type(error).__name__}: {one_line(error, 200)}")


def main(task: str) -> None:
    """The child. What engines print to file descriptor 1 goes to stderr, so that stdout holds our lines alone."""
    with os.fdopen(os.dup(1), "w") as answer:
        os.dup2(2, 1)

        def say(value: Any) -> None:
            print(json.dumps(value), file=answer, flush=True)

        say(reply_to(Task(**json.loads(task)), say))


if __name__ == "__main__":
    main(sys.argv[1])
