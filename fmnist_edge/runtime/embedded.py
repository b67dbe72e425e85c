"""The contract inside the model file, for a file that is copied without its manifest.

Both formats have a place for metadata, which other tools load and keep: `metadata_props` in ONNX, and in TFLite a named
`metadata` entry whose buffer holds the text. The value of KEY is JSON in UTF-8: {"schema": 1, ...the contract...}.

A hostile file may have a hostile contract. Every access is bounds-checked, and every value is validated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engines.tflite_file import IDENTIFIER
from fmnist_edge.runtime.flatbuffer import RefusedError, root

__all__ = ["KEY", "contract_text", "embedded_contract", "read_onnx"]

KEY = "fmnist_edge.contract"
SCHEMA = 1
LARGEST = 1 << 20  # bytes; labels are most of it
MOST_ENTRIES = 1024
MOST_BUFFERS = 1 << 16
MOST_FIELDS = 1 << 16

# Field numbers: tensorflow/compiler/mlir/lite/schema/schema.fbs, onnx/onnx.proto
BUFFERS, METADATA = 4, 6
METADATA_PROPS = 14
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def contract_text(contract: Contract) -> str:
    """The value that export writes under KEY: ASCII, and always the same text for the same contract."""
    return json.dumps({"schema": SCHEMA, **contract.as_dict()}, sort_keys=True, separators=(",", ":"), allow_nan=False)


def embedded_contract(path: Path, content: bytes) -> Contract | None:
    """The contract in a file's `content`; None when there is none, or the format has no place for one.

    Raises ArtifactError when the metadata is damaged, holds several contracts, or an invalid one.
    """
    reader = READERS.get(path.suffix)
    try:
        found = reader(content) if reader else []
        if len(found) > 1:
            raise RefusedError(f"{len(found)} contracts in it; expected one")
        return parse(found[0]) if found else None
    except RefusedError as reason:
        raise ArtifactError(f"{path}: its metadata cannot be read ({reason}); export the model again") from None
    except ArtifactError as error:
        raise ArtifactError(f"{path}: in its metadata, {error}") from None


def parse(text: bytes) -> Contract:
    """Read what `contract_text` writes. Raises ArtifactError for anything else."""
    if len(text) > LARGEST:
        raise ArtifactError(f"contract: {len(text):,} bytes; expected {LARGEST:,} at most")
    try:
        value = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"contract: not JSON in UTF-8 ({type(error).__name__}); export the model again") from None
    schema = value.get("schema") if isinstance(value, dict) else None
    if schema != SCHEMA or isinstance(schema, bool):
        found = f"{schema}"[:20] if isinstance(schema, (int, str)) else "absent"
        raise ArtifactError(f"contract: its schema is {found}, this version reads {SCHEMA}; upgrade or export again")
    return Contract.from_dict(value)


def read_tflite(content: bytes) -> list[bytes]:
    """The values of KEY. Empty for a file that is not TFLite; the engine's error message for it is clearer."""
    if content[4:8] != IDENTIFIER:
        return []
    model = root(content)
    numbers = [entry.integer(1, "uint32") for entry in model.tables(METADATA, MOST_ENTRIES) if entry.text(0) == KEY]
    if len(numbers) > 1:  # checked before any is copied
        raise RefusedError(f"{len(numbers)} contracts in it; expected one")
    buffers = model.tables(BUFFERS, MOST_BUFFERS) if numbers else []
    found = []
    for number in numbers:
        data = buffers[number].array(0, "uint8") if number < len(buffers) else None
        if data is None:
            raise RefusedError(f"damaged: the contract is in buffer {number} of {len(buffers)}, which has no content")
        found.append(data[: LARGEST + 1].tobytes())
    return found


def read_onnx(content: bytes, key: str = KEY) -> list[bytes]:
    """The values of `key`, one per entry. Raises RefusedError for a damaged file."""
    found = []
    for number, entry in fields(memoryview(content)):
        if number == METADATA_PROPS:
            pair = dict(fields(entry))
            if bytes(pair.get(1, memoryview(b""))[: len(key) + 1]) == key.encode():
                found.append(bytes(pair.get(2, memoryview(b""))[: LARGEST + 1]))
    return found


def fields(content: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, content) of a protobuf message's fields that hold bytes; https://protobuf.dev/programming-guides/encoding/"""
    position, count = 0, 0
    while position < len(content):
        count += 1
        if count > MOST_FIELDS:
            raise RefusedError(f"more than {MOST_FIELDS:,} fields")
        key, position = varint(content, position)
        kind = key & 7
        if kind == VARINT:
            _, position = varint(content, position)
            continue
        if kind not in (FIXED64, BYTES, FIXED32):
            raise RefusedError(f"damaged: a field of type {kind} at byte {position:,}")
        size = {FIXED64: 8, FIXED32: 4}.get(kind)
        if size is None:
            size, position = varint(content, position)
        if size > len(content) - position:
            raise RefusedError(f"damaged: a field of {size:,} bytes at byte {position:,} reaches beyond the file's end")
        if kind == BYTES:
            yield key >> 3, content[position : position + size]
        position += size


def varint(content: memoryview, position: int) -> tuple[int, int]:
    """(value, end position) of a number of up to 64 bits, stored in groups of seven."""
    value = 0
    for index, byte in enumerate(content[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, position + index + 1
    raise RefusedError(f"damaged: a number at byte {position:,} has no end")


READERS: dict[str, Callable[[bytes], list[bytes]]] = {".tflite": read_tflite, ".onnx": read_onnx}
