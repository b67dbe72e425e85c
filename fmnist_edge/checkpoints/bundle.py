"""TensorFlow's variable bundles (`variables.index`, `variables.data-*`), read as data.

TensorFlow's own reader ends the process on an index that lies, so this one takes its place. The format: an SSTable as
LevelDB has it, whose values are BundleEntryProto; arrays lie in the data files as they are in memory.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.checkpoints.checksums import masked_crc32c
from fmnist_edge.checkpoints.contents import shown
from fmnist_edge.errors import CheckpointError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

__all__ = ["Bundle", "read_bundle"]

MAGIC = 0xDB4775248B80FB57
FOOTER = 48  # bytes: two places, padded, and the magic number
CHECKED = 5  # bytes behind a block: how it is compressed, and its checksum
MAX_INDEX = 256 << 20  # bytes
MAX_RANK = 32
NUMBERS = {
    1: "float32",
    2: "float64",
    3: "int32",
    4: "uint8",
    5: "int16",
    6: "int8",
    9: "int64",
    10: "bool",
    14: "V2",
    17: "uint16",
    19: "float16",
    22: "uint32",
    23: "uint64",
}  # fmt: skip; bfloat16 is two bytes of no type, as in HDF5
TEXT = 7  # TensorFlow's DT_STRING
DAMAGED = "copy or save it again"


@dataclass
class Bundle:
    """Tensors by key; each is read, and its checksum compared, when it is asked for."""

    folder: Path
    shards: int
    entries: dict[str, BundleEntryProto]

    def __post_init__(self) -> None:
        self.read: dict[str, np.ndarray] = {}

    def tensor(self, key: str) -> np.ndarray:
        """An array of numbers, bfloat16 as `V2`. The same key gives the same array each time."""
        if key not in self.read:
            entry = self.entry(key)
            if entry.dtype not in NUMBERS:
                raise CheckpointError(f"{shown(key)} is no array of numbers; save the model again")
            content = self.content(key, entry)
            if masked_crc32c(content) != entry.crc32c:
                raise CheckpointError(f"{shown(key)} does not have its checksum; {DAMAGED}")
            self.read[key] = np.frombuffer(content, np.dtype(NUMBERS[entry.dtype])).reshape(
                [dim.size for dim in entry.shape.dim]
            )
        return self.read[key]

    def text(self, key: str) -> bytes:
        """One string: its length, the checksum of that, and its bytes."""
        entry = self.entry(key)
        if entry.dtype != TEXT or entry.shape.dim:
            raise CheckpointError(f"{shown(key)} is not one text; save the model again")
        content = self.content(key, entry)
        length, start = varint(content, 0)
        if length != len(content) - start - 4 or length >= 1 << 32:
            raise CheckpointError(f"{shown(key)} does not have its length; {DAMAGED}")
        if masked_crc32c(struct.pack("<I", length) + content[start:]) != entry.crc32c:
            raise CheckpointError(f"{shown(key)} does not have its checksum; {DAMAGED}")
        return content[start + 4 :]

    def entry(self, key: str) -> BundleEntryProto:
        if key not in self.entries:
            raise CheckpointError(f"its variables lack {shown(key)}; {DAMAGED}")
        return self.entries[key]

    def content(self, key: str, entry: BundleEntryProto) -> bytes:
        path = self.folder / f"variables.data-{entry.shard_id:05d}-of-{self.shards:05d}"
        if not path.is_file():
            raise CheckpointError(f"lacks {path.name}, which holds {shown(key)}; {DAMAGED}")
        if entry.offset + entry.size > path.stat().st_size:
            raise CheckpointError(f"{path.name} ends before {shown(key)} does; {DAMAGED}")
        with path.open("rb") as file:
            file.seek(entry.offset)
            return file.read(entry.size)


def read_bundle(folder: Path) -> Bundle:
    """Read and check the index in `folder`. Raises CheckpointError when it is damaged or contradicts its data."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto, BundleHeaderProto

    path = folder / "variables.index"
    if path.stat().st_size > MAX_INDEX:
        raise CheckpointError(
            f"its variables.index holds {path.stat().st_size:,} bytes; expected at most {MAX_INDEX:,}"
        )
    rows = rows_of_table(path.read_bytes())
    try:
        header = BundleHeaderProto.FromString(rows.pop(b"", b""))
        entries = {key.decode(errors="replace"): BundleEntryProto.FromString(value) for key, value in rows.items()}
    except DecodeError as error:
        raise CheckpointError(f"its variables.index is damaged; {DAMAGED}") from error
    if header.endianness != BundleHeaderProto.LITTLE:
        raise CheckpointError("its variables were written on a big-endian machine; save it there as model.keras")
    for key, entry in entries.items():
        check_entry(key, entry)
    stored = sum(file.stat().st_size for file in folder.glob("variables.data-*"))
    declared = sum(entry.size for entry in entries.values())
    if declared > stored:
        raise CheckpointError(f"declares {declared:,} bytes of variables, but holds {stored:,}; {DAMAGED}")
    return Bundle(folder, header.num_shards, entries)


