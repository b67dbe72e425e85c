"""Export C++ sources for TensorFlow Lite Micro: an integer-only `.tflite` file as an array, and a header for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.c_source import CModel, identifier
from fmnist_edge.exporters.exporter import Sources, export_errors
from fmnist_edge.exporters.tflite_sources import TFLiteSourcesExporter, check_takes_pixels
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import temporary_file, temporary_folder, write_temporary

__all__ = ["EXPORTER"]

MICRO_ENGINE = "tflite-micro"
ARENA_STEP = 1024  # bytes; the arena size is rounded up to a multiple of this
ARENA_ALIGNMENT = 16  # bytes; aligning the arena itself may cost this much of it
ARENA_TRIES = 6  # each with twice as much more than was measured: up to 32 kB more
TASK = "fmnist_edge.exporters.c_array:output_within"


class CArrayExporter(TFLiteSourcesExporter):
    title = "a c-array"
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers", MICRO_ENGINE)

    def sources(
        self, content: bytes, manifest: Manifest, image: np.ndarray, golden_files: Sequence[Path] = ()
    ) -> Sources:
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
    """Run `image`, uint8 or float32, in TensorFlow Lite Micro: to measure the arena, then within about that size.

    Raises ArtifactError when the library refuses the file, ExportError when the output changes in the measured arena.
    """
    engine = ENGINES[MICRO_ENGINE].load(path)
    contract = manifest.contract
    batch = engine.input.quantize(contract.preprocessing.apply(image, contract.input_shape))
    output = engine.run(batch)
    measured = -(-((engine.arena or {})["total"] + ARENA_ALIGNMENT) // ARENA_STEP) * ARENA_STEP
    size = arena_for(path, measured, batch, output, engine.version)
    engine.close()
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


def arena_for(path: str, measured: int, batch: np.ndarray, output: np.ndarray, version: str) -> int:
    """The arena size, in bytes, from `measured` on, within which the model loads and gives `output` for `batch`.

    While the library plans the memory, it needs some that it gives back, and does not count it. With many tensors that
    is more than what is free. It ends the process where an arena is too small, so each size is tried in a child.

    Raises ExportError for another output, and when no size is enough.
    """
    with temporary_folder("arena") as folder:
        for name, array in (("input", batch), ("output", output)):
            write_temporary(folder / f"{name}.npy", partial(np.save, arr=array))
        for size in (measured, *(measured + (ARENA_STEP << more) for more in range(ARENA_TRIES))):
            end = call(TASK, {"model": path, "arrays": str(folder), "arena_size": size})
            if end.status is Status.DONE and not end.value:
                raise ExportError(f"{version} gives another output in an arena of {size:,} bytes; please report it")
            if end.status is Status.DONE:
                return size
            if end.status is Status.NOT_STARTED:
                raise ExportError(f"measuring the arena needs a child process: {end.reason}")
    raise ExportError(f"{version} cannot run it in an arena of {size:,} bytes ({end.reason}); please report it")


def output_within(request: JsonObject, progress: Callable[[JsonObject], None]) -> bool:
    """In a child: whether the model gives the expected output within an arena of `arena_size` bytes."""
    folder = Path(request["arrays"])
    limited = replace(ENGINES[MICRO_ENGINE], settings={"arena_size": request["arena_size"]}).load(request["model"])
    same = np.array_equal(limited.run(np.load(folder / "input.npy")), np.load(folder / "output.npy"))
    limited.close()
    return bool(same)


EXPORTER = CArrayExporter()
