"""`fmnist-edge estimate`: latency on boards that are not at hand, and a user's measurements against it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import InputError, UnavailableError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.boards.estimate.estimates import Estimate
    from fmnist_edge.catalog.boards import Board

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.boards.estimate import tables
    from fmnist_edge.catalog import boards
    from fmnist_edge.files import write_atomic, write_json

    chosen = [boards.boards()[name] for name in options.board or boards.boards()]
    if options.measured is not None and len(chosen) != 1:
        raise InputError("--measured is of one board; say which: --board pi4 --measured results.json.gz")
    artifacts = collect(options.artifacts)
    report: dict[str, Any] = {"schema": 1, "kind": "estimated", "measured": None}
    if options.measured is not None:
        chosen, error, report["measured"] = refitted(options, artifacts, chosen[0])
        found = estimates_of(artifacts, chosen, error)
    else:
        found = estimates_of(artifacts, chosen, boards.ACROSS_RUNTIMES)
    print(f"Estimated, never measured; one inference, one thread:\n\n{tables.shown(found, chosen)}\n")
    for line in tables.notes(found):
        print(line)
    write_json(options.report, {**report, "estimates": [asdict(item) for item in found]})
    page = options.report.with_name("README.md" if options.report.stem == "estimates" else f"{options.report.stem}.md")
    write_atomic(page, tables.document(found, chosen, boards.data(), report["measured"]))
    print(f"wrote {options.report} and {page}")
    if not any(item.milliseconds is not None for item in found):
        raise UnavailableError("no estimate for any of these artifacts; the lines above say what to run")


def estimates_of(artifacts: Sequence[Artifact], chosen: Sequence[Board], error: float) -> list[Estimate]:
    from fmnist_edge.boards.estimate.estimates import committed, estimate

    emulated = committed()
    return [estimate(artifact, board, emulated, error) for artifact in artifacts for board in chosen]


def refitted(
    options: argparse.Namespace, artifacts: Sequence[Artifact], board: Board
) -> tuple[list[Board], float, dict[str, Any]]:
    """The board with a constant of the user's own measurements, its error, and how the published one's did."""
    from fmnist_edge.bench import results
    from fmnist_edge.boards.estimate import measured, tables
    from fmnist_edge.catalog import boards

    estimated = estimates_of(artifacts, [board], boards.ACROSS_RUNTIMES)
    items = measured.compare(results.load(options.measured), estimated, board)
    own, error = measured.refit(board, items)
    print(f"{options.measured.name} against the estimates for {board.title}:\n\n{tables.compared(items)}\n")
    if not all(item.valid for item in items):
        print("* INVALID: see the results file for why", file=sys.stderr)
    known = "too few cells to tell its error" if error is None else f"mean error {error:.1%}, leave-one-out"
    print(f"constant {board.constant:.3f}, refit on these {own.constant:.3f} ({known})\n")
    section = {
        "file": options.measured.name,
        "board": board.name,
        "constant": board.constant,
        "refit": own.constant,
        "error": error,
        "cells": [{**asdict(item), "off": item.off} for item in items],
    }
    return [own], boards.ACROSS_RUNTIMES if error is None else error, section
