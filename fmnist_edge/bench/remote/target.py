"""What the suite asks of a place to measure in: one file per kind implements it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from fmnist_edge.bench.job import Job

__all__ = ["Progress", "Target"]

Progress = Callable[[int, int, str], None]  # (done, total, what is next)


class Target(Protocol):
    """A place that can measure a job: a board behind ssh, an emulated board, a GPU's backends, this CPU.

    Construct with its address, in whatever form its kind has.
    """

    def measure(self, job: Job, out: Path, progress: Progress) -> Path:
        """Measure all of `job` there; the results file, `out`/<device>/….json.gz, of the schema in `bench.results`.

        Raises UnavailableError when the target cannot be reached or lacks something, FileError when a disk is full.
        Nothing that was measured is lost then: the same call goes on where this one ended.
        """
        ...
