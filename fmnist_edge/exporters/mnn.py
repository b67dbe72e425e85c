"""Export to MNN with the converter in MNN's package, which reads ONNX."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import sys
import uuid
from typing import TYPE_CHECKING, Any

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.exporters.exporter import Census, Exporter, export_errors
from fmnist_edge.exporters.several import Samples
from fmnist_edge.exporters.via_onnx import ONNX_PACKAGES, convert_in_child, float32_onnx
from fmnist_edge.runtime.engines.native_output import captured_output
from fmnist_edge.worker.temporary import temporary_file, temporary_folder

if TYPE_CHECKING:
    import keras

__all__ = ["EXPORTER"]

# Not `MNN.tools.mnnconvert`, which reports each conversion to a server.
PROGRAM = "import sys, _tools; sys.exit(not _tools.mnnconvert(sys.argv))"
WEIGHTS = {"float32": (), "float16": ("--fp16",), "int8": ("--weightQuantBits", "8")}
UUID = re.compile(rb"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")


class MNNExporter(Exporter):
    packages = (*ONNX_PACKAGES, "MNN")

    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with export_errors(f"MNN {precision.name} conversion"):
            if batch is None:  # MNN treats an open axis as a fixed one
                raise ExportError("a .mnn file has a fixed batch; got a dynamic one; export with --batch 1")
            require_mnn()
            return from_onnx(float32_onnx(model, batch), precision.weights)

    def census(self, content: bytes) -> Census:
        """The ops that MNN runs. Only MNN itself can read the file."""
        with export_errors("reading the MNN file"), captured_output(), temporary_file("model.mnn", content) as path:
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
    """Convert a float32 ONNX file with a fixed batch to `.mnn`; ops that compute shapes are folded away."""
    command = [sys.executable, "-c", PROGRAM, "-f", "ONNX", "--modelFile", "model.onnx", "--MNNModel", "model.mnn"]
    with temporary_folder("mnn") as folder:
        (folder / "model.onnx").write_bytes(content)
        converted = convert_in_child(
            [*command, "--bizCode", "fmnist-edge", "--saveStaticModel", *WEIGHTS[weights]], folder, "model.mnn"
        )
    return with_content_uuid(converted)


def require_mnn() -> None:
    for module in ("MNN", "_tools"):
        if importlib.util.find_spec(module) is None:
            raise UnavailableError("MNN is not installed; run: pip install MNN")


def with_content_uuid(content: bytes) -> bytes:
    """Replace the converter's random UUID by one that depends on the rest of the file, so that its bytes repeat."""
    found = UUID.findall(content)
    if len(found) != 1:
        raise ExportError(f"MNN's converter wrote {len(found)} UUIDs into the file; expected 1")
    rest = content.replace(found[0], bytes(36))
    name = uuid.uuid5(uuid.NAMESPACE_OID, hashlib.sha256(rest).hexdigest())
    return content.replace(found[0], str(name).encode())


EXPORTER = MNNExporter()
