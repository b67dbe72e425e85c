"""The parent's side: start a child, follow what it says, end it with all that it has started."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from fmnist_edge.worker.endings import PROGRESS, Ending, How, crashed_or_exited, last_words, message_in, reply

__all__ = ["call", "child_environment", "program"]

PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
LONGEST_S = 1e6  # for who gives no limit
EXIT_S = 60  # that a child has to end after its reply
DRAIN_S = 1  # to read what a process that was ended had printed
KEPT = 1 << 20  # bytes of what a process prints, its last ones
PIECE = 1 << 16


def call(
    task: str,
    request: Any,
    *,
    python: str | None = None,
    timeout_s: float = LONGEST_S,
    stall_s: float = LONGEST_S,
    memory: int | None = None,
    environment: Mapping[str, str] | None = None,
    on_progress: Callable[[Any], object] = lambda value: None,
) -> Ending:
    """Run `task`, "package.module:function", in a child; see `fmnist_edge.worker`.

    Never raises for what happens there. Relative paths in `request` mean what they mean here.

    Args:
        request: JSON, at most 100 kB; large arrays are handed over in files.
        python: the interpreter, or a program that starts one; None for ours. It needs no fmnist-edge.
        timeout_s: for everything.
        stall_s: from one call of `progress` to the next.
        memory: bytes that the child may allocate.
        environment: variables beside or in place of ours.
        on_progress: called with each value that the task gives its `progress`.
    """
    order = {"request": request, "folder": current_folder(), "memory": memory}
    order["seconds"] = None if timeout_s == LONGEST_S else timeout_s
    command = [located(python or sys.executable), "-m", "fmnist_edge.worker", task, json.dumps(order)]
    replies: list[Ending] = []

    def hear(line: bytes) -> bool:
        """Whether it was the reply."""
        kind, value = message_in(line) or ("", None)
        if kind == PROGRESS:
            on_progress(value)
        elif kind:
            replies.append(reply(kind, value))
        return bool(replies)

    child = {"env": {**child_environment(), **(environment or {})}, "cwd": PACKAGE_PARENT, "stderr": subprocess.PIPE}
    end = run(command, hear, timeout_s, stall_s, child)
    return replies[0] if replies else end


def program(
    command: Sequence[str],
    *,
    timeout_s: float = LONGEST_S,
    folder: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ending:
    """Run a program to its end in `folder`. `environment`: its variables, None for ours."""
    child = {"env": environment, "cwd": folder, "stderr": subprocess.STDOUT}
    end = run(command, lambda line: False, timeout_s, LONGEST_S, child)
    return replace(end, how=How.DONE, reason="") if end.code == 0 else end


def child_environment() -> dict[str, str]:
    """Our own environment, in which any Python finds this package too, installed or not.

    From 3.11 on it imports nothing from the current folder, where modules may lie beside a hostile model.
    """
    search = [str(Path(part).absolute()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([PACKAGE_PARENT, *search]), "PYTHONSAFEPATH": "1"}


def current_folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def located(python: str) -> str:
    """The child starts in another folder than ours."""
    return str(Path(python).absolute()) if os.sep in python else python


def run(
    command: Sequence[str], hear: Callable[[bytes], bool], timeout_s: float, stall_s: float, child: Mapping[str, Any]
) -> Ending:
    """Start `command`, pass each line of its stdout to `hear` until that returns true, and see to its end.

    The process leads a session of its own: Ctrl-C reaches us alone, and we then end it with all that it has started.
    `child`: what subprocess.Popen is to know of it.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0, start_new_session=True, **child
        )
    except OSError as error:
        return Ending(How.NOT_STARTED, f"{command[0]} did not start ({error.strerror or error})")
    output = Output(process)
    try:
        late = followed(process, output, hear, timeout_s, stall_s)
    finally:
        end(process)
        output.drain()
    said = output.text()
    if late:
        return Ending(How.TIMED_OUT, late + last_words(said), said)
    return crashed_or_exited(process.returncode, said)


def followed(
    process: subprocess.Popen[bytes], output: Output, hear: Callable[[bytes], bool], timeout_s: float, stall_s: float
) -> str:
    """Wait for the end of `process`, or for its reply. Returns why it has to be ended, "" where it need not."""
    start = heard = time.monotonic()
    while True:
        left, patience = start + timeout_s - time.monotonic(), heard + stall_s - time.monotonic()
        late = f"not done after {timeout_s:g} s" if left < patience else f"gave no sign of life for {stall_s:g} s"
        try:
            line = output.lines.get(timeout=max(0, min(left, patience)))
            if line is None:  # it has closed its stdout: it is about to end
                process.wait(max(0, min(left, patience)))
                return ""
        except (queue.Empty, subprocess.TimeoutExpired):
            return late
        heard = time.monotonic()
        if hear(line):
            with suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_S)
            return ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process with what it has started: an interpreter may be a script around the real one."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (OSError, AttributeError):  # no such group, or not ours to signal; Windows has none
        process.kill()
    process.wait()


class Output:
    """What a process prints, read as it comes: `lines` of its stdout, then None; and the `text` of its last words."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._printed = bytearray()
        works = [(self._read_lines, process.stdout, process.stderr is None)]
        works += [(self._read, process.stderr, True)] if process.stderr else []
        # Daemons: what a process has started may leave its group and keep its stdout open.
        self._threads = [threading.Thread(target=work, args=args, daemon=True) for work, *args in works]
        for thread in self._threads:
            thread.start()

    def text(self) -> str:
        return self._printed.decode(errors="replace")

    def drain(self) -> None:
        """Wait for what is still in the pipes of a process that has ended."""
        for thread in self._threads:
            thread.join(DRAIN_S)

    def _read_lines(self, stream: IO[bytes], keep: bool) -> None:
        rest = b""
        for piece in self._pieces(stream, keep):
            *whole, rest = (rest + piece).split(b"\n")
            for line in whole:
                self.lines.put(line)
        self.lines.put(None)

    def _read(self, stream: IO[bytes], keep: bool) -> None:
        for _ in self._pieces(stream, keep):
            pass

    def _pieces(self, stream: IO[bytes], keep: bool) -> Iterator[bytes]:
        with stream:
            while piece := stream.read(PIECE):
                if keep:
                    self._printed += piece
                    del self._printed[:-KEPT]
                yield piece
