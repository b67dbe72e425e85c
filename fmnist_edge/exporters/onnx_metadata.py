"""Add a named text to the `metadata_props` of an ONNX file."""

from __future__ import annotations

from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.exporter import export_errors

__all__ = ["embed"]


def embed(content: bytes, name: str, text: str) -> bytes:
    """Add `text` under `name`; raises ExportError if the file has that name already."""
    with export_errors("writing the contract into the ONNX file"):
        import onnx

        model = onnx.load_from_string(content)
        if any(entry.key == name for entry in model.metadata_props):
            raise ExportError(f"the contract cannot go into the ONNX file (it has a {name!r} already)")
        model.metadata_props.add(key=name, value=text)
        return model.SerializeToString(deterministic=True)
