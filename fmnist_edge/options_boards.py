"""The options of the commands about boards that are not at hand: emulated cores, estimated latency."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from fmnist_edge.argument_types import whole_number
from fmnist_edge.catalog.boards import CORES, boards
from fmnist_edge.help_texts import EMULATION, ESTIMATES

__all__ = ["add"]

Parser = argparse.ArgumentParser


def add(command: Callable[..., Parser], with_data: Callable[[Parser], Parser]) -> None:
    """Add the commands; `command(name, summary, example, more)` makes a parser for one."""
    sub = command("emulate", "run artifacts on emulated 64-bit Arm cores", "emulate exported --images 500", EMULATION)
    with_data(sub).add_argument("artifacts", nargs="*", default=["exported"], help="files or folders")
    sub.add_argument("--core", action="append", choices=list(CORES), help="repeatable (default all)")
    sub.add_argument("--images", type=whole_number, default=500, metavar="N", help="compare on so many (default 500)")
    sub.add_argument("--again", action="store_true", help="do what --out has already once more")
    sub.add_argument(
        "--userland",
        type=Path,
        default=Path("build/emulation"),
        metavar="DIR",
        help="where the cores' Python and engines are kept (made when needed; default %(default)s)",
    )
    sub.add_argument(
        "--out", type=Path, default=Path("benchmarks/emulated"), metavar="DIR", help="results (default %(default)s)"
    )

    sub = command("estimate", "latency on Raspberry Pi boards, estimated", "estimate exported --board pi4", ESTIMATES)
    sub.add_argument("artifacts", nargs="*", default=["exported"], help="files or folders (default exported)")
    sub.add_argument("--board", action="append", choices=list(boards()), help="repeatable (default all)")
    sub.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help="results of `bench` on such a board: compare, and estimate by the constant that they give",
    )
    sub.add_argument(
        "--report",
        type=Path,
        default=Path("reports/estimate.json"),
        metavar="FILE",
        help="JSON, with a .md page beside it (default %(default)s)",
    )
