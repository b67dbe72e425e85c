"""`fmnist-edge compare`: two results of `bench`, B against A."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fmnist_edge.console import table
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.bench.comparison import Comparison

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.bench import results
    from fmnist_edge.bench.comparison import compare, differences
    from fmnist_edge.bench.tables import COMPARED, compared_rows, uncompared
    from fmnist_edge.files import write_json

    a, b = results.load(options.a), results.load(options.b)
    wrong, noted = differences(a, b)
    if wrong and not options.force:
        raise InputError(f"these machines are unlike ({'; '.join(wrong)}); --force compares them all the same")
    for line in [*wrong, *noted]:
        print(f"note: {line}", file=sys.stderr)
    compared = compare(a, b)
    limit = options.fail_if_slower
    slower = [] if limit is None else [item for item in compared if item.is_slower(limit)]
    write_json(
        options.report,
        {
            "schema": 1,
            "a": options.a.name,
            "b": options.b.name,
            "unlike": wrong,
            "noted": noted,
            "fail_if_slower": limit,
            "slower": len(slower),
            "cells": [item.as_dict() for item in compared],
        },
    )
    if any(item.ratios for item in compared):
        print(table(COMPARED, compared_rows(compared)) + "\n")
    for line in uncompared(compared):
        print(line)
    print(f"wrote {options.report}")
    for item in slower:
        print(f"FAILED {item.artifact} on {item.engine}, {item.threads} threads: {why(item)}", file=sys.stderr)
    if slower:
        raise GateError(f"{len(slower)} of {len(compared)} cells are more than {limit:.0%} slower")
    if not any(item.ratios for item in compared):
        raise InputError("the two results have no measured cell in common: artifact, engine, threads and batch")


def why(item: Comparison) -> str:
    if not item.ratios:
        return item.problem or "not measured"
    ratio = item.ratios["engine"]["p50"]
    return f"{ratio.ratio:.3f} times as slow at p50 [{ratio.lower:.3f}, {ratio.upper:.3f}]"
