"""C++ sources for TensorFlow Lite Micro: the integer-only `.tflite` file as an array, with what firmware needs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision, get_precision
from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.export.c_source import CModel, identifier
from fmnist_edge.export.exporter import Census, Exporter, Sources, translated
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import temporary_file

__all__ = ["EXPORTER"]

MICRO = "tflite-micro"
INSIDE = "tflite"
STEP = 1024  # the arena is rounded up to a multiple
ALIGNMENT = 16  # bytes of the arena that its own alignment may cost


class CArrayExporter(Exporter):
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers", MICRO)

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
        same = get_precision(INSIDE, precision.name)
        return FORMATS[INSIDE].exporter().convert(model, same, batch, calibration, keep_float)

    def census(self, content: bytes) -> Census:
        return FORMATS[INSIDE].exporter().census(content)

    def sources(self, content: bytes, manifest: Manifest, image: np.ndarray) -> Sources:
        name = manifest.require_model().name
        with temporary_file("model.tflite", content) as path:
            try:
                with translated(f"running {name} in TensorFlow Lite Micro"):
                    model = measured(str(path), content, manifest, image)
            except ArtifactError as error:
                said = str(error).removeprefix(f"{path}: ")
                raise ExportError(
                    f"{name} cannot be a c-array: {said}; replace what TensorFlow Lite Micro has not, or export tflite "
                    "int8 for a device with LiteRT"
                ) from None
        return Sources(model.files(), {"arena_bytes": model.arena_size, "ops": list(model.ops)})


def measured(path: str, content: bytes, manifest: Manifest, image: np.ndarray) -> CModel:
    """Run `image`, uint8 or float32, in TensorFlow Lite Micro: once for its arena, once more in no larger one.

    Raises ArtifactError when the library refuses the file, ExportError when the arena is too small after all.
    """
    engine = ENGINES[MICRO].load(path)
    contract = manifest.contract
    batch = engine.input.quantize(contract.preprocessing.apply(image, contract.input_shape))
    answer = engine.run(batch)
    size = -(-((engine.arena or {})["total"] + ALIGNMENT) // STEP) * STEP
    confined = replace(ENGINES[MICRO], settings={"arena_size": size}).load(path)
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
