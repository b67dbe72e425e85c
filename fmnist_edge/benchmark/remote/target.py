"""The interface of a place to measure. Each kind of target implements it in its own file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fmnist_edge.benchmark.job import Job

__all__ = ["Progress", "Target"]

Progress = Callable[[int, int, str], None]  # (done, total, name of the next step)


class Target(Protocol):
    """A place that can measure a job, such as a board reached by ssh.

    The constructor takes its address, in the form that this kind of target uses.
    """

    def measure(self, job: Job, out: Path, progress: Progress) -> Path:
        """Measure all of `job`; returns the results file, `out`/<device>/….json.gz; see `benchmark.results`.

        Raises UnavailableError when the target cannot be reached or lacks something, FileError when a disk is full. No
        measurement is lost: the same call continues where this one ended.
        """
        ...
