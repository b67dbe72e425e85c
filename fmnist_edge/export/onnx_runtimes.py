"""The oldest ONNX Runtime that runs a file, by the file's IR version and opset."""

from __future__ import annotations

from typing import NamedTuple

from fmnist_edge.export.exporter import export_errors
from fmnist_edge.export.onnx_names import STANDARD_DOMAINS

__all__ = ["RELEASES", "Release", "runs_in"]


class Release(NamedTuple):
    """What a release of ONNX Runtime implements: all IR versions and opsets up to these."""

    version: str
    opset: int
    ir_version: int


# https://onnxruntime.ai/docs/reference/compatibility.html, "ONNX opset support", oldest first. Releases that implement
# the same as the one before them are left out. Later releases run what earlier ones do.
RELEASES = (
    Release("0.1", 8, 3),
    Release("0.3", 9, 3),
    Release("0.4", 10, 5),
    Release("1.0", 11, 6),
    Release("1.3", 12, 7),
    Release("1.6", 13, 7),
    Release("1.8", 14, 7),
    Release("1.9", 15, 8),
    Release("1.11", 16, 8),
    Release("1.12", 17, 8),
    Release("1.14", 18, 8),
    Release("1.15", 19, 8),
    Release("1.16", 19, 9),
    Release("1.17", 20, 9),
    Release("1.18", 21, 10),
)


def runs_in(content: bytes) -> str | None:
    """The oldest release of ONNX Runtime ("1.12") whose IR version and opset an ONNX file needs.

    None for a file that needs more than any release in the table, or ops of another domain than ONNX's: their versions
    are not those of the table. Raises ExportError when `content` is not an ONNX file.
    """
    with export_errors("reading the ONNX file"):
        import onnx

        model = onnx.load_from_string(content)
        opset = max((item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS), default=1)
    domains = {node.domain for node in model.graph.node} | {node.domain for node in model.functions}
    if domains.difference(STANDARD_DOMAINS):
        return None
    fits = (item.version for item in RELEASES if item.opset >= opset and item.ir_version >= model.ir_version)
    return next(fits, None)
