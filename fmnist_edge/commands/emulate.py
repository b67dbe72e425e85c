"""`fmnist-edge emulate`: artifacts on emulated 64-bit Arm cores, for their answers and their instructions."""

from __future__ import annotations

import argparse
import sys

from fmnist_edge.console import progress_bar
from fmnist_edge.errors import GateError

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.boards.emulation import results, suite, tables, userland
    from fmnist_edge.files import check_writable, locked, write_atomic
    from fmnist_edge.parity.evaluation import evaluation_for

    artifacts = collect(options.artifacts)
    evaluation = evaluation_for(None, None, options.images, options.data, artifacts[0].contract.input_shape)
    check_writable(options.out)
    userland.make(options.userland, lambda line: print(line, file=sys.stderr))
    choice = suite.Choice(tuple(dict.fromkeys(options.core or suite.CORES)), options.images, options.again)
    document = options.out / "README.md"
    with locked(options.out):
        try:
            with progress_bar("emulating") as progress:
                cells = suite.run(
                    artifacts, evaluation.images, evaluation.source, choice, options.userland, options.out, progress
                )
        finally:  # an interrupted run has left cells too
            write_atomic(document, tables.document(results.load_all(options.out)))
    print(f"Emulated, answers against this machine's; no latency:\n\n{tables.shown(cells)}\n")
    print(f"wrote {options.out}/*.json and {document}")
    failed = suite.failures(cells)
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    if failed:
        raise GateError(f"{len(failed)} of {len(cells)} emulated cells failed")
