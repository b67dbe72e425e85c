"""Export to Keras's own format: the unchanged model, as a reference for its other exports."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.exporters.exporter import Census, Exporter, export_errors, quiet
from fmnist_edge.exporters.several import Samples
from fmnist_edge.worker.temporary import temporary_folder

if TYPE_CHECKING:
    import keras

__all__ = ["EXPORTER"]

FIXED_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest date in ZIP


class KerasExporter(Exporter):
    """Writes `.keras` files. The batch axis stays open, as in Keras."""

    packages = ("tensorflow-cpu", "keras")

    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with export_errors("saving the Keras model"), quiet(), temporary_folder() as folder:
            path = folder / "model.keras"
            model.save(path)
            return without_timestamps(path)

    def census(self, content: bytes) -> Census:
        """Counts layers instead of ops."""
        with export_errors("reading the Keras file"), zipfile.ZipFile(io.BytesIO(content)) as archive:
            layers = json.loads(archive.read("config.json"))["config"]["layers"]
            return Census.of([(layer["class_name"], layer["config"]["name"], True) for layer in layers])


def without_timestamps(path: Path) -> bytes:
    """The content of a `.keras` file with fixed dates instead of the time it was saved, so that its bytes repeat."""
    file = io.BytesIO()
    with zipfile.ZipFile(path) as saved, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for entry in sorted(saved.namelist()):
            content = saved.read(entry)
            if entry == "metadata.json":
                content = json.dumps({**json.loads(content), "date_saved": "1980-01-01@00:00:00"}).encode()
            archive.writestr(zipfile.ZipInfo(entry, FIXED_DATE), content)
    return file.getvalue()


EXPORTER = KerasExporter()
