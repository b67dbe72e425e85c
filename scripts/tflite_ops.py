"""Measure which version of each TFLite op a runtime has, for fmnist_edge/catalog/tflite_ops.json.

    python scripts/tflite_ops.py files build/ops.npz                     here, where TensorFlow is
    python tflite_ops.py probe ops.npz tflite-runtime-2.14.json          in each runtime's own environment
    python scripts/tflite_ops.py merge tflite-runtime-2.7.json ...       prints the table; columns in this order

A file holds one op. A runtime that lacks its version refuses the file before it looks at the op itself, so that the op
needs no operands. Later errors and crashes, in a forked child, do not matter.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import numpy as np

VERSIONS = range(1, 17)
MODULES = ("tflite_runtime.interpreter", "ai_edge_litert.interpreter", "tensorflow.lite.python.interpreter")
REFUSALS = ("Didn't find op", "builtin_code out of range", "has no custom_code")
SOURCE = (
    "The newest version of each op that a release has a kernel for, 0 for none. Measured on x86-64 Linux by "
    "scripts/tflite_ops.py."
)


def files(target: str) -> None:
    """Write the files as arrays, named by op and version."""
    from fmnist_edge.exporters.flatbuffer import pack, schema_module

    schema = schema_module()
    found = {}
    for name, code in vars(schema.BuiltinOperator).items():
        for version in VERSIONS if isinstance(code, int) else ():
            model, graph, op, kind = schema.ModelT(), schema.SubGraphT(), schema.OperatorT(), schema.OperatorCodeT()
            kind.builtinCode, kind.deprecatedBuiltinCode, kind.version = code, min(code, 127), version
            tensor = schema.TensorT()
            tensor.shape, tensor.name = np.array([1], np.int32), b"x"
            op.inputs = op.outputs = graph.inputs = graph.outputs = np.array([0], np.int32)
            graph.tensors, graph.operators = [tensor], [op]
            model.version, model.operatorCodes, model.subgraphs, model.buffers = 3, [kind], [graph], [schema.BufferT()]
            found[f"{name} {version}"] = np.frombuffer(pack(model), np.uint8)
    np.savez(target, **found)


def probe(source: str, target: str) -> None:
    """Write {op: its newest version} of the runtime in this environment."""
    interpreter = next(filter(None, map(imported, MODULES))).Interpreter
    newest: dict[str, int] = {}
    with np.load(source) as content:
        for key in content.files:
            op, version = key.split()
            if accepts(interpreter, content[key].tobytes()):
                newest[op] = max(int(version), newest.get(op, 0))
    Path(target).write_text(json.dumps(newest))


def imported(module: str) -> object:
    try:
        return import_module(module)
    except ImportError:
        return None


def accepts(interpreter: type, content: bytes) -> bool:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            interpreter(model_content=content)
        except Exception as error:  # whatever a runtime raises
            os.write(write, str(error).encode()[:2000])
        os._exit(0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        message = pipe.read().decode(errors="replace")
    os.waitpid(child, 0)
    return not any(refusal in message for refusal in REFUSALS)


def merge(*measured: str) -> None:
    known = {Path(path).stem: json.loads(Path(path).read_text()) for path in measured}
    ops = sorted(set().union(*known.values()))
    rows = ",\n".join(f"  {json.dumps(op)}: {[found.get(op, 0) for found in known.values()]}" for op in ops)
    print(f'{{\n "source": {json.dumps(SOURCE)},\n "releases": {json.dumps(list(known))},\n "ops": {{\n{rows}\n }}\n}}')


if __name__ == "__main__":
    {"files": files, "probe": probe, "merge": merge}[sys.argv[1]](*sys.argv[2:])
