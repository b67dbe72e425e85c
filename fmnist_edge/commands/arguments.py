"""Arguments that several commands have, and what their text must be.

Each function adds to a parser or to a group of one. Help is whole sentences; `manual` adds choices and defaults.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Union

from fmnist_edge.catalog.models import MODELS

__all__ = [
    "Arguments", "artifacts", "batch_size", "by_channel", "calibration", "colour", "data", "engine", "engines",
    "images", "labels", "limit", "model", "number", "out", "percentage", "ratio", "reference", "report", "seeds",
    "skip_bad", "task", "tflite_runtime", "tflite_runtime_python", "threads", "trained", "whole_number",
]  # fmt: skip

Arguments = Union[argparse.ArgumentParser, argparse._ArgumentGroup]

EXPORTED = "exported"
TFLITE_RUNTIME = "FMNIST_EDGE_TFLITE_RUNTIME"


def data(to: Arguments) -> None:
    to.add_argument(
        "--data",
        metavar="DIR",
        help="Folder of the four Fashion-MNIST .gz files. Default: $FMNIST_DATA_DIR, else they are searched for.",
    )


def artifacts(to: Arguments, *, absent: bool = False) -> None:
    """`absent`: where none are named, the list is empty, for a command that must know whether any were."""
    default: list[str] = [] if absent else [EXPORTED]
    text = "Exported files, or folders of them." + f" Default: {EXPORTED}." * absent
    to.add_argument("artifacts", nargs="*", default=default, metavar="ARTIFACT", help=text)


def model(to: Arguments) -> None:
    to.add_argument("model", metavar="MODEL", help=f"A model of the zoo: {', '.join(MODELS)}.")


def task(to: Arguments) -> None:
    """What the model's outputs mean, for `export`."""
    from fmnist_edge.runtime.tasks import TASKS

    to.add_argument(
        "--task",
        choices=TASKS,
        metavar="TASK",
        help="What the model's outputs mean. Default: what its head shows. A model that ends in one linear output must "
        "be told: binary for a logit, tensor for a number.",
    )
    to.add_argument(
        "--positive",
        metavar="NAME",
        help="The positive class of a binary model: the one that an output near 1 means. Default: the second label.",
    )
    to.add_argument(
        "--threshold",
        type=thresholds,
        metavar="X[,X...]",
        help="What a probability must exceed for the positive class of a binary model, or for a label of a multilabel "
        "one: one number, or one for each label. Default: 0.5.",
    )
    to.add_argument(
        "--input",
        choices=("image", "numbers"),
        metavar="KIND",
        help="Whether the model takes images, whose pixels have a unit, or numbers of any range. Default: an image if "
        "its input has three axes or is square.",
    )


def thresholds(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def trained(to: Arguments) -> None:
    to.add_argument(
        "--trained", type=Path, default=Path("trained_model"), metavar="DIR", help="Folder of the zoo's trained models."
    )


def reference(to: Arguments) -> None:
    to.add_argument(
        "--reference", metavar="MODEL", help="Keras model to compare with, for an artifact that is not of the zoo."
    )


def engine(to: Arguments, names: Iterable[str]) -> None:
    to.add_argument(
        "--engine", choices=list(names), metavar="ENGINE", help="What runs the file. Default: the one for its suffix."
    )


def engines(to: Arguments, names: Iterable[str], text: str) -> None:
    to.add_argument("--engine", action="append", choices=list(names), metavar="ENGINE", help=text)


def threads(to: Arguments) -> None:
    to.add_argument(
        "--threads", type=whole_number, metavar="N", help="Threads of the engine. Default: the engine's choice."
    )


def images(to: Arguments, default: str = "Default for the zoo: the 10,000 test images.") -> None:
    to.add_argument(
        "--images",
        metavar="PATH",
        help="Your own images: a folder with a folder per class, or a flat one, in which a .csv of (file, class) may "
        f"give the classes; a .npy file; a .npz file of x and y; an IDX file. {default}",
    )
    skip_bad(to)


def labels(to: Arguments, text: str) -> None:
    to.add_argument(
        "--labels", metavar="FILE", help=f"{text} A .npy file of indices, or a text file with one class per line."
    )


def skip_bad(to: Arguments) -> None:
    to.add_argument(
        "--skip-bad", action="store_true", help="Leave out images that cannot be read, instead of refusing them all."
    )


def limit(to: Arguments, text: str, *, default: int | None = None) -> None:
    to.add_argument("--limit", type=whole_number, default=default, metavar="N", help=text)


def calibration(to: Arguments, text: str, *also: str) -> None:
    """`also`: other names of the option."""
    to.add_argument("--calibration", *also, metavar="PATH", help=text)


def tflite_runtime(to: Arguments, text: str) -> None:
    to.add_argument("--tflite-runtime", metavar="PYTHON", help=f"{text} Default: ${TFLITE_RUNTIME}.")


def tflite_runtime_python(options: argparse.Namespace) -> str | None:
    return options.tflite_runtime or os.environ.get(TFLITE_RUNTIME)


def out(to: Arguments, default: str, text: str) -> None:
    to.add_argument("--out", type=Path, default=Path(default), metavar="DIR", help=text)


def report(to: Arguments, default: str, text: str = "JSON report to write; - prints it.") -> None:
    """For `reports.Report`, which tells the default from the same path named by the user."""
    path = Path(default)
    to.add_argument("--report", type=Path, default=path, metavar="FILE", help=text)
    to.set_defaults(default_report=path)


def whole_number(text: str) -> int:
    """A whole number of at least 1. This and the next: argparse makes a usage error of what they raise."""
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def number(text: str) -> float:
    """A finite number."""
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def ratio(text: str) -> float:
    """A number, or a fraction like 1/127.5."""
    above, slash, below = text.partition("/")
    try:
        return float(above) / float(below) if slash else float(above)
    except ZeroDivisionError:
        raise argparse.ArgumentTypeError(f"{text} divides by 0") from None


def by_channel(text: str) -> float | tuple[float, ...]:
    """ "0.5" -> 0.5, and "0.485,0.456,0.406" -> one number for each channel."""
    values = tuple(map(ratio, text.split(",")))
    return values[0] if len(values) == 1 else values


def colour(text: str) -> int | tuple[int, ...]:
    """ "114" -> a grey level, and "114,114,114" -> red, green, blue."""
    values = tuple(map(int, text.split(",")))
    return values[0] if len(values) == 1 else values


def percentage(text: str) -> float:
    """ "10%" or "10" -> 0.1"""
    value = number(text.removesuffix("%"))
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value / 100


def seeds(text: str) -> tuple[int, ...]:
    """ "0,1,2" -> (0, 1, 2)"""
    values = tuple(int(part) for part in text.split(","))
    if min(values) < 0 or len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"{text}: expected different whole numbers from 0 on, like 0,1,2")
    return values


def batch_size(text: str) -> int | None:
    """A number of images, or "dynamic" -> None"""
    return None if text == "dynamic" else whole_number(text)
