"""Kernels for any kind of arithmetic: they move values, pool them, or change their dtype."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmnist_edge.runtime.engines.numpy.broadcast import Kernel
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.fixed_point import multiplier, multiply, round_half_away
from fmnist_edge.runtime.engines.numpy.floats import activate, check_float32
from fmnist_edge.runtime.engines.numpy.integers import mean_axes
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.engines.numpy.quantization import (
    check_same_dtype,
    check_shift,
    lookup_table,
    output_stage,
    quantization_of,
    quantized_range,
)
from fmnist_edge.runtime.engines.numpy.windows import Window, window_of
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["KERNELS"]

Builder = Callable[[Op, Budget], Kernel]


def reshape(op: Op, budget: Budget) -> Kernel:
    """Reshape to the declared output shape. The second operand is ignored: it may be computed from an open batch."""
    check_same_quantization(op, 0)
    shape = op.output.shape
    if op.output.size != op.operand(0).size:
        raise RefusedError(f"damaged: RESHAPE {op.output.name!r} changes {op.operand(0).shape} to {shape}")
    return lambda x, *_: x.reshape(len(x), *shape[1:])


def concatenation(op: Op, budget: Budget) -> Kernel:
    parts = [op.operand(number) for number in range(len(op.inputs))]
    check_same_quantization(op, *range(len(parts)))
    rank = len(op.output.shape)
    axis = op.integer(0, "int32")
    axis += rank * (axis < 0)
    shapes = [part.shape for part in parts]
    rest = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if not 0 < axis < rank or any(len(shape) != rank for shape in shapes) or len(rest) != 1:
        raise RefusedError(f"damaged: CONCATENATION {op.output.name!r} of {shapes} along axis {axis}")
    op.check_output_shape((*shapes[0][1:axis], sum(shape[axis] for shape in shapes), *shapes[0][axis + 1 :]))
    if op.integer(1, "int8") or any(part.data is not None for part in parts):
        raise RefusedError(
            f"CONCATENATION {op.output.name!r} has an activation or a constant, which this engine does not support"
        )
    return lambda *values: np.concatenate(values, axis=axis)


def pad(op: Op, budget: Budget) -> Kernel:
    check_same_quantization(op, 0)
    borders = op.constant(1)
    shape = op.operand(0).shape
    if borders.dtype.kind != "i" or borders.shape != (len(shape), 2) or borders.min() < 0 or borders[0].any():
        raise RefusedError(f"damaged: PAD {op.output.name!r} by a table {borders.shape} of {borders.dtype}")
    widths = [(int(before), int(after)) for before, after in borders]
    op.check_output_shape(tuple(b + size + a for size, (b, a) in zip(shape[1:], widths[1:])))
    value = 0 if op.output.dtype == "float32" else quantization_of(op, op.output).zero_point
    return lambda x: np.pad(x, widths, constant_values=value)


def pool_of(op: Op, budget: Budget) -> Window:
    """The windows of a pooling op."""
    check_same_quantization(op, 0)
    size = op.integer(4, "int32"), op.integer(3, "int32")
    window = window_of(op, size, (op.integer(2, "int32", 1), op.integer(1, "int32", 1)), budget)
    op.check_output_shape((window.rows.count, window.columns.count, op.operand(0).shape[3]))
    return window


def max_pool(op: Op, budget: Budget) -> Kernel:
    window = pool_of(op, budget)
    code = op.integer(5, "int8")
    if op.output.dtype == "float32":
        lowest, fused = -np.inf, activate(op, code)
    else:
        lowest, _ = op.output.limits
        low, high = quantized_range(op, code)
        fused = lambda x: np.clip(x, low, high, out=x)  # noqa: E731

    def kernel(x: np.ndarray) -> np.ndarray:
        taps = window.taps(window.pad(x, lowest))
        _, _, first = next(taps)
        best = first.copy()
        for _, _, values in taps:
            np.maximum(best, values, out=best)
        return fused(best)

    return kernel


def average_pool(op: Op, budget: Budget) -> Kernel:
    """The mean of the values inside the image, without padding."""
    window = pool_of(op, budget)
    is_float = op.output.dtype == "float32"
    code = op.integer(5, "int8")
    wide = np.float32 if is_float else np.int64
    counts = tap_sums(window, np.ones((1, *op.operand(0).shape[1:3], 1), wide), wide)
    if is_float:
        fused = activate(op, code)
    else:
        low, high = quantized_range(op, code)

    def kernel(x: np.ndarray) -> np.ndarray:
        sums = tap_sums(window, x, wide)
        if is_float:
            return fused(sums / counts)
        nearest = np.sign(sums) * ((np.abs(sums) + counts // 2) // counts)  # halves away from zero
        return np.clip(nearest, low, high).astype(op.output.dtype)

    return kernel


def tap_sums(window: Window, x: np.ndarray, dtype: type) -> np.ndarray:
    """The sum of every window, (n, rows, columns, channels)."""
    sums: np.ndarray = np.zeros((len(x), window.rows.count, window.columns.count, x.shape[3]), dtype)
    for _, _, values in window.taps(window.pad(x, 0)):
        sums += values
    return sums


def mean(op: Op, budget: Budget) -> Kernel:
    check_float32(op, 0)
    axes, shape, _ = mean_axes(op)
    op.check_output_shape(shape)
    return lambda x: x.mean(axis=axes).reshape(len(x), *shape)


def quantize(op: Op, budget: Budget) -> Kernel:
    source, out = op.operand(0), quantization_of(op, op.output)
    op.check_output_shape(source.shape[1:])
    budget.scratch(source.size)
    if source.dtype != "float32":
        factor = check_shift(op, multiplier(quantization_of(op, source).scale / out.scale))
        zero_point, finish = quantization_of(op, source).zero_point, output_stage(op, 0)
        return lookup_table(op, lambda x: finish(multiply(x - zero_point, factor)), 1)
    low, high = op.output.limits
    scale, offset = np.float32(out.scale), np.float32(out.zero_point)

    def kernel(x: np.ndarray) -> np.ndarray:
        steps = round_half_away(x / scale) + offset
        return np.clip(np.nan_to_num(steps), low, high).astype(op.output.dtype)

    return kernel


def dequantize(op: Op, budget: Budget) -> Kernel:
    """Integers or float16 -> float32. A float16 file stores its weights as constants of this op."""
    source = op.operand(0)
    check_float32(op)
    op.check_output_shape(source.shape[1:])
    if source.dtype == "float16":
        return lambda x: x.astype(np.float32)
    found = quantization_of(op, source)
    scale, zero_point = np.float32(found.scale), np.float32(found.zero_point)
    return lambda x: (x.astype(np.float32) - zero_point) * scale


def check_same_quantization(op: Op, *numbers: int) -> None:
    """Raises RefusedError unless these operands and the output have the same dtype and quantisation."""
    check_same_dtype(op, *numbers)
    if op.output.dtype == "float32":
        return
    wanted = quantization_of(op, op.output)
    for number in numbers:
        found = quantization_of(op, op.operand(number))
        if (found.scale, found.zero_point) != (wanted.scale, wanted.zero_point):
            raise RefusedError(f"{op.kind} {op.output.name!r} changes the scale, which this engine does not support")


# `program.builder_of` looks in the arithmetic files first, because some of these ops are there too.
KERNELS: dict[str, Builder] = {
    **dict.fromkeys(("RESHAPE", "SQUEEZE", "EXPAND_DIMS"), reshape),
    "CONCATENATION": concatenation,
    "PAD": pad,
    "MAX_POOL_2D": max_pool,
    "AVERAGE_POOL_2D": average_pool,
    "MEAN": mean,
    "QUANTIZE": quantize,
    "DEQUANTIZE": dequantize,
}
