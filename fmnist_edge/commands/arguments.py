"""Arguments that several commands have, and what their text must be.

Each function adds to a parser or to a group of one. Help is whole sentences; `manual` adds choices and defaults.
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn, Union

from fmnist_edge.catalog.models import MODELS

__all__ = [
    "Arguments", "artifacts", "batch_size", "calibration", "data", "engine", "engines", "images", "limit", "model",
    "number", "out", "percentage", "reference", "report", "seeds", "tflite_runtime", "tflite_runtime_python", "threads",
    "trained", "whole_number",
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


def images(to: Arguments) -> None:
    to.add_argument(
        "--images", metavar="FILE.npy", help="Your own images, a .npy or .npz file. Default: the 10,000 test images."
    )


def limit(to: Arguments, text: str, *, default: int | None = None, was: str = "") -> None:
    """How many images; `was` is what the option was called before."""
    to.add_argument("--limit", type=whole_number, default=default, metavar="N", help=text)
    if was:
        to.add_argument(was, action=Renamed, const="--limit N", nargs="?", help=argparse.SUPPRESS)


def calibration(to: Arguments, text: str, *also: str) -> None:
    """`also`: other names of the option."""
    to.add_argument("--calibration", *also, metavar="FILE.npy|DIR", help=text)


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


class Renamed(argparse.Action):
    """An option's old name: using it is an error that tells the new one, `const`."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> NoReturn:
        parser.error(f"{option_string} is the name of a file in other commands; to say how many, use {self.const}")


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
