"""Shared by the engines for `.onnx` files: import of ONNX Runtime, tensors of a session, placement of its ops."""

from __future__ import annotations

from collections import Counter
from types import ModuleType
from typing import TYPE_CHECKING

from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.runtime.engine import TensorSpec, single
from fmnist_edge.worker import telemetry

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["ASSIGNMENT", "SILENT", "import_onnxruntime", "ops_by_provider", "specs"]

DTYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(uint8)": "uint8",
    "tensor(int8)": "int8",
}
SILENT = 4  # log severity: fatal only; our own error reports a refused file
ASSIGNMENT = "session.record_ep_graph_assignment_info"  # session option; `ops_by_provider` needs "1"


def import_onnxruntime() -> ModuleType:
    """Import ONNX Runtime without its telemetry. Raises ModuleNotFoundError when it is not installed."""
    telemetry.turn_off()
    import onnxruntime

    return onnxruntime


def specs(session: onnxruntime.InferenceSession, path: str) -> tuple[TensorSpec, TensorSpec]:
    """(input, output). Raises ArtifactError unless there is exactly one of each."""
    inputs, outputs = session.get_inputs(), session.get_outputs()
    return (
        single([spec(item, path) for item in inputs], "input", path),
        single([spec(item, path) for item in outputs], "output", path),
    )


def spec(item: onnxruntime.NodeArg, path: str) -> TensorSpec:
    """A session's NodeArg as a TensorSpec. An axis with a name is open."""
    if item.type not in DTYPES:
        raise ArtifactError(f"{path}: {item.name!r} is {item.type}; expected one of {', '.join(DTYPES)}")
    return TensorSpec(
        item.name, tuple(size if isinstance(size, int) else None for size in item.shape), DTYPES[item.type]
    )


def ops_by_provider(session: onnxruntime.InferenceSession) -> dict[str, Counter[str]]:
    """Execution provider -> op type -> number of nodes that it runs. The session needs the option ASSIGNMENT.

    `get_providers` lists the providers that a session may use; this lists those that it does use.

    Raises UnavailableError when ONNX Runtime is too old to tell.
    """
    found: dict[str, Counter[str]] = {}
    if not hasattr(session, "get_provider_graph_assignment_info"):
        raise UnavailableError("this ONNX Runtime does not tell which device runs which op; upgrade onnxruntime")
    for part in session.get_provider_graph_assignment_info():
        found.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return found
