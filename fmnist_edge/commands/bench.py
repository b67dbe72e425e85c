"""`fmnist-edge bench`: time artifacts on this machine."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from fmnist_edge.console import progress_bar, table
from fmnist_edge.errors import UnavailableError

__all__ = ["run"]

INTERRUPTED = 130
BENCH_IMAGES = 64  # real ones, cycled


def run(options: argparse.Namespace) -> int:
    from fmnist_edge import data
    from fmnist_edge.artifacts import collect
    from fmnist_edge.bench import environment, results, suite
    from fmnist_edge.bench.plan import QUICK

    artifacts = [artifact.path for artifact in collect(options.artifacts)]
    plan = replace(QUICK, threads=tuple(options.threads)) if options.threads else QUICK
    cells = suite.cells_for(artifacts, plan.thread_counts(environment.usable_cores()), options.engine)
    images = data.load("test", options.data).images[:BENCH_IMAGES]
    print(f"{len(cells)} cells, plan {plan.name}: about {plan.seconds(len(cells)):.0f} s", file=sys.stderr)
    with progress_bar("measuring") as progress:
        result = suite.run(cells, images, plan, progress)
    rows = results.rows(result)
    shown = len(results.HEADER) if any(row[-1] for row in rows) else -1  # no column of empty reasons
    print(table(results.HEADER[:shown], [row[:shown] for row in rows]))
    print(f"\nwrote {results.save(result, results.path_for(result, options.out))}")
    if result["interrupted"]:
        print("fmnist-edge: interrupted; what was measured is kept", file=sys.stderr)
        return INTERRUPTED
    statuses = {cell["status"] for cell in result["cells"]}
    if "failed" in statuses:
        return 1
    return 0 if "measured" in statuses else UnavailableError.exit_code
