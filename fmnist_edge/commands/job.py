"""The options of `bench` and `bundle` that say what is measured, and how."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.console import warn
from fmnist_edge.jobs.bench import PARITY, Given

if TYPE_CHECKING:
    import numpy as np

__all__ = ["add_job", "shown"]


def add_job(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the options, and returns the group that says what is measured, for an option of the command's own."""
    what = parser.add_argument_group("What to measure")
    arguments.artifacts(what, absent=True)
    how = parser.add_argument_group("How to measure")
    how.add_argument(
        "--plan",
        metavar="NAME|FILE.toml",
        help="How long to measure: demo (8 s a cell), quick (30 s), standard (2 min) or mlperf-style (11 min) of "
        "benchmarks/plans, or a file of your own. Default: quick; with --ab the plan ab.",
    )
    how.add_argument(
        "--threads",
        type=arguments.whole_number,
        action="append",
        metavar="N",
        help="Threads of the engine. Default: what the plan says.",
    )
    how.add_argument(
        "--batch",
        type=arguments.whole_number,
        action="append",
        metavar="N",
        help="Images per call. Default: what the plan says.",
    )
    arguments.images(how, "Default: each artifact's own golden images.")
    how.add_argument(
        "--parity",
        type=Path,
        metavar="FILE",
        help="Report of `check` whose accuracies are written beside the latencies. "
        f"Default: {PARITY} where there is one.",
    )
    return what


def shown(given: Given) -> np.ndarray:
    """The images, after their notes are printed."""
    warn(given.notes)
    return given.images
