"""Which releases of ONNX Runtime run a file, by its IR version and opset."""

from __future__ import annotations

from collections.abc import Callable

from fmnist_edge.catalog.runtimes import Runtime
from fmnist_edge.exporters.exporter import export_errors
from fmnist_edge.exporters.onnx_names import STANDARD_DOMAINS, all_nodes

__all__ = ["obstacles_in"]


def obstacles_in(content: bytes) -> Callable[[Runtime], list[str]]:
    """A function that lists what a runtime lacks for this file; an empty list for one that runs it.

    Ops of another domain than ONNX's have versions of their own, so no release is known to run them. Raises ExportError
    when `content` is not an ONNX file.
    """
    with export_errors("reading the ONNX file"):
        import onnx

        model = onnx.load_from_string(content)
        opset = max((item.version for item in model.opset_import if item.domain in STANDARD_DOMAINS), default=1)
    domains = {node.domain for node in all_nodes(model.graph)} | {node.domain for node in model.functions}
    foreign = [f"ops of domain {domain}" for domain in sorted(domains.difference(STANDARD_DOMAINS))]

    def obstacles(runtime: Runtime) -> list[str]:
        missing = [f"opset {opset}"] if opset > runtime.opset else []
        return missing + ([f"IR version {model.ir_version}"] if model.ir_version > runtime.ir_version else []) + foreign

    return obstacles