def check_entry(key: str, entry: BundleEntryProto) -> None:
    """Raises CheckpointError for a place or a shape that cannot be, and for a size that is not the shape's."""
    sizes = [dim.size for dim in entry.shape.dim]
    if entry.slices:
        raise CheckpointError(f"{shown(key)} is kept in slices; save the model again without a partitioner")
    if min([entry.shard_id, entry.offset, entry.size, *sizes]) < 0 or len(sizes) > MAX_RANK or entry.shape.unknown_rank:
        raise CheckpointError(f"its index has no place for {shown(key)}; {DAMAGED}")
    if entry.dtype in NUMBERS and math.prod(sizes) * np.dtype(NUMBERS[entry.dtype]).itemsize != entry.size:
        raise CheckpointError(f"{shown(key)} of shape {sizes} is said to take {entry.size:,} bytes; {DAMAGED}")


def rows_of_table(table: bytes) -> dict[bytes, bytes]:
    """The rows of an SSTable."""
    try:
        if len(table) < FOOTER or struct.unpack("<Q", table[-8:])[0] != MAGIC:
            raise CheckpointError(f"its variables.index is not one that TensorFlow wrote, or cut short; {DAMAGED}")
        footer = table[-FOOTER:]
        _, _, start = place(footer, 0)
        rows: dict[bytes, bytes] = {}
        for handle in rows_of_block(table, *place(footer, start)[:2]).values():
            rows |= rows_of_block(table, *place(handle, 0)[:2])
        return rows
    except (IndexError, struct.error) as error:
        raise CheckpointError(f"its variables.index is damaged; {DAMAGED}") from error


def rows_of_block(table: bytes, offset: int, size: int) -> dict[bytes, bytes]:
    """Rows of one block; each names how much of its key is that of the row before."""
    block, checked = table[offset : offset + size], table[offset : offset + size + CHECKED]
    if len(checked) != size + CHECKED or size < 4 or checked[size] != 0:
        raise CheckpointError(f"a part of its variables.index is missing or compressed; {DAMAGED}")
    if masked_crc32c(checked[: size + 1]) != struct.unpack("<I", checked[size + 1 :])[0]:
        raise CheckpointError(f"its variables.index does not have its checksum; {DAMAGED}")
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    position, key = 0, b""
    rows: dict[bytes, bytes] = {}
    while position < end:
        shared, position = varint(block, position)
        own, position = varint(block, position)
        length, position = varint(block, position)
        if position + own + length > end or shared > len(key):
            raise CheckpointError(f"a row of its variables.index is longer than the rest; {DAMAGED}")
        key = key[:shared] + block[position : position + own]
        rows[key] = block[position + own : position + own + length]
        position += own + length
    return rows


def place(content: bytes, start: int) -> tuple[int, int, int]:
    """Offset and size of a block, and where what follows them begins."""
    offset, start = varint(content, start)
    size, start = varint(content, start)
    return offset, size, start


def varint(content: bytes, start: int) -> tuple[int, int]:
    """A number in 7 bits a byte, lowest first, and where what follows it begins. IndexError at the end."""
    number = 0
    for position in range(start, start + 10):
        number |= (content[position] & 127) << 7 * (position - start)
        if content[position] < 128:
            return number, position + 1
    raise IndexError("a number of more than ten bytes")
