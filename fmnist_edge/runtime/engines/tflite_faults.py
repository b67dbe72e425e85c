"""Files that old releases of the Interpreter load without an error, and compute wrongly.

Measured with tflite-runtime 2.7 to 2.14, which are built from the kernels of the TensorFlow of the same number:

- Until 2.9, an integer FULLY_CONNECTED uses the first output channel's scale for all channels.
- Until 2.8, networks with 16-bit activations give wrong answers: BATCH_MATMUL in 2.7, convolutions in 2.8.

Op versions, by which the Interpreter refuses what it does not know, are the same for both.
"""

from __future__ import annotations

import re

from fmnist_edge.runtime.flatbuffer import RefusedError, Table, root

__all__ = ["known_fault", "missing_op"]

OLD = re.compile(r"^(tflite-runtime|tensorflow) (\d+)\.(\d+)")
MISSING = re.compile(r"Didn't find op for builtin opcode '(\w+)' version '(\d+)'")
RELEASE = re.compile(r"\d+\.\d+")
PER_CHANNEL_DENSE, SIXTEEN_BITS = (2, 10), (2, 9)  # the first releases that compute these rightly
NAMEABLE = (2, 7)  # `export --oldest` knows releases from here on

# Numbers from tensorflow/compiler/mlir/lite/schema/schema.fbs.
FULLY_CONNECTED, FLOAT32, INT16 = 9, 0, 7
MOST_CODES, MOST_GRAPHS, MOST_TENSORS, MOST_OPS, MOST_OPERANDS = 1 << 12, 1 << 10, 1 << 16, 1 << 16, 1 << 10


def known_fault(content: bytes, version: str) -> str | None:
    """Why an Interpreter's answers for a file would be wrong, and what to do; None if nothing is known.

    Args:
        version: package and release, such as "tflite-runtime 2.7.0".

    A damaged file has no known fault: the Interpreter refuses it itself.
    """
    found = OLD.match(version)
    if found is None:
        return None
    package, release = found[1], (int(found[2]), int(found[3]))
    if release >= max(PER_CHANNEL_DENSE, SIXTEEN_BITS):
        return None
    try:
        model = root(content)
        graphs = model.tables(2, MOST_GRAPHS)
        wide = any(map(has_16_bits, graphs))
        if wide and release < SIXTEEN_BITS:
            what = "16-bit activations"
        elif any(has_per_channel_dense(model, graph) for graph in graphs):
            what = "Dense layers with one scale per channel"
        else:
            return None
    except RefusedError:
        return None
    again = "as int8 " if wide else ""
    how = f"--oldest {package}-{release[0]}.{release[1]}" if release >= NAMEABLE else "--per-tensor"
    return f"computes {what} wrongly; use 2.10 or later, or export the model again {again}with {how}"


def missing_op(error: Exception, version: str) -> str | None:
    """What an Interpreter lacks that refused a file, and what to do; None for another reason.

    Args:
        version: package and release, such as "tflite-runtime 2.14.0".
    """
    found = MISSING.search(str(error))
    if found is None:
        return None
    package, _, release = version.partition(" ")
    named = RELEASE.match(release)
    remedy = f"export the model again with --oldest {package}-{named[0]}" if named else "export the model again"
    return f"does not have {found[1]} version {found[2]}, which the file needs; upgrade it, or {remedy}"


def has_per_channel_dense(model: Table, graph: Table) -> bool:
    """Whether an integer FULLY_CONNECTED of a graph has several scales. A float one has an op version of its own."""
    codes = [max(code.integer(0, "int8"), code.integer(3, "int32")) for code in model.tables(1, MOST_CODES)]
    tensors = graph.tables(0, MOST_TENSORS)
    for op in graph.tables(3, MOST_OPS):
        code, operands = op.integer(0, "uint32"), op.integers(1, MOST_OPERANDS) or ()
        known = [tensors[index] for index in operands[:2] if 0 <= index < len(tensors)]
        if code < len(codes) and codes[code] == FULLY_CONNECTED and len(known) == 2:
            activations, weights = known
            if activations.integer(1, "int8") != FLOAT32 and scales_of(weights) > 1:
                return True
    return False


def scales_of(tensor: Table) -> int:
    quantization = tensor.table(4)
    scales = None if quantization is None else quantization.array(2, "float32")
    return 0 if scales is None else len(scales)


def has_16_bits(graph: Table) -> bool:
    return any(tensor.integer(1, "int8") == INT16 for tensor in graph.tables(0, MOST_TENSORS))
