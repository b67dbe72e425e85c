"""Export C++ sources for TensorFlow Lite Micro: an integer-only `.tflite` file as an array, and a header for it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.c_source import CModel, identifier
from fmnist_edge.exporters.exporter import Sources, export_errors
from fmnist_edge.exporters.tflite_sources import TFLiteSourcesExporter, check_takes_pixels
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import temporary_file

__all__ = ["EXPORTER"]

MICRO_ENGINE = "tflite-micro"
ARENA_STEP = 1024  # bytes; the arena size is rounded up to a multiple of this
ARENA_ALIGNMENT = 16  # bytes; aligning the arena itself may cost this much of it


class CArrayExporter(TFLiteSourcesExporter):
    title = "a c-array"
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers", MICRO_ENGINE)

    def sources(self, content: bytes, manifest: Manifest, image: np.ndarray) -> Sources:
        check_takes_pixels(manifest.contract, self.title)
        name = manifest.require_model().name
        with temporary_file("model.tflite", content) as path:
            try:
                with export_errors(f"running {name} in TensorFlow Lite Micro"):
                    model = build_c_model(str(path), content, manifest, image)
            except ArtifactError as error:
                reason = str(error).removeprefix(f"{path}: ")
                raise ExportError(
                    f"{name} cannot be exported as c-array: {reason}; replace the ops that TensorFlow Lite Micro does "
                    "not have, or export tflite int8 for a device with LiteRT"
                ) from None
        return Sources(model.files(), {"arena_bytes": model.arena_size, "ops": list(model.ops)})


def build_c_model(path: str, content: bytes, manifest: Manifest, image: np.ndarray) -> CModel:
    """Run `image`, uint8 or float32, in TensorFlow Lite Micro twice: to measure the arena, then within that size.

    Raises ArtifactError when the library refuses the file, ExportError when the output changes in the measured arena.
    """
    engine = ENGINES[MICRO_ENGINE].load(path)
    contract = manifest.contract
    batch = engine.input.quantize(contract.preprocessing.apply(image, contract.input_shape))
    output = engine.run(batch)
    size = -(-((engine.arena or {})["total"] + ARENA_ALIGNMENT) // ARENA_STEP) * ARENA_STEP
    limited = replace(ENGINES[MICRO_ENGINE], settings={"arena_size": size}).load(path)
    same = np.array_equal(limited.run(batch), output)
    engine.close()
    limited.close()
    if not same:
        raise ExportError(f"{engine.version} gives another output in an arena of {size:,} bytes; please report it")
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
        golden_output=output,
    )


EXPORTER = CArrayExporter()
