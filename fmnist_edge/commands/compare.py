"""`fmnist-edge compare`: two results of `bench`, B against A."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import table
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.bench.comparison import Comparison

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=2,
    summary="compare two results of `bench`",
    description="""
        Divides the p50 and the p90 of B by those of A, for each cell that both measured. Each ratio has a 95 %
        bootstrap interval over rounds and seconds. The finding is "slower" or "faster" where the interval does not
        contain 1.

        Results of unlike machines are refused, and the message says what differs.
        """,
    examples=(
        ("Before and after a change", "compare before.json.gz after.json.gz"),
        ("In CI: fail when a cell became more than 10 % slower",
         "compare before.json.gz after.json.gz --fail-if-slower 10%"),
    ),
    gate="with --fail-if-slower: a cell is slower than that, or failed in B",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to compare")
    what.add_argument("a", type=Path, metavar="A", help="Results file to compare with.")
    what.add_argument("b", type=Path, metavar="B", help="Results file to judge.")
    what.add_argument("--force", action="store_true", help="Compare results of unlike machines all the same.")
    output = parser.add_argument_group("Verdict and output")
    output.add_argument(
        "--fail-if-slower",
        type=arguments.percentage,
        metavar="P%",
        help="Exit with 1 when a cell's p50 rose by more than P %% and its interval leaves no doubt that it rose, or "
        "when a cell failed in B.",
    )
    arguments.report(output, "reports/compare.json")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.bench import results
    from fmnist_edge.bench.comparison import compare, differences
    from fmnist_edge.bench.tables import COMPARISON_HEADER, comparison_rows, incomparable
    from fmnist_edge.commands.reports import Report

    a, b = results.load(options.a), results.load(options.b)
    wrong, noted = differences(a, b)
    if wrong and not options.force:
        raise InputError(f"these machines are unlike ({'; '.join(wrong)}); --force compares them all the same")
    for line in [*wrong, *noted]:
        print(f"note: {line}", file=sys.stderr)
    compared = compare(a, b)
    limit = options.fail_if_slower
    slower = [] if limit is None else [item for item in compared if item.is_slower(limit)]
    report = Report.of(options)
    report.write(
        {
            "schema": 1,
            "a": options.a.name,
            "b": options.b.name,
            "unlike": wrong,
            "noted": noted,
            "fail_if_slower": limit,
            "slower": len(slower),
            "cells": [item.as_dict() for item in compared],
        }
    )
    with report.beside():
        if any(item.ratios for item in compared):
            print(table(COMPARISON_HEADER, comparison_rows(compared), right=["threads"]) + "\n")
        for line in incomparable(compared):
            print(line)
        report.say_written()
    for item in slower:
        print(f"FAILED {item.artifact} on {item.engine}, {item.threads} threads: {why(item)}", file=sys.stderr)
    if slower:
        raise GateError(f"{len(slower)} of {len(compared)} cells are more than {limit:.0%} slower")
    if not any(item.ratios for item in compared):
        raise InputError("the two results have no measured cell in common: same artifact, engine, threads and batch")


def why(item: Comparison) -> str:
    if not item.ratios:
        return item.problem or "not measured"
    ratio = item.ratios["engine"]["p50"]
    return f"{ratio.ratio:.3f} times as slow at p50 [{ratio.lower:.3f}, {ratio.upper:.3f}]"
