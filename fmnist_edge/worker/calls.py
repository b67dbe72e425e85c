"""The parent process: start a child, read its messages, and end it with all processes that it started."""

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

from fmnist_edge.worker import telemetry
from fmnist_edge.worker.endings import PROGRESS, Ending, Status, ending_without_reply, last_output, parse_message, reply
from fmnist_edge.worker.interpreter import GUARD, obstacle

__all__ = ["call", "child_environment", "program"]

PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
NO_LIMIT_S = 1e6
EXIT_S = 60  # for a child to exit after its reply
POLL_S = 0.2  # between two looks at `cancelled`
DRAIN_S = 1  # to read the remaining output of a process that has ended
KEPT_BYTES = 1 << 20  # the last part of the output, which is kept
READ_BYTES = 1 << 16


def call(
    task: str,
    request: object,
    *,
    python: str | None = None,
    timeout_s: float = NO_LIMIT_S,
    stall_s: float = NO_LIMIT_S,
    memory: int | None = None,
    environment: Mapping[str, str] | None = None,
    on_progress: Callable[[Any], object] = lambda value: None,
    cancelled: threading.Event | None = None,
) -> Ending:
    """Run `task`, "package.module:function", in a child; see `fmnist_edge.worker`.

    Errors in the child are in the returned Ending; none is raised. The child resolves relative paths in `request`
    against our current folder.

    Args:
        request: JSON, at most 100 kB; pass large arrays as files.
        python: the interpreter, or a program that starts one; None for ours. It does not need fmnist-edge. Where ours
            is not to be had (`interpreter.obstacle`), no child is started.
        timeout_s: seconds for the whole call.
        stall_s: seconds between two calls of `progress`.
        memory: bytes that the child may allocate.
        environment: variables that are added to ours or replace them.
        on_progress: called with each value that the task passes to `progress`.
        cancelled: another thread sets it to end the child; the Ending is then that of a timeout.
    """
    if python is None and (reason := obstacle()):
        return Ending(Status.NOT_STARTED, reason)
    job = {"request": request, "folder": current_folder(), "memory": memory}
    job["seconds"] = None if timeout_s == NO_LIMIT_S else timeout_s
    job["prefix"] = sys.prefix if python is None else None
    job["nonce"] = nonce = os.urandom(8).hex()
    command = [absolute_path(python or sys.executable), "-m", "fmnist_edge.worker", task, json.dumps(job)]
    replies: list[Ending] = []

    def on_line(line: bytes) -> bool:
        """Handle one line; True after the reply."""
        kind, value = parse_message(line, nonce) or ("", None)
        if kind == PROGRESS:
            on_progress(value)
        elif kind:
            replies.append(reply(kind, value))
        return bool(replies)

    variables = {**child_environment(), **(environment or {}), GUARD: "1"}
    child = {"env": variables, "cwd": start_folder(), "stderr": subprocess.PIPE}
    end = run(command, on_line, timeout_s, stall_s, child, cancelled)
    return replies[0] if replies else end


