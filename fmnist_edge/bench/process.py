"""The parent's side of a measurement: start a child, wait for its reply, say how it ended."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from fmnist_edge.bench.loop import SLOW_SERIES, SLOW_SERIES_S, Request, failed
from fmnist_edge.errors import TemporaryFileError, UnavailableError
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

__all__ = ["run_child", "timeout_for"]

START_UP_S = 300  # importing a framework on a slow device, two loads, warm-up


def run_child(request: Request, python: str | None = None, timeout_s: float | None = None) -> dict[str, Any]:
    """Do `request` in a child of the interpreter `python`, ours by default.

    What happens there is the reply's "status": "failed" or "unavailable", with one line under "reason". Raises
    TemporaryFileError alone: where temporary files have no room, no other cell can be measured.
    """
    timeout_s = timeout_s or timeout_for(request)
    end = call("fmnist_edge.bench.loop:reply_to", asdict(request), python=python, timeout_s=timeout_s)
    if isinstance(end.error, TemporaryFileError):
        raise end.error
    if isinstance(end.error, UnavailableError):
        return failed(end.reason, "unavailable")
    if end.status is Status.CRASHED:
        return failed(f"{request.engine} {end.reason}")
    # Results travel between machines: no path of this one.
    path = request.artifact
    return end.value if end.status is Status.DONE else failed(end.reason.replace(path, Path(path).name))


def timeout_for(request: Request) -> float:
    """Seconds after which a child that does not answer is ended."""
    series = (request.seconds, request.end_to_end_seconds)
    longest = sum(max(SLOW_SERIES_S, SLOW_SERIES * seconds) for seconds in series)
    return START_UP_S + max(SLOW_SERIES_S, SLOW_SERIES * request.warm_up_seconds) + longest
