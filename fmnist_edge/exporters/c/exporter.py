"""Export C99 sources: the integer-only `.tflite` file, computed without an interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fmnist_edge.exporters.c.make import checked_model
from fmnist_edge.exporters.exporter import Sources
from fmnist_edge.exporters.tflite_sources import TFLiteSourcesExporter
from fmnist_edge.runtime.folder import sha256_of_files
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["EXPORTER"]


class CExporter(TFLiteSourcesExporter):
    title = "C"
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers")

    def sources(
        self, content: bytes, manifest: Manifest, image: np.ndarray, golden_files: Sequence[Path] = ()
    ) -> Sources:
        made = checked_model(content, manifest, image, self.title)
        files = made.files()
        facts = {
            "sha256": sha256_of_files({name: text.encode() for name, text in files.items()}),
            "tflite_sha256": made.sha256,
            "size_bytes": made.constant_bytes,
            "arena_bytes": made.board_arena_bytes,
            "ops": sorted(manifest.op_census),
        }
        return Sources(files, facts)


EXPORTER = CExporter()
