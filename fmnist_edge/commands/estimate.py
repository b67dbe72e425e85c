"""`fmnist-edge estimate`: latency on boards that are not at hand, and a user's measurements against it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.boards.estimate.estimates import Estimate
    from fmnist_edge.catalog.boards import Board

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=6,
    summary="estimate the latency on Raspberry Pi boards",
    description="""
        Estimates how long one inference takes on a board that is not at hand. It feeds the instructions that
        `emulate` counted to LLVM's model of the core, and multiplies the cycles with one constant per board, which is
        fitted on ncnn's published figures. An estimate always has a "≈" and says how far it may be off.

        It reads what `emulate` left in benchmarks/emulated, and needs no emulator itself. Where there is nothing to
        estimate from, the table says "unavailable" and a line below says why.
        """,
    examples=(
        ("What is in exported/, on one board", "estimate exported --board pi4"),
        ("Check the estimates against your own board",
         "estimate exported --board pi4 --measured results.json.gz"),
    ),
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from fmnist_edge.catalog.boards import boards

    what = parser.add_argument_group("What to estimate")
    arguments.artifacts(what)
    what.add_argument(
        "--board", action="append", choices=list(boards()), metavar="BOARD", help="A board. Default: all."
    )
    what.add_argument(
        "--measured",
        type=Path,
        metavar="FILE",
        help="Results of `bench` on such a board: compare the estimates with them, and estimate by the constant that "
        "they give. Needs one --board.",
    )
    arguments.report(
        parser.add_argument_group("Output"), "reports/estimate.json", "JSON report to write, with a .md page beside it."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.boards.estimate import tables
    from fmnist_edge.catalog import boards
    from fmnist_edge.commands.reports import Report

    chosen = [boards.boards()[name] for name in options.board or boards.boards()]
    if options.measured is not None and len(chosen) != 1:
        raise InputError("--measured is about one board; name it: --board pi4 --measured results.json.gz")
    artifacts = collect(options.artifacts, for_devices=True)
    written = Report.of(options)
    report: JsonObject = {"schema": 1, "kind": "estimated", "measured": None}
    if options.measured is not None:
        chosen, error, report["measured"] = refitted(options, artifacts, chosen[0])
        found = estimates_of(artifacts, chosen, error)
    else:
        found = estimates_of(artifacts, chosen, boards.ACROSS_RUNTIMES)
    page = written.page("README.md" if options.report.stem == "estimates" else f"{options.report.stem}.md")
    with written.beside():
        print(f"Estimated, never measured; one inference, one thread:\n\n{tables.shown(found, chosen)}\n")
        for line in tables.notes(found):
            print(line)
    written.write({**report, "estimates": [asdict(item) for item in found]})
    page.write_text(tables.document(found, chosen, boards.data(), report["measured"]))
    written.say_written(f" and {page.path}")
    if not any(item.milliseconds is not None for item in found):
        raise UnavailableError("none of these artifacts could be estimated; the lines above say what to run")


def estimates_of(artifacts: Sequence[Artifact], chosen: Sequence[Board], error: float) -> list[Estimate]:
    from fmnist_edge.boards.estimate.estimates import committed, estimate

    emulated = committed()
    return [estimate(artifact, board, emulated, error) for artifact in artifacts for board in chosen]


def refitted(
    options: argparse.Namespace, artifacts: Sequence[Artifact], board: Board
) -> tuple[list[Board], float, JsonObject]:
    """The board with a constant fitted to the user's measurements, its error, and how the published constant did."""
    from fmnist_edge.benchmark import results
    from fmnist_edge.boards.estimate import measured, tables
    from fmnist_edge.catalog import boards

    estimated = estimates_of(artifacts, [board], boards.ACROSS_RUNTIMES)
    items = measured.compare(results.load(options.measured), estimated, board)
    own, error = measured.refit(board, items)
    print(f"{options.measured.name} against the estimates for {board.title}:\n\n{tables.compared(items)}\n")
    if not all(item.valid for item in items):
        print("* INVALID; the results file says why", file=sys.stderr)
    known = "too few cells to know its error" if error is None else f"mean error {error:.1%}, leave-one-out"
    print(f"constant {board.constant:.3f}; fitted to these measurements {own.constant:.3f} ({known})\n")
    section = {
        "file": options.measured.name,
        "board": board.name,
        "constant": board.constant,
        "refit": own.constant,
        "error": error,
        "cells": [{**asdict(item), "off": item.off} for item in items],
    }
    return [own], boards.ACROSS_RUNTIMES if error is None else error, section
