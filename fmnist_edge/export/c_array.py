"""C++ sources for TensorFlow Lite Micro: the integer-only `.tflite` file as an array, with what firmware needs."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.export.c_source import CModel, identifier
from fmnist_edge.export.exporter import Census, Sources, translated
from fmnist_edge.export.precisions import PRECISIONS, Precision
from fmnist_edge.lookup import ENGINES, EXPORTERS, resolve
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["EXPORTER"]

MICRO = "tflite-micro"
STEP = 1024  # the arena is rounded up to a multiple
ALIGNMENT = 16  # bytes of the arena that its own alignment may cost


class CArrayExporter:
    """See `fmnist_edge.export.exporter.SourceExporter`."""

    format = "c-array"
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers", MICRO)
    contains = "tflite"

    def convert(
        self,
        model: Any,
        precision: Precision,
        batch: int | None,
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        if batch != 1:
            raise ExportError(
                f"a c-array takes one image a call, {batch or 'a dynamic batch'} asked; export with --batch 1"
            )
        same = next(item for item in PRECISIONS if (item.format, item.name) == (self.contains, precision.name))
        return resolve("format", EXPORTERS, self.contains).convert(model, same, batch, calibration, keep_float)

    def census(self, content: bytes) -> Census:
        return resolve("format", EXPORTERS, self.contains).census(content)

    def sources(self, content: bytes, manifest: Manifest, image: np.ndarray) -> Sources:
        name = manifest.require_model().name
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            try:
                with translated(f"running {name} in TensorFlow Lite Micro"):
                    model = measured(file.name, content, manifest, image)
            except ArtifactError as error:
                said = str(error).removeprefix(f"{file.name}: ")
                raise ExportError(
                    f"{name} cannot be a c-array: {said}; replace what TensorFlow Lite Micro has not, or export tflite "
                    "int8 for a device with LiteRT"
                ) from None
        return Sources(model.files(), {"arena_bytes": model.arena_size, "ops": list(model.ops)})


def measured(path: str, content: bytes, manifest: Manifest, image: np.ndarray) -> CModel:
    """Run `image`, uint8 or float32, in TensorFlow Lite Micro: once for its arena, once more in no larger one.

    Raises ArtifactError when the library refuses the file, ExportError when the arena is too small after all.
    """
    engine_class = resolve("engine", ENGINES, MICRO)
    engine = engine_class(path)
    contract = manifest.contract
    batch = engine.input.quantize(contract.preprocessing.apply(image, contract.input_shape))
    answer = engine.run(batch)
    size = -(-(engine.arena["total"] + ALIGNMENT) // STEP) * STEP
    confined = type("ConfinedEngine", (engine_class,), {"arena_size": size})(path)
    same = np.array_equal(confined.run(batch), answer)
    engine.close()
    confined.close()
    if not same:
        raise ExportError(f"{engine.version} answers otherwise in an arena of {size:,} bytes; please report it")
    return CModel(
        name=identifier(manifest.require_model().name),
        content=content,
        sha256=manifest.sha256,
        arena_size=size,
        measured_by=engine.version,
        ops=tuple(manifest.op_census),
        input=engine.input,
        output=engine.output,
        contract=contract,
        golden_input=batch,
        golden_output=answer,
    )


EXPORTER = CArrayExporter()
