"""`fmnist-edge classify`: classify image files."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.console import table
from fmnist_edge.registry import MODELS

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.runtime import Classifier
    from fmnist_edge.runtime.images import read_image

    answers = []
    shipped = Path("exported") / options.model / "int8.tflite"
    with Classifier.load(
        shipped if options.model in MODELS else options.model, threads=options.threads, engine=options.engine
    ) as classifier:
        for path in options.images:
            image = read_image(path, classifier.contract.input_shape)
            answers += [(path, answer) for answer in classifier.classify(255 - image if options.invert else image)]
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
        "probabilities": dict(zip(labels, map(float, prediction.probabilities), strict=True)),
    }
