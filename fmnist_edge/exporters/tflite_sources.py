"""The part that exporters of source files share: what they contain is a `.tflite` file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.exporter import Census, Exporter
from fmnist_edge.exporters.several import Samples
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.runtime.tasks import BINARY, MULTILABEL, TENSOR

if TYPE_CHECKING:
    import keras

__all__ = ["EXPORTED_FROM", "TFLiteSourcesExporter", "check_finite", "check_takes_pixels", "meaning_of"]

INNER_FORMAT = "tflite"
EXPORTED_FROM = "exported_from"  # section of a manifest: the finished `.tflite` file that the sources were made of


def check_takes_pixels(contract: Contract, title: str) -> None:
    """Raises ExportError for a model whose input is no image, and for one whose outputs are tensors."""
    if contract.task == TENSOR:
        raise ExportError(f"{title} has labels and scores, and the model's task is tensor; export tflite int8")
    if contract.dtype != "uint8" or len(contract.input_shape) != 3:
        found = f"numbers of shape {contract.input_shape}" if contract.dtype != "uint8" else f"{contract.input_shape}"
        raise ExportError(
            f"{title} takes images (height, width, channels), and the model takes {found}; export tflite int8"
        )


def check_finite(preprocessing: Preprocessing, title: str) -> None:
    """Raises ExportError for numbers, or inputs made with them, that no float32 holds: C has them as literals."""
    used = preprocessing
    with np.errstate(all="ignore"):
        numbers = np.hstack([used.scale, used.mean, used.std]).astype(np.float32)
        finite = np.isfinite(numbers).all() and np.isfinite(used.levels()).all()
    if not finite:
        raise ExportError(
            f"{title} has float32 numbers, and {used} makes inputs beyond them; say --scale, --mean, --std"
        )


def meaning_of(contract: Contract) -> str:
    """What the scores say, for a comment."""
    if contract.task == BINARY:
        probability = "The sigmoid of it" if contract.output == "logits" else "It"
        above = f"{contract.thresholds[0]:g}"
        return f"{probability} is the probability of the second label, which is the answer above {above}."
    if contract.task == MULTILABEL:
        probability = "The sigmoid of each" if contract.output == "logits" else "Each"
        limits = ", ".join(f"{value:g}" for value in contract.thresholds)
        return f"{probability} is the probability of its label, which is there above: {limits}."
    return "The largest one's index is the class."


class TFLiteSourcesExporter(Exporter):
    """Converts a model to the `.tflite` file that the sources contain. Subclasses write the sources.

    Attributes:
        title: the format, as the subject of a sentence.
    """

    title: str

    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        if batch != 1:
            got = batch or "a dynamic batch"
            raise ExportError(f"{self.title} takes one image per call; got {got}; export with --batch 1")
        same = replace(precision, format=INNER_FORMAT)
        return FORMATS[INNER_FORMAT].exporter().convert(model, same, batch, calibration, keep_float)

    def census(self, content: bytes) -> Census:
        return FORMATS[INNER_FORMAT].exporter().census(content)
