"""`fmnist-edge classify`: classify image files."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.console import table

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.runtime import Classifier, PolarityWarning

    answers = []
    shipped = Path("exported") / options.model / "int8.tflite"
    with Classifier.load(
        shipped if options.model in MODELS else options.model,
        threads=options.threads,
        engine=options.engine,
        try_first=True,
    ) as classifier:
        for path in options.images:
            with warnings.catch_warnings(record=True) as noticed:
                warnings.simplefilter("always", PolarityWarning)
                answers.append((path, classifier.from_file(path, invert=options.invert)))
            for warning in noticed:
                print(f"fmnist-edge: {path}: {warning.message} (--invert auto)", file=sys.stderr)
        labels = classifier.contract.labels
    if options.json:
        print(json.dumps([answer_entry(path, prediction, labels) for path, prediction in answers], indent=2))
        return
    rows = [
        [path, prediction.label, f"{prediction.confidence:.1%}", ", ".join(labels[i] for i in prediction.top_k(3)[1:])]
        for path, prediction in answers
    ]
    print(table(["image", "label", "confidence", "next"], rows))


def answer_entry(path: str, prediction: Any, labels: Sequence[str]) -> dict[str, Any]:
    return {
        "image": path,
        "label": prediction.label,
        "index": prediction.index,
        "confidence": prediction.confidence,
        "probabilities": dict(zip(labels, map(float, prediction.probabilities))),
    }
