"""Operations that move values, and products of matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from coverage_table.case import operation
from coverage_table.cases.operations_elements import transposed
from coverage_table.cases.operations_reductions import alone, row

__all__ = ["CASES"]

SHORT = (4,)
TALL = (6, 4)
MATRIX = np.random.default_rng(1).normal(0, 1, (3, 5)).astype("float32")
VECTORS = np.random.default_rng(2).normal(0, 1, 3).astype("float32")


def split(name: str, **options: Any) -> Any:
    return operation(f"numpy.{name}", **options)


def matrix(x: Any) -> Any:
    from keras import ops

    return ops.reshape(x, (4, 12))


CASES = [
    operation("numpy.Append", "axis=1", lambda made, x: made(x, transposed(x)), axis=1),
    operation("numpy.Concatenate", "axis=1", lambda made, x: made([x, transposed(x)]), axis=1),
    operation("numpy.Concatenate", "axis=-1", lambda made, x: made([x, transposed(x)]), axis=-1),
    operation("numpy.Stack", "axis=1", lambda made, x: made([x, transposed(x)]), axis=1),
    operation("numpy.Hstack", "two tensors", lambda made, x: made([x, transposed(x)])),
    operation("numpy.Dstack", "two tensors", lambda made, x: made([x, transposed(x)])),
    operation("numpy.Vstack", "one image", lambda made, x: row(made([x, transposed(x)]), 96)),
    split("ArraySplit", indices_or_sections=2, axis=1),
    split("ArraySplit", indices_or_sections=3, axis=1),
    split("Split", indices_or_sections=2, axis=1),
    split("Split", indices_or_sections=[1, 3], axis=2),
    split("Hsplit", indices_or_sections=2),
    split("Dsplit", indices_or_sections=2),
    operation("numpy.Vsplit", "one image", lambda made, x: [row(part, 24) for part in made(matrix(x))],
              indices_or_sections=2),
    operation("core.Unstack", num=4, axis=1),
    operation("core.Slice", "part", lambda made, x: row(made(matrix(x), (1, 2)), 10), arguments={"shape": (2, 5)}),
    operation("numpy.BroadcastTo", "rows", lambda made, x: row(made(alone(x, 4)), 8), shape=SHORT,
              arguments={"shape": (2, 4)}),
    operation("numpy.ExpandDims", axis=1),
    operation("numpy.Squeeze", axis=1, shape=(1, 4, 3)),
    operation("numpy.Flip", axis=1),
    operation("numpy.Flip", axis=(1, 2)),
    operation("numpy.Fliplr"),
    operation("numpy.Flipud", "one image", lambda made, x: row(made(matrix(x)), 48)),
    operation("numpy.Rot90", axes=(1, 2)),
    operation("numpy.Rot90", k=2, axes=(1, 2)),
    operation("numpy.Roll", shift=1, axis=1),
    operation("numpy.GetItem", "[:, 1:3, ::2]",
              lambda made, x: made(x, (slice(None), slice(1, 3), slice(None, None, 2)))),
    operation("numpy.GetItem", "[:, 1]", lambda made, x: made(x, (slice(None), 1))),
    operation("numpy.GetItem", "[..., ::-1]", lambda made, x: made(x, (Ellipsis, slice(None, None, -1)))),
    operation("numpy.Moveaxis", source=1, destination=-1),
    operation("numpy.Swapaxes", axis1=1, axis2=3),
    operation("numpy.Transpose", axes=(0, 3, 1, 2)),
    operation("numpy.Pad", pad_width=((0, 0), (1, 2), (0, 1), (0, 0))),
    operation("numpy.Pad", pad_width=((0, 0), (1, 2), (0, 1), (0, 0)), mode="reflect"),
    operation("numpy.Pad", "constant_values=1.5", lambda made, x: made(x, 1.5),
              pad_width=((0, 0), (1, 1), (1, 1), (0, 0))),
    operation("numpy.Repeat", repeats=2, axis=1),
    operation("numpy.Tile", repeats=(1, 2, 1, 3)),
    operation("numpy.Reshape", newshape=(-1, 8, 6)),
    operation("numpy.Ravel", "one image", lambda made, x: row(made(x), 48)),
    operation("numpy.Take", "axis=1", lambda made, x: made(x, np.int32([2, 0, 3])), axis=1),
    operation("numpy.TakeAlongAxis", "axis=1", lambda made, x: made(x, np.int32([[[[2]], [[0]]]])), axis=1),
    operation("numpy.Tril", shape=(4, 5)),
    operation("numpy.Triu", k=1, shape=(4, 5)),
    operation("numpy.Diag", "vector", lambda made, x: row(made(alone(x)), 16), shape=SHORT),
    operation("numpy.Diagflat", "vector", lambda made, x: row(made(alone(x)), 16), shape=SHORT),
    operation("numpy.Diagonal", axis1=1, axis2=2),
    operation("numpy.Meshgrid", "vectors", lambda made, x: [row(part, 12) for part in made(alone(x), VECTORS)],
              shape=SHORT),
    operation("numpy.Matmul", "constant", lambda made, x: made(x, MATRIX)),
    operation("numpy.Matmul", "two tensors", lambda made, x: made(x, transposed_matrix(x)), shape=TALL, rounds=2),
    operation("numpy.Dot", "constant", lambda made, x: made(x, MATRIX)),
    operation("numpy.Einsum", "constant", lambda made, x: made(x, MATRIX), subscripts="bhwc,cd->bhwd"),
    operation("numpy.Einsum", "two tensors", lambda made, x: made(x, transposed(x)), subscripts="bhwc,bhwd->bcd"),
    operation("numpy.Tensordot", "constant", lambda made, x: made(x, MATRIX), axes=1),
    operation("numpy.Inner", "constant", lambda made, x: made(x, VECTORS)),
    operation("numpy.Outer", "constant", lambda made, x: row(made(alone(x), VECTORS), 12), shape=SHORT),
    operation("numpy.Kron", "constant", lambda made, x: row(made(matrix(x), np.float32([[1, 2]])), 96)),
    operation("numpy.Vdot", "constant", lambda made, x: row(made(alone(x), np.float32([1, -2, 3, 0.5])), 1),
              shape=SHORT),
    operation("numpy.Cross", "two tensors", lambda made, x: made(x, transposed(x)), rounds=2),
    operation("math.CDist", "two tensors", lambda made, x: made(x, x * 0.5 + 1.0), shape=TALL, rounds=4),
    operation("einops.Rearrange", "transpose", lambda made, x: row(made(matrix(x), "h w -> w h"), 48)),
]  # fmt: skip


def transposed_matrix(x: Any) -> Any:
    from keras import layers

    return layers.Permute((2, 1))(x)
