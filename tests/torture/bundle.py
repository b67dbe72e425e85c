"""TensorFlow's variable bundles, written byte by byte, so that they can lie."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fmnist_edge.checkpoints.bundle import rows_of_table

__all__ = ["Entry", "pack", "text_of", "unpack", "with_text"]

TEXT = 7
MAGIC = 0xDB4775248B80FB57
TABLE = []
for byte in range(256):
    value = byte
    for _ in range(8):
        value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
    TABLE.append(value)


@dataclass
class Entry:
    """A tensor: its BundleEntryProto as bytes, and its content."""

    proto: Any
    content: bytes


def crc32c(content: bytes) -> int:
    found = 0xFFFFFFFF
    for byte in content:
        found = TABLE[(found ^ byte) & 0xFF] ^ (found >> 8)
    return found ^ 0xFFFFFFFF


def masked(content: bytes) -> int:
    """The checksum as TensorFlow stores it."""
    found = crc32c(content)
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def unpack(index: bytes, shards: list[bytes]) -> dict[bytes, Entry]:
    """The tensors of a bundle by key."""
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleEntryProto

    found = {}
    for key, value in rows_of_table(index).items():
        if key:
            proto = BundleEntryProto.FromString(value)
            found[key] = Entry(proto, shards[proto.shard_id][proto.offset : proto.offset + proto.size])
    return found


def text_of(content: bytes) -> bytes:
    """The string in the content of a tensor that holds one."""
    return content[varint_size(content) + 4 :]


def with_text(text: bytes) -> bytes:
    """The content of a tensor that holds one string."""
    length = struct.pack("<I", len(text))
    return varint(len(text)) + struct.pack("<I", masked(length)) + text


def varint_size(content: bytes) -> int:
    return next(size for size, byte in enumerate(content, 1) if byte < 128)


def checksum(entry: Entry) -> int:
    """Of a tensor; strings have their lengths in it as 32 bits."""
    if entry.proto.dtype != TEXT:
        return masked(entry.content)
    length = struct.pack("<I", len(text_of(entry.content)))
    return masked(length + entry.content[varint_size(entry.content) :])


def pack(
    entries: dict[bytes, Entry],
    odd: dict[bytes, bytes] | None = None,
    change: Callable[[bytes], bytes] = bytes,
) -> tuple[bytes, bytes]:
    """The index and the one shard of a bundle of `entries`, each right in place and checksum.

    `odd`: values that stand in the index instead of those that belong to their keys. `change`: of the rows as bytes.
    """
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleHeaderProto

    header = BundleHeaderProto(num_shards=1)
    header.version.producer = 1
    rows, data = {b"": header.SerializeToString()}, b""
    for key, entry in sorted(entries.items()):
        entry.proto.shard_id, entry.proto.offset, entry.proto.size = 0, len(data), len(entry.content)
        entry.proto.crc32c = checksum(entry)
        rows[key] = entry.proto.SerializeToString()
        data += entry.content
    return table({**rows, **(odd or {})}, change), data


def table(rows: dict[bytes, bytes], change: Callable[[bytes], bytes]) -> bytes:
    """An SSTable of one block."""

    def block(rows: dict[bytes, bytes]) -> bytes:
        content = b"".join(
            varint(0) + varint(len(key)) + varint(len(value)) + key + value for key, value in sorted(rows.items())
        )
        return content + struct.pack("<II", 0, 1)

    found, handles = b"", []
    for content in (change(block(rows)), block({})):
        handles.append(varint(len(found)) + varint(len(content)))
        found += content + b"\0" + struct.pack("<I", masked(content + b"\0"))
    last = block({max(rows) + b"\xff": handles[0]})
    place = varint(len(found)) + varint(len(last))
    found += last + b"\0" + struct.pack("<I", masked(last + b"\0"))
    return found + (handles[1] + place).ljust(40, b"\0") + struct.pack("<Q", MAGIC)
