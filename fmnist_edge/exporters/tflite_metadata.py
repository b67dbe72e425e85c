"""Add a named text or other content to a `.tflite` file's metadata without rewriting the rest of the file.

A flatbuffer's offsets are relative to their own position and only point forward. So a new root table is put in front of
the old file, with new versions of the two vectors that get longer. It refers to everything else in the old file, which
is shifted by a multiple of its alignment. Packing the file again would move the weights. Python's flatbuffer library
does not align them as kernels need.

Layout: https://flatbuffers.dev/internals/; field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs.
"""

from __future__ import annotations

import struct

from fmnist_edge.errors import ExportError
from fmnist_edge.runtime.embedded import BUFFERS, METADATA, MOST_BUFFERS, MOST_ENTRIES
from fmnist_edge.runtime.engines.tflite_file import IDENTIFIER
from fmnist_edge.runtime.flatbuffer import RefusedError, Table, root

__all__ = ["embed"]

FIELDS = 8  # of a Model: version, codes, graphs, description, buffers, metadata buffer, metadata, signatures
VERSION = 0  # the only field that is a number, not an offset
ALIGNMENT = 16  # bytes, of a buffer's content
# The root follows the root offset, the identifier and the root's vtable; the vector of buffers follows the root.
ROOT_AT, BUFFERS_AT = 28, 28 + 4 + 4 * FIELDS
# vtable and table of a Metadata and a Buffer. A vtable holds its size, the table's size and the positions of the
# fields; the Buffer's is padded to a multiple of four bytes.
ENTRY_VTABLE, ENTRY = struct.Struct("<4H"), struct.Struct("<iII")
BUFFER_VTABLE, BUFFER = struct.Struct("<3Hxx"), struct.Struct("<iI")


def embed(content: bytes, name: str, text: str | bytes) -> bytes:
    """Add `text`, in UTF-8 if it is a str, as the metadata entry `name`.

    Raises ExportError when the file has that entry already, or uses something that this function does not support.
    """
    try:
        return prepend_metadata(content, root(content), name.encode(), text.encode() if isinstance(text, str) else text)
    except RefusedError as reason:
        raise ExportError(f"{name} cannot go into the TFLite file ({reason})") from None


def prepend_metadata(content: bytes, model: Table, name: bytes, text: bytes) -> bytes:
    buffers, entries = model.tables(BUFFERS, MOST_BUFFERS), model.tables(METADATA, MOST_ENTRIES)
    check_layout(content, model, buffers, entries, name)
    entries_at = BUFFERS_AT + 4 * (len(buffers) + 2)
    entry = entries_at + 4 * (len(entries) + 2)
    buffer, block = metadata_block(entry, name, len(buffers), text)
    shift = entry + len(block)
    targets = {field: model.target(field) for field in range(1, FIELDS)}
    moved = {field: at + shift for field, at in targets.items() if at is not None}
    moved |= {BUFFERS: BUFFERS_AT, METADATA: entries_at}
    front = b"".join(
        (
            struct.pack("<I4s", ROOT_AT, IDENTIFIER),
            root_table(model.integer(VERSION, "uint32"), moved),
            vector(BUFFERS_AT, [*(item.position + shift for item in buffers), buffer]),
            vector(entries_at, [*(item.position + shift for item in entries), entry + ENTRY_VTABLE.size]),
            block,
        )
    )
    return front + content


def check_layout(content: bytes, model: Table, buffers: list[Table], entries: list[Table], name: bytes) -> None:
    unknown = [field for field in model.present() if field >= FIELDS]
    if content[4:8] != IDENTIFIER or unknown:
        raise RefusedError(f"it has unknown fields {unknown}" if unknown else "it has no 'TFL3' identifier")
    if any(entry.text(0) == name.decode() for entry in entries):
        raise RefusedError(f"it has a {name.decode()!r} already")
    if any(buffer.integer(1, "uint64") > 1 for buffer in buffers):
        raise RefusedError("it has weights after the end of the flatbuffer, at offsets from its start")


def root_table(version: int, targets: dict[int, int]) -> bytes:
    """The root's vtable and, at ROOT_AT, the root. Every field has a fixed place; the vtable omits absent fields."""
    present = {VERSION, *targets}
    slots = [4 + 4 * field if field in present else 0 for field in range(FIELDS)]
    vtable = struct.pack(f"<{2 + FIELDS}H", 4 + 2 * FIELDS, 4 + 4 * FIELDS, *slots)
    values = [targets[field] - (ROOT_AT + 4 + 4 * field) if field in targets else 0 for field in range(FIELDS)]
    values[VERSION] = version
    return vtable + struct.pack(f"<i{FIELDS}I", len(vtable), *values)


def vector(at: int, targets: list[int]) -> bytes:
    """A vector at position `at` of offsets to the positions `targets`."""
    offsets = (target - (at + 4 + 4 * index) for index, target in enumerate(targets))
    return struct.pack(f"<{1 + len(targets)}I", len(targets), *offsets)


def metadata_block(at: int, name: bytes, number: int, text: bytes) -> tuple[int, bytes]:
    """The new Metadata, its name, and the Buffer with the text, to be written at position `at`.

    Args:
        at: a multiple of four.
        number: the Buffer's index.

    Returns the Buffer's position, and the bytes, padded so that they end at a multiple of ALIGNMENT.
    """
    written = struct.pack("<I", len(name)) + name + b"\0"
    written += bytes(-len(written) % 4)
    buffer = at + ENTRY_VTABLE.size + ENTRY.size + len(written) + BUFFER_VTABLE.size
    behind = buffer + BUFFER.size
    gap = -(behind + 4) % ALIGNMENT  # the text starts at a multiple of ALIGNMENT
    parts = (
        ENTRY_VTABLE.pack(ENTRY_VTABLE.size, ENTRY.size, 4, 8),
        ENTRY.pack(ENTRY_VTABLE.size, ENTRY.size - 4, number),
        written,
        BUFFER_VTABLE.pack(6, BUFFER.size, 4),
        BUFFER.pack(BUFFER_VTABLE.size, 4 + gap),
        bytes(gap) + struct.pack("<I", len(text)) + text,
        bytes(-len(text) % ALIGNMENT),
    )
    return buffer, b"".join(parts)
