"""The part that exporters of source files share: what they contain is a `.tflite` file."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError
from fmnist_edge.export.exporter import Census, Exporter

if TYPE_CHECKING:
    import keras

__all__ = ["TFLiteSourcesExporter"]

INNER_FORMAT = "tflite"


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
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        if batch != 1:
            got = batch or "a dynamic batch"
            raise ExportError(f"{self.title} takes one image per call; got {got}; export with --batch 1")
        same = replace(precision, format=INNER_FORMAT)
        return FORMATS[INNER_FORMAT].exporter().convert(model, same, batch, calibration, keep_float)

    def census(self, content: bytes) -> Census:
        return FORMATS[INNER_FORMAT].exporter().census(content)
