"""A named text in an ONNX file's `metadata_props`."""

from __future__ import annotations

from fmnist_edge.errors import ExportError
from fmnist_edge.export.exporter import translated

__all__ = ["embed"]


def embed(content: bytes, name: str, text: str) -> bytes:
    """`content` with `text` under `name`; raises ExportError when the name is taken."""
    with translated("writing the contract into the ONNX file"):
        import onnx

        model = onnx.load_from_string(content)
        if any(entry.key == name for entry in model.metadata_props):
            raise ExportError(f"the contract cannot go into the ONNX file (it has a {name!r} already)")
        model.metadata_props.add(key=name, value=text)
        return model.SerializeToString(deterministic=True)
