"""Shared by all convolutions and dense layers: shapes, weight layouts, and sums of products.

BLAS has no integers, so integers are multiplied as floats. Partial sums stay below 2^24 (float32) or 2^53 (float64), so
they are exact in any order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.model import Op, Tensor
from fmnist_edge.runtime.engines.numpy.windows import Window, window_of
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["KINDS", "Linear", "exact_dtype", "linear"]

EXACT_FLOAT32 = 1 << 24

Product = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Linear:
    """An op that sums products.

    Attributes:
        weights: (inputs of a sum, outputs); for a depthwise convolution (rows, columns, channels, outputs per channel).
        product: (x, weights) -> sums (n, *shape). x is (n, *image), float, relative to the zero point; weights have the
            same dtype.
        rows: x -> a view (n, r, values) of r groups. A hybrid op quantises each group separately.
        activation: code of the fused activation.
        bias: constant (outputs,); None when there is none.
    """

    input: Tensor
    filter: Tensor
    weights: np.ndarray
    product: Product
    rows: Callable[[np.ndarray], np.ndarray]
    activation: int
    bias: np.ndarray | None

    @property
    def channels(self) -> int:
        """Output channels."""
        return int(np.prod(self.weights.shape[-2:])) if self.weights.ndim == 4 else int(self.weights.shape[1])

    def largest_sums(self) -> float:
        """The largest sum of absolute weights over all outputs."""
        magnitudes = np.abs(self.weights.astype(np.float64))
        return float(magnitudes.sum(axis=(0, 1) if self.weights.ndim == 4 else 0).max())


def exact_dtype(op: Linear, largest_input: int) -> type:
    """float32 if it holds every partial sum of `op` exactly, else float64. `largest_input` is a magnitude."""
    return np.float32 if op.largest_sums() * largest_input < EXACT_FLOAT32 else np.float64


def linear(op: Op, budget: Budget) -> Linear:
    """The geometry of CONV_2D, DEPTHWISE_CONV_2D or FULLY_CONNECTED. Raises RefusedError when its parts do not fit."""
    weights = op.constant(1)
    budget.spend("weights", weights.size)
    found = KINDS[op.kind](op, weights, budget)
    if found.bias is not None and found.bias.shape != (found.channels,):
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} has a bias of {found.bias.shape}")
    return found


def conv(op: Op, weights: np.ndarray, budget: Budget) -> Linear:
    image = four_axes(op, weights)
    outputs, height, width, channels = weights.shape
    if image.shape[3] != channels:
        raise RefusedError(
            f"{op.kind} {op.output.name!r}: filter {weights.shape} on {image.shape}; groups are not supported"
        )
    stride = op.integer(2, "int32", 1), op.integer(1, "int32", 1)
    dilation = op.integer(5, "int32", 1), op.integer(4, "int32", 1)
    window = window_of(op, (height, width), stride, budget, dilation)
    grid = window.rows.count, window.columns.count
    op.check_output_shape((*grid, outputs))
    budget.scratch(grid[0] * grid[1] * height * width * channels)
    budget.spend("multiply-accumulates", grid[0] * grid[1] * weights.size)

    def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        return np.matmul(window.patches(window.pad(x, 0)), matrix).reshape(len(x), *grid, outputs)

    matrix = weights.transpose(1, 2, 3, 0).reshape(-1, outputs)
    return Linear(image, op.operand(1), matrix, product, one_row, op.integer(3, "int8"), bias(op))


def depthwise(op: Op, weights: np.ndarray, budget: Budget) -> Linear:
    image = four_axes(op, weights)
    one, height, width, outputs = weights.shape
    multiplier = op.integer(3, "int32", 1)
    if one != 1 or image.shape[3] * multiplier != outputs:
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} has a filter of {weights.shape} on {image.shape}")
    stride = op.integer(2, "int32", 1), op.integer(1, "int32", 1)
    dilation = op.integer(6, "int32", 1), op.integer(5, "int32", 1)
    window = window_of(op, (height, width), stride, budget, dilation)
    grid = window.rows.count, window.columns.count
    op.check_output_shape((*grid, outputs))
    budget.scratch(grid[0] * grid[1] * outputs)
    budget.spend("multiply-accumulates", grid[0] * grid[1] * weights.size)

    def product(x: np.ndarray, factors: np.ndarray) -> np.ndarray:
        return depthwise_product(window, x, factors).reshape(len(x), *grid, outputs)

    factors = weights.reshape(height, width, image.shape[3], multiplier)
    return Linear(image, op.operand(1), factors, product, one_row, op.integer(4, "int8"), bias(op))


def depthwise_product(window: Window, x: np.ndarray, factors: np.ndarray) -> np.ndarray:
    shape = (len(x), window.rows.count, window.columns.count, *factors.shape[2:])
    sums = np.zeros(shape, x.dtype)
    for row, column, values in window.taps(window.pad(x, 0)):
        sums += values[..., None] * factors[row, column]
    return sums


def dense(op: Op, weights: np.ndarray, budget: Budget) -> Linear:
    values = op.operand(0)
    if weights.ndim != 2 or op.integer(1, "int8"):
        raise RefusedError(
            f"{op.kind} {op.output.name!r}: weights {weights.shape} have a layout that this engine does not support"
        )
    outputs, inputs = weights.shape
    rows, rest = divmod(values.size // values.shape[0], inputs)
    if rest or op.output.size != op.output.shape[0] * rows * outputs or op.output.shape[-1] != outputs:
        raise RefusedError(
            f"damaged: {op.kind} {op.output.name!r}: {values.shape} times {weights.shape} gives {op.output.shape}"
        )
    op.check_output_shape(op.output.shape[1:])
    budget.spend("multiply-accumulates", rows * weights.size)
    budget.scratch(rows * max(inputs, outputs))

    def as_rows(x: np.ndarray) -> np.ndarray:
        return x.reshape(len(x), rows, inputs)

    def product(x: np.ndarray, matrix: np.ndarray) -> np.ndarray:
        return np.matmul(as_rows(x), matrix).reshape(len(x), *op.output.shape[1:])

    return Linear(values, op.operand(1), weights.T, product, as_rows, op.integer(0, "int8"), bias(op))


def four_axes(op: Op, weights: np.ndarray) -> Tensor:
    if weights.ndim != 4 or len(op.operand(0).shape) != 4:
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r}: filter {weights.shape} on {op.operand(0).shape}")
    return op.operand(0)


def one_row(x: np.ndarray) -> np.ndarray:
    return x.reshape(len(x), 1, -1)


def bias(op: Op) -> np.ndarray | None:
    return None if op.optional(2) is None else op.constant(2)


KINDS = {"CONV_2D": conv, "DEPTHWISE_CONV_2D": depthwise, "FULLY_CONNECTED": dense}
