"""`fmnist-edge matrix`: every artifact in every engine that claims it."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from fmnist_edge.console import progress_bar, table
from fmnist_edge.errors import GateError, UnavailableError

__all__ = ["run"]

PYTHON_VARIABLE = "FMNIST_EDGE_TFLITE_RUNTIME"


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.files import check_writable, write_json
    from fmnist_edge.parity.evaluation import evaluation_for
    from fmnist_edge.parity.matrix import suite

    artifacts = collect(options.artifacts)
    evaluation = evaluation_for(options.images, None, None, options.data, artifacts[0].contract.input_shape)
    images = evaluation.images[: options.limit]
    check_writable(options.report.parent)
    choice = suite.Choice(
        engines=tuple(options.engine) if options.engine else None,
        micro_images=options.micro_limit,
        tflite_runtime=options.tflite_runtime or os.environ.get(PYTHON_VARIABLE),
    )
    with progress_bar("matrix") as progress:
        result = suite.run(artifacts, images, choice, progress)
    result |= {"images_of": len(evaluation.images), "source": evaluation.source}
    write_json(options.report, result)  # first: it took minutes
    show(result)
    print(f"\nwrote {options.report}")
    judge(suite.failures(result), result)


def show(result: dict[str, Any]) -> None:
    from fmnist_edge.parity.matrix import tables

    first = "" if result["images"] == result["images_of"] else f"the first {result['images']:,} of "
    print(f"Engine matrix on {first}{result['images_of']:,} images of {result['source']}:\n")
    code = tables.Codes()
    for header, rows in tables.grids(result, code):
        print(f"{table(header, rows)}\n")
    print(tables.LEGEND.format(**{name: gate * 100 for name, gate in result["gates"].items()}))
    for line in code.lines():
        print(line)
    print(f"engines: {tables.versions(result) or 'none'}")
    arenas = tables.arena_rows(result)
    if arenas:
        print(f"\nTensorFlow Lite Micro's tensor arena, with 64-bit pointers:\n\n{table(tables.ARENA_HEADER, arenas)}")


def judge(failures: list[str], result: dict[str, Any]) -> None:
    """Raises GateError when a cell failed, UnavailableError when there was nothing that could fail."""
    for line in failures:
        print(f"FAILED {line}", file=sys.stderr)
    cells = [entry for row in result["rows"] for entry in row["cells"]]
    if failures:
        raise GateError(f"{len(failures)} of {len(cells)} cells failed")
    if not any(entry["status"] == "ran" for entry in cells):
        raise UnavailableError("no engine could run anything; the table says what to install")
