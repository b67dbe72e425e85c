"""Shared by the engines for `.onnx` files: import of ONNX Runtime, tensors of a session."""

from __future__ import annotations

import re
from types import ModuleType
from typing import TYPE_CHECKING

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.interface import KEY, Scaling, read_interface
from fmnist_edge.worker import telemetry

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["SILENT", "all_specs", "import_onnxruntime", "reason"]

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
}
SILENT = 4  # log severity: fatal only; our own error reports a refused file

# What stands before the reason: "[ONNXRuntimeError] : 1 : FAIL : ", the file's path, a place in the library's sources
# with the signature of a function. A signature ends at the first ") ".
STATUS = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ")
LOADING = re.compile(r"^Load model from .*? failed:")
PLACE = re.compile(r"^\S+\.(?:cc|h):\d+ .*?\) (?:const )?")
TOO_NEW_OPSET = re.compile(r"Opset (\d+) is under development.*? is till opset (\d+)")
TOO_NEW_IR = re.compile(r"Unsupported model IR version: (\d+), max supported IR version: (\d+)")


def reason(error: Exception, version: str, limit: int = 160) -> str:
    """The reason in a message of ONNX Runtime, in one line; what to do about it where that is known.

    Args:
        version: package and release, such as "onnxruntime 1.16.3".
    """
    text = " ".join(str(error).split())
    for before in (STATUS, LOADING, PLACE):
        text = before.sub("", text)
    for what, found in (("opset", TOO_NEW_OPSET.search(text)), ("IR version", TOO_NEW_IR.search(text))):
        if found:
            return (
                f"the file has {what} {found[1]}, and {version} knows {found[2]} at most; upgrade it, or export the "
                f"model again with --oldest onnxruntime-{release_of(version)}"
            )
    return one_line(ValueError(text or type(error).__name__), limit)


def release_of(version: str) -> str:
    """
    >>> release_of("onnxruntime 1.16.3 for CUDA")
    '1.16'
    """
    return ".".join(version.split()[1].strip(",").split(".")[:2])


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry. Raises ModuleNotFoundError when it is not installed."""
    telemetry.turn_off()
    import onnxruntime

    return onnxruntime


def all_specs(
    session: onnxruntime.InferenceSession, path: str
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """(inputs, outputs). Raises ArtifactError for types that no model of ours has, and for a file without either."""
    scalings = read_interface(session.get_modelmeta().custom_metadata_map.get(KEY), path)
    inputs = tuple(spec(item, path, scalings.get("input")) for item in session.get_inputs())
    outputs = tuple(spec(item, path, scalings.get("output")) for item in session.get_outputs())
    if not inputs or not outputs:
        raise ArtifactError(f"{path}: the model has {len(inputs)} inputs and {len(outputs)} outputs; expected some")
    return inputs, outputs


def spec(item: onnxruntime.NodeArg, path: str, scaling: Scaling | None) -> TensorSpec:
    """A session's NodeArg as a TensorSpec. An axis with a name is open. `scaling`: of an integer tensor."""
    if item.type not in DTYPES:
        raise ArtifactError(f"{path}: {item.name!r} is {item.type}; expected one of {', '.join(DTYPES)}")
    shape = tuple(size if isinstance(size, int) else None for size in item.shape)
    quantized = scaling if "int" in DTYPES[item.type] else None
    return TensorSpec(item.name, shape, DTYPES[item.type], *(quantized or (None, None)))
