"""MNN, by the converter in its own package, which reads ONNX."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import uuid
from typing import Any

import numpy as np

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.export.exporter import Census, Exporter, translated
from fmnist_edge.export.via_onnx import ONNX_PACKAGES, convert_in_child, float32_onnx
from fmnist_edge.runtime.engines.native_output import captured_output
from fmnist_edge.worker.temporary import temporary_file, temporary_folder

__all__ = ["EXPORTER"]

# Not `MNN.tools.mnnconvert`, which reports each conversion to a server.
PROGRAM = "import sys, _tools; sys.exit(not _tools.mnnconvert(sys.argv))"
WEIGHTS = {"float32": (), "float16": ("--fp16",), "int8": ("--weightQuantBits", "8")}
UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class MNNExporter(Exporter):
    packages = (*ONNX_PACKAGES, "MNN")

    def convert(
        self,
        model: Any,
        precision: Precision,
        batch: int | None,
        calibration: np.ndarray | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with translated(f"MNN {precision.name} conversion"):
            if batch is None:  # MNN tells no open axis from a fixed one
                raise ExportError("a .mnn file has a fixed batch, a dynamic one asked; export with --batch 1")
            require()
            return from_onnx(float32_onnx(model, batch), precision.weights)

    def census(self, content: bytes) -> Census:
        """The ops that MNN runs: its own reader is the only one there is of the file."""
        with translated("reading the MNN file"), captured_output(), temporary_file("model.mnn", content) as path:
            import MNN

            interpreter = MNN.Interpreter(str(path))
            session = interpreter.createSession({"backend": "CPU"})
            ops: list[tuple[str, str, bool]] = []

            def after(tensors: Any, op: Any) -> bool:
                ops.append((op.getType(), op.getName(), True))
                return True

            interpreter.runSessionWithCallBackInfo(session, lambda tensors, op: True, after)
            return Census.of(ops)


def from_onnx(content: bytes, weights: str) -> bytes:
    """A `.mnn` file from a float32 ONNX file of fixed batch; what computes shapes is folded away."""
    command = [sys.executable, "-c", PROGRAM, "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn"]
    with temporary_folder("mnn") as folder:
        (folder / "model.onnx").write_bytes(content)
        made = convert_in_child(
            [*command, "--bizCode", "fmnist-edge", "--saveStaticModel", *WEIGHTS[weights]], folder, "model.mnn"
        )
    return named_by_content(made)


def require() -> None:
    for module in ("MNN", "_tools"):
        if importlib.util.find_spec(module) is None:
            raise UnavailableError("MNN is not installed; run: pip install MNN")


def named_by_content(content: bytes) -> bytes:
    """The file with a UUID that follows from the rest of it; the converter's is random."""
    found = UUID.findall(content)
    if len(found) != 1:
        raise ExportError(f"MNN's converter wrote {len(found)} UUIDs into the file; expected 1")
    rest = content.replace(found[0], bytes(36))
    name = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(rest).hexdigest())
    return content.replace(found[0], str(name).encode())


EXPORTER = MNNExporter()
