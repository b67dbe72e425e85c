"""Unpack `.tflite` files, and pack them with equal vectors and strings stored once.

TensorFlow's converter stores scales, zero points, shapes and names again for every use: up to 5 % of an int8 file of
the zoo's size, most of it zeros. In a flatbuffer any number of tables may point to the same vector.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Any

import numpy as np

__all__ = ["op_kinds", "pack", "schema_module", "unpack"]

IDENTIFIER = b"TFL3"
BUFFER_ALIGNMENT = 16  # schema.fbs: force_align of Buffer.data; the Python library ignores it


def schema_module() -> ModuleType:
    """The flatbuffer schema classes that come with TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


def unpack(content: bytes) -> Any:
    """A file's ModelT; a vector that is absent is an empty list. Raises what the library raises for another file."""
    model = schema_module().ModelT.InitFromPackedBuf(content, 0)
    model.operatorCodes = [] if model.operatorCodes is None else model.operatorCodes
    for graph in model.subgraphs:
        graph.operators = [] if graph.operators is None else graph.operators
        for op in graph.operators:
            op.inputs = [] if op.inputs is None else op.inputs
            op.outputs = [] if op.outputs is None else op.outputs
    return model


def op_kinds(model: Any, subgraph: int = 0) -> list[str]:
    """The types of a ModelT's ops, such as "CONV_2D", in graph order."""
    names = {value: name for name, value in vars(schema_module().BuiltinOperator).items() if isinstance(value, int)}
    codes = [names[max(code.builtinCode, code.deprecatedBuiltinCode)] for code in model.operatorCodes]
    return [codes[op.opcodeIndex] for op in model.subgraphs[subgraph].operators]


def pack(model: Any) -> bytes:
    """Serialise a ModelT; equal vectors and strings are written once."""
    import flatbuffers

    class SharingBuilder(flatbuffers.Builder):
        def __init__(self) -> None:
            super().__init__(1024)
            self.written: dict[tuple[str, bytes], int] = {}

        def StartVector(self, size: int, count: int, alignment: int) -> int:  # noqa: N802, the library's names
            return super().StartVector(size, count, BUFFER_ALIGNMENT if size == 1 else alignment)

        def CreateNumpyVector(self, array: np.ndarray) -> int:  # noqa: N802
            key = (array.dtype.str, array.tobytes())
            if key not in self.written:
                self.written[key] = super().CreateNumpyVector(array)
            return self.written[key]

        def CreateString(self, text: bytes) -> int:  # noqa: N802
            key = ("string", text)
            if key not in self.written:
                self.written[key] = super().CreateString(text)
            return self.written[key]

    builder = SharingBuilder()
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())
