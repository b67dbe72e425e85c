"""Measure one job on several targets at once. A target that fails leaves the results of the others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.benchmark.job import Job
from fmnist_edge.benchmark.remote.target import Progress, Target
from fmnist_edge.errors import FmnistEdgeError, one_line

__all__ = ["Outcome", "measure_on_all"]

POLL_S = 0.2  # Ctrl-C is noticed between two of these
PARTING_S = 5  # how long to wait after Ctrl-C for the links to be closed


@dataclass(frozen=True)
class Outcome:
    """What a target gave: a results file, or the error with which it failed."""

    host: str
    path: Path | None = None
    error: FmnistEdgeError | None = None


class StoppedError(Exception):
    """Raised in a target's thread after Ctrl-C."""


def measure_on_all(
    targets: Mapping[str, Target],
    job: Job,
    out: Path,
    progress_of: Callable[[str], Progress],
    ended: Callable[[Outcome], None] = lambda outcome: None,
) -> list[Outcome]:
    """Measure `job` on all targets at once; the outcomes are in the order of `targets`.

    Args:
        targets: name of a host -> its target.
        progress_of: gives the progress of a host. It is called in the thread of that host.
        ended: called with each outcome as soon as it is there, by one thread at a time.

    Raises KeyboardInterrupt after Ctrl-C: the runs go on on their devices, and the same call picks them up.
    """
    stop, lock = threading.Event(), threading.Lock()
    found: dict[str, Outcome] = {}

    def measure(host: str, target: Target) -> None:
        progress = progress_of(host)

        def checked(done: int, total: int, text: str) -> None:
            if stop.is_set():
                raise StoppedError
            progress(done, total, text)

        try:
            outcome = Outcome(host, path=target.measure(job, out, checked))
        except StoppedError:
            return
        except FmnistEdgeError as error:
            outcome = Outcome(host, error=error)
        except Exception as error:  # a bug for one host must not lose the others' results
            text = f"{host}: internal error: {type(error).__name__}: {one_line(error, 160)}"
            outcome = Outcome(host, error=FmnistEdgeError(text))
        with lock:
            found[host] = outcome
            ended(outcome)

    threads = [threading.Thread(target=measure, args=pair, daemon=True) for pair in targets.items()]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(POLL_S)
    except KeyboardInterrupt:
        stop.set()
        for thread in threads:
            thread.join(PARTING_S / len(threads))
        raise
    return [found[host] for host in targets]
