"""The child's side, see `fmnist_edge.worker`. It imports what its task needs and no more: the start counts on a Pi."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

MESSAGE = 600  # characters of one of our errors, as on the command line
FOREIGN = 200  # of another exception


def main(task: str, text: str) -> None:
    """Do `task` and reply. What engines print to file descriptor 1 goes to stderr: stdout holds our lines alone."""
    order = json.loads(text)
    limit(order["memory"], order["seconds"])
    if order["folder"]:
        os.chdir(order["folder"])  # only now: Python before 3.11 imports from the folder that it starts in
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=answer.close)  # the parent sees our end, not a forked process's

    def say(kind: str, value: Any) -> None:
        line = json.dumps({"fmnist-edge": kind, "value": value})
        answer.write(f"\n{line}\n".encode("ascii"))  # what was printed before us may lack the end of its line
        answer.flush()

    try:
        say("done", function(task)(order["request"], lambda value: say("progress", value)))
    except Exception as error:  # engines raise classes of their own
        say(*told(error))


def function(task: str) -> Callable[[Any, Callable[[Any], None]], Any]:
    """Raises UnavailableError where this Python lacks a package that the task imports."""
    module, _, name = task.partition(":")
    try:
        return getattr(import_module(module), name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "fmnist_edge":  # no package to install: a fault of ours
            raise
        from fmnist_edge.errors import UnavailableError

        raise UnavailableError(f"{package} is not installed for {sys.executable}") from None


def told(error: Exception) -> tuple[str, Any]:
    """The reply that says what was raised."""
    from fmnist_edge.errors import FmnistEdgeError, one_line

    if isinstance(error, FmnistEdgeError):
        return "refused", {"error": type(error).__name__, "message": one_line(error, MESSAGE)}
    return "failed", f"{type(error).__name__}: {one_line(error, FOREIGN)}"


def limit(memory: int | None, seconds: float | None) -> None:
    """At most `memory` bytes for this process, and an end to it after `seconds` even if its parent is gone.

    Where the system cannot do that, nothing.
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
