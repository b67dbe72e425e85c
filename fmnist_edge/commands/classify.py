"""`fmnist-edge classify`: classify image files."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import table
from fmnist_edge.runtime.engine_catalog import CPU, engines_on

if TYPE_CHECKING:
    from fmnist_edge.runtime.prediction import Prediction

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.DEVICE,
    order=2,
    summary="classify image files",
    description="""
        Classifies image files with an exported model, and prints for each the most likely class, how sure the model
        is, and the two classes that come next.

        Needs an engine (ai-edge-litert for .tflite files, onnxruntime for .onnx files), and Pillow to read images.
        """,
    examples=(
        ("With an exported file", "classify exported/tiny_resnet/int8.tflite photo.png"),
        ("With a model that ships in exported/, for a script", "classify tiny_resnet a.png b.png --json"),
        ("Photos of dark things on a light ground", "classify tiny_resnet photo.jpg --invert auto"),
    ),
    extra="images",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to classify")
    what.add_argument(
        "model",
        metavar="MODEL",
        help="An exported file with its manifest beside it, or a model of the zoo, for exported/MODEL/int8.tflite.",
    )
    what.add_argument("images", nargs="+", metavar="IMAGE", help="A PNG or JPEG file.")
    how = parser.add_argument_group("How")
    arguments.engine(how, engines_on(CPU))
    arguments.threads(how)
    how.add_argument(
        "--invert",
        default="never",
        choices=["never", "auto", "always"],
        metavar="WHEN",
        help="Fashion-MNIST is light on dark, and most photos are not. With never, such images only cause a warning; "
        "with auto, they are inverted; with always, every image is.",
    )
    how.add_argument(
        "--abstain",
        action="store_true",
        help="Answer unknown where the file's confidence says so. Needs one in the manifest; see `confidence`.",
    )
    parser.add_argument_group("Output").add_argument(
        "--json", action="store_true", help="Print JSON instead of a table."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.runtime import Classifier, PolarityWarning

    answers = []
    shipped = Path("exported") / options.model / "int8.tflite"
    with Classifier.load(
        shipped if options.model in MODELS else options.model,
        threads=options.threads,
        engine=options.engine,
        try_first=True,
        abstain=True if options.abstain else None,
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
        [
            path,
            shown_label(prediction),
            f"{prediction.confidence:.1%}",
            ", ".join(next_two(prediction, labels)),
        ]
        for path, prediction in answers
    ]
    print(table(["image", "label", "confidence", "next"], rows))


def shown_label(prediction: Prediction) -> str:
    if prediction.has_several_labels:
        return ", ".join(prediction.labels) or "none"
    return prediction.label if prediction.label is not None else "unknown"


def next_two(prediction: Prediction, labels: Sequence[str]) -> list[str]:
    """The two most likely classes besides the answer; without an answer, the two most likely ones."""
    if prediction.has_several_labels:
        shown = {index for index, label in enumerate(labels) if label in prediction.labels}
    else:
        shown = set() if prediction.label is None else {prediction.index}
    order = prediction.top_k(2 + len(shown))
    return [labels[index] for index in order if index not in shown][:2]


def answer_entry(path: str, prediction: Prediction, labels: Sequence[str]) -> JsonObject:
    return {
        "image": path,
        "label": prediction.label,
        **({"labels": list(prediction.labels)} if prediction.has_several_labels else {}),
        "index": prediction.index,
        "confidence": prediction.confidence,
        "probabilities": dict(zip(labels, map(float, prediction.probabilities))),
    }
