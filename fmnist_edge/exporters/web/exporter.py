"""Export a folder for browsers: the integer-only `.tflite` file as WebAssembly, an ES module and a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.exporters.c.image import takes_any_size
from fmnist_edge.exporters.c.make import ORACLE, checked_model
from fmnist_edge.exporters.c.source import CModel
from fmnist_edge.exporters.exporter import Sources
from fmnist_edge.exporters.tflite_sources import TFLiteSourcesExporter
from fmnist_edge.exporters.web.compiler import find_compiler
from fmnist_edge.exporters.web.files import page_files
from fmnist_edge.exporters.web.module import modules
from fmnist_edge.exporters.web.photos import golden_photos
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.folder import sha256_of_files
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.tasks import CLASSIFICATION
from fmnist_edge.worker.temporary import temporary_file, temporary_folder

__all__ = ["EXPORTER"]

RUNNER = "web"  # the engine


class WebExporter(TFLiteSourcesExporter):
    title = "web"
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers", "pillow")

    def sources(
        self, content: bytes, manifest: Manifest, image: np.ndarray, golden_files: Sequence[Path] = ()
    ) -> Sources:
        compiler = find_compiler()
        contract = manifest.contract
        model = checked_model(content, manifest, image, self.title)
        if not takes_any_size(contract):
            raise ExportError(
                f"web takes greyscale and RGB images, and the model takes {contract.input_shape}; export c"
            )
        if contract.task == CLASSIFICATION and len(contract.labels) < 2:
            raise ExportError("web chooses among classes, and the model has one; export it with --task binary")
        golden = in_bytes(manifest.golden_vectors(), content, manifest)
        with temporary_file("model.tflite", content) as path:
            photos, section = golden_photos(path, golden.images, contract, ORACLE, golden_files)
        built = modules(model, compiler)
        check_module(built, model)
        files = {**{name: text.encode() for name, text in page_files().items()}, **built, **photos}
        facts = {
            "sha256": sha256_of_files(files),
            "tflite_sha256": model.sha256,
            "size_bytes": max(len(built[name]) for name in built if name.endswith(".wasm")) + len(built["weights.bin"]),
            "arena_bytes": model.wasm_arena_bytes,
            "ops": sorted(manifest.op_census),
            "compiler": compiler.version,
            "golden": golden.as_dict(),
            "photos": section,
        }
        return Sources(files, facts, carries_manifest=True)


def check_module(built: Mapping[str, bytes], model: CModel) -> None:
    """Raises ExportError when the module does not give the C model's golden outputs in Node: compilers have faults.

    Without Node nothing is checked here; the page does it at each load.
    """
    with temporary_folder("web") as folder:
        for name, content in built.items():
            (folder / name).write_bytes(content)
        try:
            engine = ENGINES[RUNNER].load(folder)
        except UnavailableError:
            return
        found = engine.run(model.golden_inputs)
        engine.close()
    if not np.array_equal(found, model.golden_outputs.reshape(found.shape)):
        raise ExportError("web: the module gives other scores than the model; use another compiler, and report it")


def in_bytes(golden: Golden | None, content: bytes, manifest: Manifest) -> Golden:
    """The golden vectors with images of bytes. Those of floats are rounded, and the oracle gives their scores."""
    if golden is None:
        raise ExportError("web needs golden vectors, and the manifest has none; please report it")
    if golden.images.dtype == np.uint8:
        return golden
    images = np.rint(golden.images * 255.0).clip(0, 255).astype(np.uint8)
    with (
        temporary_file("model.tflite", content) as path,
        Classifier(ENGINES[ORACLE].load(path), manifest.contract) as classifier,
    ):
        engine = f"{ORACLE} ({classifier.engine.version})"
        return replace(golden, images=images, scores=classifier.scores(images), engine=engine)


EXPORTER = WebExporter()
