"""Split exported files into named sections, and list the sections in which two files differ."""

from __future__ import annotations

import io
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fmnist_edge.exporters.exporter import export_errors

__all__ = ["differences", "sections_of"]

Parts = dict[str, bytes]  # e.g. "shape", "data" -> its content
Sections = dict[str, Parts]  # "tensor dense/kernel" -> its parts


def differences(before: bytes, after: bytes, format: str) -> list[str]:
    """One line on the bytes and one for each section that differs; an empty list for equal files.

    Raises ExportError when either is not a file of that format.
    """
    if before == after:
        return []
    ours, theirs = sections_of(before, format), sections_of(after, format)
    lines = [f"file: {bytes_line(before, after)}"]
    lines += [f"{name}: not in the new one" for name in ours if name not in theirs]
    lines += [f"{name}: in the new one alone" for name in theirs if name not in ours]
    for name in ours:
        if name in theirs and ours[name] != theirs[name]:
            lines.append(f"{name}: {parts_line(ours[name], theirs[name])}")
    if list(ours) != list(theirs) and set(ours) == set(theirs):
        lines.append("order of the sections")
    return lines


def parts_line(before: Parts, after: Parts) -> str:
    pairs = ((name, before.get(name, b""), after.get(name, b"")) for name in dict.fromkeys([*before, *after]))
    return "; ".join(f"{name} ({bytes_line(old, new)})" for name, old, new in pairs if old != new)


def bytes_line(before: bytes, after: bytes) -> str:
    """
    >>> bytes_line(b"abc", b"abd"), bytes_line(b"abc", b"ab")
    ('1 of 3 bytes, the first at 2', '3 bytes, now 2')
    """
    if len(before) != len(after):
        return f"{len(before):,} bytes, now {len(after):,}"
    changed = np.flatnonzero(np.frombuffer(before, np.uint8) != np.frombuffer(after, np.uint8))
    return f"{len(changed):,} of {len(before):,} bytes, the first at {changed[0]:,}"


def sections_of(content: bytes, format: str) -> Sections:
    """The sections of a file in the file's order; empty for a format without a reader here.

    Raises ExportError for a damaged file.
    """
    reader = READERS.get(format)
    if reader is None:
        return {}
    found: Sections = {}
    seen: Counter[str] = Counter()
    with export_errors(f"reading the {format} file"):
        for name, parts in reader(content):
            seen[name] += 1
            found[f"{name} #{seen[name]}" if seen[name] > 1 else name] = parts
    return found


def tflite_sections(content: bytes) -> Iterator[tuple[str, Parts]]:
    from fmnist_edge.exporters.flatbuffer import unpack

    model = unpack(content)
    buffers = [bytes(b"" if buffer.data is None else buffer.data) for buffer in model.buffers]
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            parts = {"shape": text(tensor.shape), "type": text(tensor.type), "data": buffers[tensor.buffer]}
            yield f"tensor {tensor.name.decode()}", parts | fields(tensor.quantization)
        for number, op in enumerate(graph.operators):
            yield f"op {number}", fields(op) | fields(op.builtinOptions) | {"kind": op_code(model, op)}
    for entry in model.metadata or ():
        yield f"metadata {entry.name.decode()}", {"data": buffers[entry.buffer]}


def op_code(model: Any, op: Any) -> bytes:
    return b" ".join(fields(model.operatorCodes[op.opcodeIndex]).values())


def fields(table: object) -> Parts:
    """The fields of a flatbuffer table, without its `builtinOptions`, which are read separately."""
    plain = {name: value for name, value in vars(table).items() if name != "builtinOptions"} if table else {}
    return {name: text(value) for name, value in plain.items()}


def text(value: object) -> bytes:
    """A number, string, list or array as text; equal values give equal texts."""
    return repr(value.tolist() if hasattr(value, "tolist") else value).encode()


def onnx_sections(content: bytes) -> Iterator[tuple[str, Parts]]:
    import onnx

    model = onnx.load_from_string(content)
    for tensor in model.graph.initializer:
        yield (
            f"tensor {tensor.name}",
            {
                "shape": text(list(tensor.dims)),
                "type": text(tensor.data_type),
                "data": onnx.numpy_helper.to_array(tensor).tobytes(),
            },
        )
    for node in model.graph.node:
        yield f"op {node.op_type} {node.name}", {"node": node.SerializeToString(deterministic=True)}
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        yield f"value {value.name}", {"type": value.SerializeToString(deterministic=True)}
    for entry in model.metadata_props:
        yield f"metadata {entry.key}", {"data": entry.value.encode()}
    producer = (model.ir_version, model.producer_name, model.producer_version, model.graph.name)
    opsets = [(item.domain, item.version) for item in model.opset_import]
    yield "header", {"producer": text(producer), "opsets": text(opsets)}


def archive_sections(content: bytes) -> Iterator[tuple[str, Parts]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            yield f"member {name}", {"data": archive.read(name)}


READERS: dict[str, Callable[[bytes], Iterator[tuple[str, Parts]]]] = {
    "tflite": tflite_sections,
    "onnx": onnx_sections,
    "keras": archive_sections,
    "ncnn": archive_sections,
}
