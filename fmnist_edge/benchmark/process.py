"""The parent's side of a measurement: start a child, wait for its reply, report how it ended."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.loop import SERIES_LIMIT_FACTOR, SERIES_LIMIT_S, Request, failed
from fmnist_edge.errors import TemporaryFileError, UnavailableError
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

__all__ = ["run_child", "timeout_for"]

START_UP_S = 300  # importing a framework on a slow device, two loads, warm-up


def run_child(request: Request, python: str | None = None, timeout_s: float | None = None) -> JsonObject:
    """Run `request` in a child process of the interpreter `python`, by default this one, and return the reply.

    An error in the child gives a reply with "status" "failed" or "unavailable" and one line as "reason". The only
    exception raised is TemporaryFileError: when temporary files have no room, no other cell can be measured either.
    """
    timeout_s = timeout_s or timeout_for(request)
    end = call(
        "fmnist_edge.benchmark.loop:reply_to",
        asdict(request),
        python=python,
        timeout_s=timeout_s,
        environment=request.variables,
    )
    if isinstance(end.error, TemporaryFileError):
        raise end.error
    if isinstance(end.error, UnavailableError):
        return failed(end.reason, "unavailable")
    if end.status is Status.CRASHED:
        return failed(f"{request.engine} {end.reason}")
    # Results are published, so reasons must not contain paths of this machine.
    path = request.artifact
    return end.value if end.status is Status.DONE else failed(end.reason.replace(path, Path(path).name))


def timeout_for(request: Request) -> float:
    """Seconds to wait for a reply before the child is killed."""
    series = (request.seconds, request.end_to_end_seconds)
    longest = sum(max(SERIES_LIMIT_S, SERIES_LIMIT_FACTOR * seconds) for seconds in series)
    return START_UP_S + max(SERIES_LIMIT_S, SERIES_LIMIT_FACTOR * request.warm_up_seconds) + longest
