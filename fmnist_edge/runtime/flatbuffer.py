"""Read FlatBuffers with a bounds check on every access, because a file may be hostile.

A table is a position in the file. Its first word points back to a vtable of 16-bit field offsets; 0 means absent.
Specification: https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import struct

import numpy as np

__all__ = ["RefusedError", "Table", "root"]

FORMATS = {kind: struct.Struct("<" + code) for kind, code in {
    "bool": "?", "int8": "b", "uint8": "B", "uint16": "H", "int32": "i", "uint32": "I", "int64": "q", "uint64": "Q",
    "float32": "f",
}.items()}  # fmt: skip
LONGEST_TEXT = 256  # bytes read of a name; thousands of tables may share one long name


class RefusedError(Exception):
    """A file is damaged, or needs what this engine does not support; the message says which."""


def root(content: bytes) -> Table:
    """The root table of a file."""
    return Table(content, offset_at(content, 0))


def scalar_at(content: bytes, position: int, kind: str) -> int | float:
    form = FORMATS[kind]
    if not 0 <= position <= len(content) - form.size:
        raise RefusedError(f"damaged: byte {position:,} is outside the file's {len(content):,}")
    value: int | float = form.unpack_from(content, position)[0]
    return value


def integer_at(content: bytes, position: int, kind: str) -> int:
    return int(scalar_at(content, position, kind))


def offset_at(content: bytes, position: int) -> int:
    """The position that the forward offset at `position` points to."""
    offset = integer_at(content, position, "uint32")
    if not offset:
        raise RefusedError(f"damaged: the offset at byte {position:,} leads nowhere")
    return position + offset


class Table:
    """One table of a FlatBuffer. Fields are numbered as in the schema; an absent field has its default."""

    def __init__(self, content: bytes, position: int) -> None:
        self._content, self.position = content, position
        self._vtable = position - integer_at(content, position, "int32")
        self._fields = max(0, integer_at(content, self._vtable, "uint16") // 2 - 2)

    def place(self, field: int) -> int | None:
        """Position of a field's content; None when it is absent."""
        if field >= self._fields:
            return None
        offset = integer_at(self._content, self._vtable + 4 + 2 * field, "uint16")
        return self.position + offset if offset else None

    def has(self, field: int) -> bool:
        return self.place(field) is not None

    def present(self) -> list[int]:
        """Numbers of the fields that are present."""
        return [field for field in range(self._fields) if self.has(field)]

    def target(self, field: int) -> int | None:
        """The position that a field's offset points to, unchecked; None when it is absent."""
        at = self.place(field)
        return None if at is None else offset_at(self._content, at)

    def integer(self, field: int, kind: str, default: int = 0) -> int:
        at = self.place(field)
        return default if at is None else integer_at(self._content, at, kind)

    def real(self, field: int, default: float = 0.0) -> float:
        at = self.place(field)
        return default if at is None else float(scalar_at(self._content, at, "float32"))

    def table(self, field: int) -> Table | None:
        at = self.place(field)
        return None if at is None else Table(self._content, offset_at(self._content, at))

    def array(self, field: int, dtype: str) -> np.ndarray | None:
        """A vector of scalars (n,) as a read-only view of the file; None when it is absent."""
        vector = self._vector(field, np.dtype(dtype).itemsize)
        if vector is None:
            return None
        start, length = vector
        return np.frombuffer(self._content, np.dtype(dtype).newbyteorder("<"), length, start)

    def integers(self, field: int, most: int) -> tuple[int, ...] | None:
        """A vector of int32; None when it is absent. Raises RefusedError for more than `most`."""
        values = self.array(field, "int32")
        if values is None:
            return None
        if len(values) > most:
            raise RefusedError(f"{len(values):,} numbers in a vector; this engine takes {most:,} at most")
        return tuple(map(int, values))

    def tables(self, field: int, most: int) -> list[Table]:
        """A vector of tables; empty when it is absent. Raises RefusedError for more than `most`."""
        start, length = self._vector(field, 4) or (0, 0)
        if length > most:
            raise RefusedError(f"{length:,} entries in a vector; this engine takes {most:,} at most")
        return [Table(self._content, offset_at(self._content, start + 4 * index)) for index in range(length)]

    def text(self, field: int) -> str:
        start, length = self._vector(field, 1) or (0, 0)
        return self._content[start : start + min(length, LONGEST_TEXT)].decode(errors="replace")

    def _vector(self, field: int, itemsize: int) -> tuple[int, int] | None:
        """(position of the first item, number of items). Raises RefusedError unless all items are inside the file."""
        at = self.place(field)
        if at is None:
            return None
        at = offset_at(self._content, at)
        length = integer_at(self._content, at, "uint32")
        if length * itemsize > len(self._content) - at - 4:
            raise RefusedError(f"damaged: a vector of {length:,} at byte {at:,} reaches beyond the file's end")
        return at + 4, length
