"""Shared by the integer kernels: checks of scales, the range of the output, and lookup tables."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fmnist_edge.runtime.engines.numpy.fixed_point import Multiplier
from fmnist_edge.runtime.engines.numpy.floats import activation_range
from fmnist_edge.runtime.engines.numpy.model import Op, Quantization, Tensor
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = [
    "Function",
    "check_same_dtype",
    "check_shift",
    "lookup_table",
    "output_stage",
    "quantization_of",
    "quantized_range",
]

Function = Callable[..., np.ndarray]

LARGEST_SHIFT = 30
INTEGERS = ("int8", "int16")
CONVERSIONS = ("QUANTIZE", "DEQUANTIZE")  # these also take uint8, which is the type of cameras' pixels
ALL_INT8 = np.arange(256, dtype=np.uint8).view(np.int8)  # in the order of their bits as uint8


def quantization_of(op: Op, tensor: Tensor) -> Quantization:
    """The single scale and zero point of an operand or the output. Raises RefusedError when they are invalid."""
    found = tensor.per_tensor()
    allowed = (*INTEGERS, "uint8") if op.kind in CONVERSIONS else INTEGERS
    if tensor.dtype not in allowed or not (math.isfinite(found.scale) and found.scale > 0):
        raise RefusedError(f"{op.kind} {op.output.name!r} has a tensor of {tensor.dtype} with scale {found.scale}")
    low, high = tensor.limits
    if not low <= found.zero_point <= high or (tensor.dtype == "int16" and found.zero_point):
        raise RefusedError(f"{op.kind} {op.output.name!r} has a zero point of {found.zero_point} for {tensor.dtype}")
    return found


def check_shift(op: Op, factors: Multiplier) -> Multiplier:
    if np.max(factors.shift) > LARGEST_SHIFT:
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} rescales by 2^{np.max(factors.shift)}")
    return factors


def quantized_range(op: Op, code: int) -> tuple[int, int]:
    """(least, largest) output for the dtype and the fused activation (CalculateActivationRangeQuantized)."""
    low, high = op.output.limits
    quantization = quantization_of(op, op.output)

    def steps(value: float) -> int:
        ratio = float(np.float32(value) / np.float32(quantization.scale))
        return quantization.zero_point + math.floor(abs(ratio) + 0.5) * (1 if ratio >= 0 else -1)

    least, most = activation_range(op, code)
    return (
        low if math.isinf(least) else max(low, steps(least)),
        high if math.isinf(most) else min(high, steps(most)),
    )


def output_stage(op: Op, code: int) -> Function:
    """The last stage of a kernel, in place: adds the zero point to int64 sums, applies the activation and casts."""
    zero_point, (low, high), dtype = (
        quantization_of(op, op.output).zero_point,
        quantized_range(op, code),
        op.output.dtype,
    )

    def finish(sums: np.ndarray) -> np.ndarray:
        sums += zero_point
        return np.clip(sums, low, high, out=sums).astype(dtype)

    return finish


def check_same_dtype(op: Op, *numbers: int) -> None:
    if any(op.operand(number).dtype != op.output.dtype for number in numbers):
        raise RefusedError(f"{op.kind} {op.output.name!r} mixes dtypes in a way that this engine does not support")


def lookup_table(op: Op, function: Function, operands: int) -> Function:
    """`function` of int64 arrays, for operands of the op's dtype. For int8 operands it becomes a lookup table."""
    if op.operand(0).dtype != "int8":
        return lambda *values: function(*(value.astype(np.int64) for value in values))
    grid = ALL_INT8.astype(np.int64)
    if operands == 1:
        table = function(grid.copy())
        return lambda x: table[x.view(np.uint8)]
    table = function(np.repeat(grid, 256), np.tile(grid, 256))

    def look_up(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        index = a.view(np.uint8).astype(np.uint16) << 8
        return table[index | b.view(np.uint8)]

    return look_up
