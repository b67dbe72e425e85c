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
from fmnist_edge.errors import FileError
from fmnist_edge.runtime.engine_catalog import CPU, engines_on

if TYPE_CHECKING:
    from fmnist_edge.runtime import Classifier
    from fmnist_edge.runtime.prediction import Prediction

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.DEVICE,
    order=2,
    summary="classify image files",
    description="""
        Classifies image files with an exported model, and prints for each the most likely class, how sure the model
        is, and the two classes that come next.

        A folder is read with its subfolders, sorted by path. A file that cannot be read is named, the others are
        answered, and the exit code is 2. Where an image must be stretched by more than 1.5 to fit the model, that is
        said once.

        Needs an engine (ai-edge-litert for .tflite files, onnxruntime for .onnx files), and Pillow to read images.
        """,
    examples=(
        ("With an exported file", "classify exported/tiny_resnet/int8.tflite photo.png"),
        ("With a model that ships in exported/, for a script", "classify tiny_resnet a.png b.png --json"),
        ("A folder of photos, and the five most likely classes of each", "classify tiny_resnet photos --top 5"),
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
    what.add_argument(
        "images", nargs="+", metavar="IMAGE", help="A PNG or JPEG file, or a folder of them, with its subfolders."
    )
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
    output = parser.add_argument_group("Output")
    output.add_argument(
        "--top",
        type=arguments.whole_number,
        metavar="K",
        help="Show the K most likely classes, each with its probability. Default: the label and the next two.",
    )
    output.add_argument("--json", action="store_true", help="Print JSON instead of a table.")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.runtime import Classifier

    paths = [path for given in options.images for path in expanded(given)]
    shipped = Path("exported") / options.model / "int8.tflite"
    with Classifier.load(
        shipped if options.model in MODELS else options.model,
        threads=options.threads,
        engine=options.engine,
        try_first=True,
        abstain=True if options.abstain else None,
    ) as classifier:
        answers, unreadable = classified(classifier, paths, options.invert)
        labels = classifier.contract.labels
    if options.json:
        entries = [answer_entry(path, prediction, labels, options.top) for path, prediction in answers]
        print(json.dumps(entries, indent=2))
    elif answers:
        rows = [
            [
                path,
                shown_label(prediction),
                f"{prediction.confidence:.1%}",
                ", ".join(next_best(prediction, labels, options.top)),
            ]
            for path, prediction in answers
        ]
        print(table(["image", "label", "confidence", "next"], rows))
    if len(unreadable) > 1 or (unreadable and answers):
        raise FileError(f"{len(unreadable):,} of {len(paths):,} images could not be read; they are named above")
    if unreadable:
        raise unreadable[0]


def expanded(given: str) -> list[str]:
    """A file as it is; of a folder, its PNGs and JPEGs, sorted by path. Raises FileError for a folder without any."""
    from fmnist_edge.data.files import image_files, listed

    if not Path(given).is_dir():
        return [given]
    images, others = image_files(given)
    left_out = listed(others)
    if not images:
        raise FileError(
            f"{given}: no PNG or JPEG in it{f' (found {left_out})' if others else ''}; name a folder of images"
        )
    if others:
        print(f"fmnist-edge: {given}: left out what is no PNG or JPEG: {left_out}", file=sys.stderr)
    return list(map(str, images))


def classified(
    classifier: Classifier, paths: Sequence[str], invert: str
) -> tuple[list[tuple[str, Prediction]], list[FileError]]:
    """The answers, and an error for each file that cannot be read. Prints these errors, if there are others, and the
    warnings: that an image is stretched once, with the number of such images."""
    from fmnist_edge.runtime import AspectWarning, PolarityWarning

    answers: list[tuple[str, Prediction]] = []
    unreadable: list[FileError] = []
    stretched: list[tuple[str, object]] = []
    for path in paths:
        with warnings.catch_warnings(record=True) as noticed:
            for category in (AspectWarning, PolarityWarning):
                warnings.simplefilter("always", category)
            try:
                answers.append((path, classifier.from_file(path, invert=invert)))
            except FileError as error:
                unreadable.append(error)
                if len(paths) > 1:
                    print(f"fmnist-edge: {error}", file=sys.stderr)
        for warning in noticed:
            if issubclass(warning.category, AspectWarning):
                stretched.append((path, warning.message))
            else:
                remedy = " (--invert auto)" if issubclass(warning.category, PolarityWarning) else ""
                print(f"fmnist-edge: {path}: {warning.message}{remedy}", file=sys.stderr)
    if stretched:
        path, message = stretched[0]
        more = f" and {len(stretched) - 1:,} more of {len(paths):,} images" if len(stretched) > 1 else ""
        print(f"fmnist-edge: {path}{more}: {message}", file=sys.stderr)
    return answers, unreadable


def shown_label(prediction: Prediction) -> str:
    if prediction.has_several_labels:
        return ", ".join(prediction.labels) or "none"
    return prediction.label if prediction.label is not None else "unknown"


def next_best(prediction: Prediction, labels: Sequence[str], top: int | None) -> list[str]:
    """The most likely classes besides the answer, if there is one.

    They are two. With `top` they are `top` less the answer, and each has its probability.
    """
    if prediction.has_several_labels:
        shown = {index for index, label in enumerate(labels) if label in prediction.labels}
    else:
        shown = set() if prediction.label is None else {prediction.index}
    count = 2 if top is None else max(top - 1, 0)
    best = [index for index in prediction.top_k(count + len(shown)) if index not in shown][:count]
    if top is None:
        return [labels[index] for index in best]
    return [f"{labels[index]} {prediction.probabilities[index]:.1%}" for index in best]


def answer_entry(path: str, prediction: Prediction, labels: Sequence[str], top: int | None = None) -> JsonObject:
    best = [] if top is None else prediction.top_k(top)
    chosen = [{"label": labels[i], "index": i, "confidence": float(prediction.probabilities[i])} for i in best]
    return {
        "image": path,
        "label": prediction.label,
        **({"labels": list(prediction.labels)} if prediction.has_several_labels else {}),
        "index": prediction.index,
        "confidence": prediction.confidence,
        **({} if top is None else {"top": chosen}),
        "probabilities": dict(zip(labels, map(float, prediction.probabilities))),
    }
