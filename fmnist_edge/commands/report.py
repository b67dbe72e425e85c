"""`fmnist-edge report`: results of `bench` as tables, one HTML page, and blocks of a README."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.errors import GateError, InputError, UnavailableError

if TYPE_CHECKING:
    from fmnist_edge.report.runs import Run

__all__ = ["run"]

RESULTS = Path("benchmarks/results")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.report import runs as reader

    if options.check and options.readme is None:
        raise InputError("--check is about a README; name it: --readme README.md --check")
    runs = reader.read(options.results or [RESULTS])
    if options.check:
        check(options.readme, runs)
    else:
        write(options, runs)


def check(path: Path, runs: Sequence[Run]) -> None:
    """Raises GateError when a block is not what the results give."""
    from fmnist_edge.report import readme

    _, stale = readme.regenerated(readme.read(path), runs, path)
    if stale:
        raise GateError(
            f"{path}: not what the results give: {', '.join(stale)}; run: fmnist-edge report --readme {path}"
        )
    print(f"{path} is what the results give")


def write(options: argparse.Namespace, runs: Sequence[Run]) -> None:
    """Raises UnavailableError when the page's packages are missing, after everything that does not need them. With
    --readme this is a note, for the README is what was asked for."""
    from fmnist_edge.files import write_atomic, write_json
    from fmnist_edge.report import boards, markdown, page, readme, summary

    lines = boards.read(options.emulated)
    blocks = None
    if options.readme is not None:  # before anything is written, for what may be wrong with it
        blocks, _ = readme.regenerated(readme.read(options.readme), runs, options.readme)
    print(markdown.terminal(runs, lines) + "\n")
    write_json(options.report, summary.as_json(runs, lines))
    write_atomic(options.markdown, markdown.document(runs, lines))
    missing = None
    try:
        write_atomic(options.html, page.page(runs, lines))
        print(f"wrote {options.html}, {options.markdown} and {options.report}")
    except UnavailableError as error:
        missing = error
        print(f"wrote {options.markdown} and {options.report}")
    if blocks is not None:
        write_atomic(options.readme, blocks)
        print(f"wrote the blocks of {options.readme}")
    if not all(row.valid for item in runs for row in item.rows):
        print("note: INVALID figures are among these; the verdicts above say why", file=sys.stderr)
    if missing is not None and blocks is None:
        raise missing
    if missing is not None:
        print(f"note: no page: {missing}", file=sys.stderr)
