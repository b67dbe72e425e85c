"""The child process, see `fmnist_edge.worker`. It imports only what its task needs, to start fast on a Raspberry Pi."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module

MAX_OWN_MESSAGE = 600  # characters of the message of a FmnistEdgeError
MAX_OTHER_MESSAGE = 200  # characters of the message of another exception


def main(task: str, text: str) -> None:
    """Run `task` and reply. Stdout carries our messages only; what engines print to it goes to stderr."""
    job = json.loads(text)
    os.environ.pop("FMNIST_EDGE_CHILD", None)  # this child may start children of its own
    set_limits(job["memory"], job["seconds"])
    if job["folder"]:
        os.chdir(job["folder"])  # not earlier: Python before 3.11 imports from its start folder
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=answer.close)  # the pipe must close with this process, not with its forks

    def send(kind: str, value: object) -> None:
        line = json.dumps({"fmnist-edge": kind, "value": value, "nonce": job["nonce"]})
        answer.write(f"\n{line}\n".encode("ascii"))  # earlier output may lack its newline
        answer.flush()

    try:
        check_prefix(job["prefix"])
        send("done", function(task)(job["request"], lambda value: send("progress", value)))
    except Exception as error:  # engines raise their own exception classes
        send(*error_reply(error))


def check_prefix(expected: str | None) -> None:
    """Raises UnavailableError when this is not the parent's Python. A program that embeds Python may name another."""
    if expected not in (None, sys.prefix):
        from fmnist_edge.errors import UnavailableError

        raise UnavailableError(
            f"{sys.executable} is the Python of {sys.prefix}, and this process has that of {expected}"
        )


def function(task: str) -> Callable[[object, Callable[[object], None]], object]:
    """Import the function of `task`. Raises UnavailableError when this Python lacks a package that it imports."""
    module, _, name = task.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "fmnist_edge":  # a bug of ours, nothing to install
            raise
        from fmnist_edge.errors import UnavailableError

        raise UnavailableError(not_installed(error)) from None


def not_installed(error: ModuleNotFoundError) -> str:
    return f"{(error.name or '').partition('.')[0]} is not installed for {sys.executable}"


def error_reply(error: Exception) -> tuple[str, object]:
    """(kind, value) of the reply for an exception."""
    from fmnist_edge.errors import FmnistEdgeError, one_line

    if isinstance(error, ModuleNotFoundError) and (error.name or "fmnist_edge").partition(".")[0] != "fmnist_edge":
        return "refused", {"error": "UnavailableError", "message": not_installed(error)}
    if isinstance(error, FmnistEdgeError):
        return "refused", {"error": type(error).__name__, "message": one_line(error, MAX_OWN_MESSAGE)}
    return "failed", f"{type(error).__name__}: {one_line(error, MAX_OTHER_MESSAGE)}"


def set_limits(memory: int | None, seconds: float | None) -> None:
    """Limit this process to `memory` bytes, and end it 10 s after `seconds` even if its parent is gone.

    Does nothing on a system without these limits.
    """
    try:
        import resource
        import signal
    except ImportError:
        return
    if seconds is not None:
        signal.alarm(int(seconds) + 10)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if memory is not None and (most == resource.RLIM_INFINITY or most > memory):
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))


if __name__ == "__main__":
    main(*sys.argv[1:])