def program(
    command: Sequence[str],
    *,
    timeout_s: float = NO_LIMIT_S,
    folder: str | Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ending:
    """Run a program in `folder` and wait for its end. `environment`: its variables; None for ours."""
    child = {"env": environment, "cwd": folder, "stderr": subprocess.STDOUT}
    end = run(command, lambda line: False, timeout_s, NO_LIMIT_S, child)
    return replace(end, status=Status.DONE, reason="") if end.code == 0 else end


def child_environment() -> dict[str, str]:
    """Our environment variables, with a PYTHONPATH in which any Python finds this package.

    PYTHONSAFEPATH keeps Python 3.11 and later from importing from the current folder, which may hold modules beside a
    hostile model. Telemetry of engines is off.
    """
    search = [str(Path(part).absolute()) for part in os.environ.get("PYTHONPATH", "").split(os.pathsep) if part]
    path = os.pathsep.join([PACKAGE_PARENT, *search])
    return {**os.environ, **telemetry.VARIABLES, "PYTHONPATH": path, "PYTHONSAFEPATH": "1"}


def start_folder() -> str:
    """Where the child starts: a folder without foreign modules. The package itself may be inside a zip file."""
    return PACKAGE_PARENT if Path(PACKAGE_PARENT).is_dir() else sys.prefix


def current_folder() -> str | None:
    try:
        return str(Path.cwd())
    except OSError:  # it was removed
        return None


def absolute_path(python: str) -> str:
    """The interpreter as an absolute path, because the child starts in another folder."""
    return str(Path(python).absolute()) if os.sep in python else python


def run(
    command: Sequence[str],
    on_line: Callable[[bytes], bool],
    timeout_s: float,
    stall_s: float,
    child: Mapping[str, Any],
    cancelled: threading.Event | None = None,
) -> Ending:
    """Start `command`, pass each line of its stdout to `on_line` until that returns True, then end the process.

    The process leads its own session: Ctrl-C reaches only us, and we then end it with all processes that it started.
    `child`: further arguments of subprocess.Popen.
    """
    try:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, bufsize=0, start_new_session=True, **child
        )
    except OSError as error:
        return Ending(Status.NOT_STARTED, f"{command[0]} did not start ({error.strerror or error})")
    output = Output(process)
    try:
        reason = wait_for_end(process, output, on_line, timeout_s, stall_s, cancelled)
    finally:
        end(process)
        output.drain()
    printed = output.text()
    if reason:
        return Ending(Status.TIMED_OUT, reason + last_output(printed), printed)
    return ending_without_reply(process.returncode, printed)


def wait_for_end(
    process: subprocess.Popen[bytes],
    output: Output,
    on_line: Callable[[bytes], bool],
    timeout_s: float,
    stall_s: float,
    cancelled: threading.Event | None = None,
) -> str:
    """Wait until `process` ends or replies. Returns "", or the reason why it must be ended."""
    start = last_sign = time.monotonic()
    closed = False  # its stdout: the process is about to end
    while True:
        if cancelled is not None and cancelled.is_set():
            return "cancelled"
        left, silence_left = start + timeout_s - time.monotonic(), last_sign + stall_s - time.monotonic()
        wait_s = max(0, min(left, silence_left, NO_LIMIT_S if cancelled is None else POLL_S))
        try:
            if closed:
                process.wait(wait_s)
                return ""
            line = output.lines.get(timeout=wait_s)
        except (queue.Empty, subprocess.TimeoutExpired):
            if wait_s < min(left, silence_left):
                continue  # only to look whether it was cancelled
            return f"not done after {timeout_s:g} s" if left < silence_left else f"no progress for {stall_s:g} s"
        closed = line is None
        if line is None:
            continue
        last_sign = time.monotonic()
        if on_line(line):
            with suppress(subprocess.TimeoutExpired):
                process.wait(EXIT_S)
            return ""


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started: the interpreter may be a script around the real one."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (OSError, AttributeError):  # no such group, no permission, or Windows
        process.kill()
    process.wait()


class Output:
    """The output of a process, read in threads: `lines` of its stdout, then None; `text` is its last output."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._printed = bytearray()
        readers = [(self._read_lines, process.stdout, process.stderr is None)]
        readers += [(self._read, process.stderr, True)] if process.stderr else []
        # Daemon threads: a grandchild may leave the process group and keep stdout open.
        self._threads = [threading.Thread(target=read, args=args, daemon=True) for read, *args in readers]
        for thread in self._threads:
            thread.start()

    def text(self) -> str:
        return self._printed.decode(errors="replace")

    def drain(self) -> None:
        """Read the rest of the output of a process that has ended."""
        for thread in self._threads:
            thread.join(DRAIN_S)

    def _read_lines(self, stream: IO[bytes], keep: bool) -> None:
        rest = b""
        for chunk in self._chunks(stream, keep):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                self.lines.put(line)
        self.lines.put(None)

    def _read(self, stream: IO[bytes], keep: bool) -> None:
        for _ in self._chunks(stream, keep):
            pass

    def _chunks(self, stream: IO[bytes], keep: bool) -> Iterator[bytes]:
        with stream:
            while chunk := stream.read(READ_BYTES):
                if keep:
                    self._printed += chunk
                    del self._printed[:-KEPT_BYTES]
                yield chunk
