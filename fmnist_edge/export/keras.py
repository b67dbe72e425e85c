"""Keras's own format: the model as it is, to stand beside its exports as their reference."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.export.exporter import Census, Exporter, quiet, translated
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["EXPORTER"]

NO_DATE = (1980, 1, 1, 0, 0, 0)  # ZIP's first day


class KerasExporter(Exporter):
    """The batch axis stays open, as it is in Keras."""

    packages = ("tensorflow-cpu", "keras")

    def convert(
        self,
        model: Any,
        precision: Precision,
        batch: int | None,
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with translated("saving the Keras model"), quiet(), temporary_folder() as folder:
            path = folder / "model.keras"
            model.save(path)
            return undated(path)

    def census(self, content: bytes) -> Census:
        """Layers stand for ops."""
        with translated("reading the Keras file"), zipfile.ZipFile(io.BytesIO(content)) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            return Census.of([(layer["class_name"], layer["config"]["name"], True) for layer in layers])


def undated(path: Path) -> bytes:
    """A `.keras` file without the time at which it was saved."""
    file = io.BytesIO()
    with zipfile.ZipFile(path) as saved, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in sorted(saved.namelist()):
            content = saved.read(entry)
            if entry == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            archive.writestr(zipfile.ZipInfo(entry, NO_DATE), content)
    return file.getvalue()


EXPORTER = KerasExporter()
