"""Integer kernels of LOGISTIC and SOFTMAX, bit for bit like TensorFlow Lite's reference kernels."""

from __future__ import annotations

import numpy as np

from fmnist_edge.runtime.engines.numpy.broadcast import Kernel
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.fixed_point import (
    exp_on_negative_values,
    high_mul,
    integer_radius,
    logistic,
    multiplier,
    multiply,
    reciprocal_of_one_plus,
    rounding_divide_by_power,
)
from fmnist_edge.runtime.engines.numpy.model import Op, Quantization
from fmnist_edge.runtime.engines.numpy.quantization import (
    Function,
    check_same_dtype,
    check_shift,
    lookup_table,
    quantization_of,
)
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["sigmoid", "softmax", "softmax_powers"]

# Indices i at which the reference kernels' table of 65,536 · sigmoid(i / 24) is one above the rounded value; measured.
ROUNDED_UP = (
    4, 8, 12, 14, 15, 16, 17, 19, 20, 21, 22, 25, 27, 28, 29, 30, 31, 33, 34, 35, 37, 39, 40, 41, 43, 44, 45,
    46, 49, 50, 54, 62, 63, 64, 66, 82, 86, 93, 100, 103, 112, 116, 135,
)  # fmt: skip


def sigmoid(op: Op, budget: Budget) -> Kernel:
    op.check_output_shape(op.operand(0).shape[1:])
    check_same_dtype(op, 0)
    source = quantization_of(op, op.operand(0))
    out = quantization_of(op, op.output)
    if op.output.dtype == "int8":
        if (out.scale, out.zero_point) != (1 / 256, -128):
            raise RefusedError(
                f"damaged: LOGISTIC {op.output.name!r} has scale {out.scale}, zero point {out.zero_point}; "
                "expected 1/256, -128"
            )
        return lookup_table(op, sigmoid8(op, source), 1)
    return lookup_table(op, sigmoid16(source.scale), 1)


def sigmoid8(op: Op, source: Quantization) -> Function:
    """reference_integer_ops::Logistic for int8, with 4 integer bits."""
    factor = check_shift(op, multiplier(source.scale * 2.0**27))
    radius = integer_radius(4, int(factor.shift))

    def function(x: np.ndarray) -> np.ndarray:
        x = x - source.zero_point
        fixed = multiply(np.clip(x, -radius, radius), factor)
        out = np.clip(rounding_divide_by_power(logistic(fixed, 4), 23) - 128, -128, 127)
        out = np.where(x < -radius, -128, np.where(x > radius, 127, out))
        return out.astype(np.int8)

    return function


def sigmoid16(scale: float) -> Function:
    """reference_integer_ops::Logistic for int16: linear interpolation in a table of sigmoid(i / 24)."""
    factor, shift = scale * 4096 * 3, 0
    while factor <= 32767 / 2 and shift <= 30:
        factor, shift = factor * 2, shift + 1
    mantissa = int(factor) if factor < 2**31 else 2**31 - 1
    half = 1 << (shift - 1) if shift else 0
    table = np.minimum(np.rint(65536 / (1 + np.exp(-np.arange(256) / 24))), 65535).astype(np.int64)
    table[list(ROUNDED_UP)] += 1

    def function(x: np.ndarray) -> np.ndarray:
        scaled = (x * mantissa + half) >> shift
        magnitude = np.abs(scaled)
        entry, rest = np.minimum(magnitude >> 9, 254), magnitude & 0x1FF
        between = (table[entry] << 9) + rest * (table[entry + 1] - table[entry])
        result = np.where(magnitude >> 9 >= 255, 0x7FFF << 10, between)
        result = np.where(scaled >= 0, result + (1 << 9), (1 << 25) - result + (1 << 9) - 1)
        return (result >> 10).astype(np.int16)

    return function


def softmax(op: Op, budget: Budget) -> Kernel:
    """reference_ops::Softmax for int8: a table of exponentials with 5 integer bits, sums with 12."""
    op.check_output_shape(op.operand(0).shape[1:])
    check_same_dtype(op, 0)
    out = quantization_of(op, op.output)
    if op.output.dtype != "int8" or (out.scale, out.zero_point) != (1 / 256, -128) or op.real(0) <= 0:
        raise RefusedError(
            f"SOFTMAX {op.output.name!r} is {op.output.dtype} with scale {out.scale}; this engine needs int8 with 1/256"
        )
    powers = softmax_powers(op)

    def kernel(x: np.ndarray) -> np.ndarray:
        wide = x.astype(np.int64)
        exps = powers[wide.max(axis=-1, keepdims=True) - wide]
        sums = rounding_divide_by_power(exps.copy(), 12).sum(axis=-1, keepdims=True)
        bits = np.frexp(sums.astype(np.float64))[1].astype(np.int64)  # bit length of the sum; 2^19 stands for 1
        scale = reciprocal_of_one_plus((sums << (32 - bits)) - (1 << 31))
        shares = rounding_divide_by_power(high_mul(exps, scale), bits + 3)
        return np.clip(shares - 128, -128, 127).astype(np.int8)

    return kernel


def softmax_powers(op: Op) -> np.ndarray:
    """exp(-d) with 31 fractional bits, int64 (256,), for a value that is d steps below the largest."""
    factor = check_shift(
        op, multiplier(min(op.real(0) * quantization_of(op, op.operand(0)).scale * 2.0**26, 2.0**31 - 1))
    )
    distances = np.arange(256)
    powers = exp_on_negative_values(multiply(-distances, factor), 5)
    powers[distances > integer_radius(5, int(factor.shift))] = 0
    return powers
