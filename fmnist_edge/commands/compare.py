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
    from collections.abc import Sequence

    from fmnist_edge.benchmark.comparison import Comparison
    from fmnist_edge.benchmark.results import Result

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=2,
    summary="compare two results of `bench`",
    description="""
        Divides the calm p50 and the p90 of B by those of A, for each cell that both measured. Each ratio has a 95 %
        interval of two parts: what varies within a run, by a bootstrap, and what varies between
        runs of the same thing. The second comes from --repeats, if there are three runs or more, and else from the
        repeatability that the runs state, which is at least 8 %. So a change of less than 8 % between two single runs
        is never found; `bench A B --ab` finds it. The finding is "slower" or "faster" where the interval does not
        contain 1. Cells that are INVALID in a result are not judged.

        Results of unlike machines are refused, and the message says what differs.
        """,
    examples=(
        ("Before and after a change", "compare before.json.gz after.json.gz"),
        ("In CI: fail when a cell became more than 10 % slower",
         "compare before.json.gz after.json.gz --fail-if-slower 10%"),
        ("With the spread between runs, from more runs of the same files",
         "compare before.json.gz after.json.gz --repeats nightly"),
    ),
    gate="with --fail-if-slower: a cell is slower than that, or failed in B; with --fail-if-missing: B lacks a cell",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to compare")
    what.add_argument("a", type=Path, metavar="A", help="Results file to compare with.")
    what.add_argument("b", type=Path, metavar="B", help="Results file to judge.")
    what.add_argument("--force", action="store_true", help="Compare results of unlike machines all the same.")
    what.add_argument(
        "--repeats",
        type=Path,
        action="append",
        metavar="RESULTS",
        help="Results of more runs of the same files on the same machine, or a folder of them: for each cell, three "
        "runs or more, with A, give the spread between runs.",
    )
    what.add_argument("--accept-invalid", action="store_true", help="Judge cells that are INVALID, too.")
    output = parser.add_argument_group("Verdict and output")
    output.add_argument(
        "--fail-if-slower",
        type=arguments.percentage,
        metavar="P%",
        help="Exit with 1 when a cell's p50 rose by more than P %% and its interval leaves no doubt that it rose, or "
        "when a cell failed in B.",
    )
    output.add_argument(
        "--fail-if-missing", action="store_true", help="Exit with 1 when B lacks a cell that A measured."
    )
    arguments.report(output, "reports/compare.json")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.benchmark import results
    from fmnist_edge.benchmark.comparison import compare, differences
    from fmnist_edge.benchmark.tables import (
        COMPARISON_HEADER,
        comparison_counts,
        comparison_rows,
        doubts,
        gone,
        incomparable,
    )
    from fmnist_edge.commands.reports import Report

    a, b = results.load(options.a), results.load(options.b)
    wrong, noted = differences(a, b)
    if wrong and not options.force:
        raise InputError(f"these machines are unlike ({'; '.join(wrong)}); --force compares them all the same")
    for line in [*wrong, *noted]:
        print(f"note: {line}", file=sys.stderr)
    compared = compare(a, b, repeats=repeated_runs(options.repeats or (), a), accept_invalid=options.accept_invalid)
    limit = options.fail_if_slower
    missing = [item for item in compared if item.is_missing]
    slower = [] if limit is None else [item for item in compared if item.is_slower(limit)]
    report = Report.of(options)
    report.write(
        {
            "schema": 2,
            "a": options.a.name,
            "b": options.b.name,
            "unlike": wrong,
            "noted": noted,
            "fail_if_slower": limit,
            "slower": len(slower),
            "missing": len(missing),
            "cells": [item.as_dict() for item in compared],
        }
    )
    with report.beside():
        if any(item.ratios for item in compared):
            print(table(COMPARISON_HEADER, comparison_rows(compared), right=["threads"]) + "\n")
            print(comparison_counts(compared))
        for line in doubts(compared):
            print(f"not judged: {line}; --accept-invalid judges all the same")
        for line in incomparable([item for item in compared if not item.is_missing]):
            print(line)
        for line in gone(missing):
            print(line)
        report.say_written()
    for item in slower:
        print(f"FAILED {item.artifact} on {item.engine}, {item.threads} threads: {why(item)}", file=sys.stderr)
    if slower:
        shared = sum(not item.problem or item in slower for item in compared)
        raise GateError(f"{len(slower)} of {shared} cells are more than {limit:.0%} slower")
    if missing and options.fail_if_missing:
        raise GateError(f"{len(missing)} cells of A are gone from B")
    if not any(item.ratios for item in compared):
        raise InputError("the two results have no measured cell in common: same artifact, engine, threads and batch")


def repeated_runs(paths: Sequence[Path], a: Result) -> list[Result]:
    """The runs in these files and folders. Raises InputError when one is of another machine than A."""
    from fmnist_edge.benchmark import results
    from fmnist_edge.benchmark.comparison import machine_differences

    files = [file for path in paths for file in (sorted(path.rglob("*.json.gz")) if path.is_dir() else [path])]
    if paths and not files:
        raise InputError(f"--repeats: no results file (*.json.gz) in {paths[0]}")
    found = []
    for file in files:
        result = results.load(file)
        if unlike := machine_differences(a["machine"], result["machine"]):
            raise InputError(f"--repeats {file}: of another machine than A ({unlike[0]}); leave it out")
        found.append(result)
    return found


def why(item: Comparison) -> str:
    if not item.ratios:
        return item.problem or "not measured"
    ratio = item.ratios["engine"]["p50"]
    return f"{ratio.ratio:.3f} times as slow at p50 [{ratio.lower:.3f}, {ratio.upper:.3f}]"
