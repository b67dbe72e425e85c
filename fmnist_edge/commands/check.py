"""`fmnist-edge check`: prove artifacts equal their Keras model."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from fmnist_edge.console import table, track
from fmnist_edge.errors import GateError

__all__ = ["run"]

PARITY_HEADER = [
    "model",
    "artifact",
    "kB",
    "Keras %",
    "accuracy %",
    "published %",
    "agreement %",
    "max Δ",
    "mean Δ",
    "gate",
]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge import inputs
    from fmnist_edge.artifacts import collect
    from fmnist_edge.check import check
    from fmnist_edge.files import write_json

    evaluation = inputs.evaluation_for(options.images, options.labels, options.limit, options.data)
    checked = list(
        check(collect(options.artifacts), evaluation, trained=options.trained, reference=options.reference, track=track)
    )
    print(f"Parity on {len(evaluation.images):,} images of {evaluation.source}:\n")
    print(table(PARITY_HEADER, [parity_row(row) for row in checked]))
    write_json(
        options.report,
        {
            "schema": 1,
            "images": len(evaluation.images),
            "source": evaluation.source,
            "rows": [r.as_dict() for r in checked],
        },
    )
    print(f"\nwrote {options.report}")
    for row in checked:
        for failure in row.report.failures:
            worst = ", ".join(map(str, row.report.worst_images))
            print(f"FAILED {row.artifact.path}: {failure} (worst images: {worst})", file=sys.stderr)
    failed = sum(not row.report.passed for row in checked)
    if failed:
        raise GateError(f"{failed} of {len(checked)} artifacts failed their gate")


def parity_row(row: Any) -> list[str]:
    report = row.report
    return [
        row.artifact.model,
        row.artifact.path.name,
        f"{row.artifact.size_bytes / 1000:,.0f}",
        *(percent(value) for value in (report.reference_accuracy, report.accuracy, report.published_accuracy)),
        percent(report.agreement),
        f"{report.max_abs_delta:.1e}",
        f"{report.mean_abs_delta:.1e}",
        "pass" if report.passed else "FAIL",
    ]


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.2f}"
