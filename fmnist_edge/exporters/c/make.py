"""Make a C model of a `.tflite` file."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.c.graph import KINDS, read_graph
from fmnist_edge.exporters.c.memory import plan
from fmnist_edge.exporters.c.source import CModel, c_name
from fmnist_edge.exporters.c.steps import program_of
from fmnist_edge.exporters.c.tables import with_tables
from fmnist_edge.exporters.c.window_sums import with_window_sums
from fmnist_edge.exporters.tflite_sources import EXPORTED_FROM, check_finite, check_takes_pixels
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.flatbuffer import RefusedError
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import temporary_file

__all__ = ["ORACLE", "c_model", "checked_model"]

ORACLE = "numpy"
MOST_GOLDEN = 4  # images in golden.c


def checked_model(content: bytes, manifest: Manifest, image: np.ndarray, title: str) -> CModel:
    """The C model of an export; `title`: the format, as the subject of a sentence.

    Raises ExportError, which says what to do instead, for a model that C cannot compute.
    """
    check_takes_pixels(manifest.contract, title)
    check_finite(manifest.contract.preprocessing, title)
    model = manifest.require_model().name
    instead = instead_of(manifest)
    missing = [kind for kind in manifest.op_census if kind not in KINDS]
    if missing:
        raise ExportError(
            f"{model} cannot be exported as {title}: there is no C kernel for {', '.join(missing)}; replace them, "
            f"or {instead}"
        )
    golden = manifest.golden_vectors()
    images = image[None] if golden is None else golden.images[:MOST_GOLDEN]
    try:
        made = c_model(content, c_name(model), manifest.contract, images)
    except (RefusedError, ArtifactError) as reason:
        raise ExportError(
            f"{model} cannot be exported as {title}: {reason}; replace that layer, or {instead}"
        ) from None
    source = manifest.document.get(EXPORTED_FROM)
    return replace(made, sha256=source["sha256"]) if isinstance(source, dict) else made


def instead_of(manifest: Manifest) -> str:
    """What to do with a model that C cannot compute."""
    if EXPORTED_FROM in manifest:
        return "run the .tflite file with LiteRT or TensorFlow Lite Micro"
    return "export tflite int8_only for a device with LiteRT or TensorFlow Lite Micro"


def c_model(content: bytes, name: str, contract: Contract, images: np.ndarray) -> CModel:
    """Everything for the C files of a `.tflite` file; the numpy engine's answers for `images` are in golden.c.

    Raises RefusedError for a file that C code cannot compute, ArtifactError for one that the numpy engine refuses.
    """
    graph = with_window_sums(with_tables(read_graph(content)))
    program = program_of(graph, plan(graph), name)
    with temporary_file("model.tflite", content) as path:
        engine = ENGINES[ORACLE].load(path)
        inputs = engine.input.quantize(contract.preprocessing.apply(images, contract.input_shape))
        outputs = engine.run(inputs)
    return CModel(
        program=program,
        sha256=hashlib.sha256(content).hexdigest(),
        input=engine.input,
        output=engine.output,
        contract=contract,
        pixels=engine.input.quantize(contract.preprocessing.levels()).T,
        golden_inputs=inputs,
        golden_outputs=outputs,
    )
