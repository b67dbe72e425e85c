"""Shared by the engines that run `.onnx` files on a GPU: the two tensors of a session, placement of its ops."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from fmnist_edge.errors import UnavailableError
from fmnist_edge.runtime.engine import TensorSpec, single
from fmnist_edge.runtime.engines.onnx_session import all_specs

if TYPE_CHECKING:
    import onnxruntime

__all__ = ["ASSIGNMENT", "ops_by_provider", "specs"]

ASSIGNMENT = "session.record_ep_graph_assignment_info"  # session option; `ops_by_provider` needs "1"


def specs(session: onnxruntime.InferenceSession, path: str) -> tuple[TensorSpec, TensorSpec]:
    """(input, output). Raises ArtifactError unless there is exactly one of each."""
    inputs, outputs = all_specs(session, path)
    return single(list(inputs), "input", path), single(list(outputs), "output", path)


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
