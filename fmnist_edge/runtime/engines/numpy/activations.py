"""int8 kernels of further activations, bit for bit like TensorFlow Lite's reference kernels."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fmnist_edge.runtime.engines.numpy.broadcast import Kernel, binary
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.fixed_point import (
    multiplier,
    multiply,
    round_half_away,
    rounding_divide_by_power,
)
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.engines.numpy.quantization import (
    check_same_dtype,
    check_shift,
    lookup_table,
    output_stage,
    quantization_of,
)
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["KERNELS"]

INT16 = -(1 << 15), (1 << 15) - 1


def leaky_relu(op: Op, budget: Budget) -> Kernel:
    """reference_ops::QuantizeLeakyRelu."""
    op.check_output_shape(op.operand(0).shape[1:])
    check_same_dtype(op, 0)
    source, out = quantization_of(op, op.operand(0)), quantization_of(op, op.output)
    alpha = op.real(0)
    if alpha < 0:
        raise RefusedError(f"LEAKY_RELU {op.output.name!r} has a slope of {alpha}; this engine has slopes from 0 on")
    above = check_shift(op, multiplier(float(np.float32(source.scale) / np.float32(out.scale))))
    slope = np.float32(source.scale) * np.float32(alpha) / np.float32(out.scale)
    below = check_shift(op, multiplier(float(slope)))
    finish = output_stage(op, 0)

    def function(x: np.ndarray) -> np.ndarray:
        x = x - source.zero_point
        return finish(np.where(x >= 0, multiply(x.copy(), above), multiply(x.copy(), below)))

    return lookup_table(op, function, 1)


def prelu(op: Op, budget: Budget) -> Kernel:
    """reference_ops::Prelu: one slope for each channel, or each value."""
    check_same_dtype(op, 0, 1)
    source, slopes, out = (quantization_of(op, tensor) for tensor in (op.operand(0), op.operand(1), op.output))
    ratio = np.float32(source.scale) / np.float32(out.scale)
    above = check_shift(op, multiplier(float(ratio)))
    product = np.float32(source.scale) * np.float32(slopes.scale) / np.float32(out.scale)
    below = check_shift(op, multiplier(float(product)))
    finish = output_stage(op, 0)

    def function(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        a, b = a - source.zero_point, b - slopes.zero_point
        return finish(np.where(a >= 0, multiply(a.copy(), above), multiply(a * b, below)))

    return binary(op, budget, lookup_table(op, function, 2))


def hard_swish(op: Op, budget: Budget) -> Kernel:
    """reference_ops::HardSwish, with 16-bit fixed-point numbers."""
    op.check_output_shape(op.operand(0).shape[1:])
    check_same_dtype(op, 0)
    source, out = quantization_of(op, op.operand(0)), quantization_of(op, op.output)
    fine = np.float32(1 / 128) * np.float32(source.scale)
    to_output, output_exponent = short_multiplier(float(fine / np.float32(out.scale)))
    to_relu, relu_exponent = short_multiplier(float(fine / np.float32(3 / 32768)))
    if output_exponent > 0 or abs(relu_exponent) > 14:
        raise RefusedError(f"HARD_SWISH {op.output.name!r} has scales {source.scale} and {out.scale}: out of range")
    finish = output_stage(op, 0)

    def function(x: np.ndarray) -> np.ndarray:
        x = (x - source.zero_point) << 7
        scaled = high16(x * to_output + (1 << 14))
        gate = np.clip(x << max(relu_exponent - 1, 0), *INT16)
        gate = high16(gate * to_relu + (1 << 14))
        if relu_exponent > 0:
            gate = np.clip(gate << 1, *INT16)
        gate = rounding_divide_by_power(gate, max(-relu_exponent, 0))
        gate = (gate + (1 << 15)) >> 1
        return finish(rounding_divide_by_power(high16(gate * scaled), -output_exponent))

    return lookup_table(op, function, 1)


def short_multiplier(factor: float) -> tuple[int, int]:
    """(mantissa with 15 bits, exponent) of a factor (DownScaleInt32ToInt16Multiplier)."""
    found = multiplier(factor)
    return min((int(found.mantissa) + (1 << 15)) >> 16, INT16[1]), int(found.shift)


def high16(products: np.ndarray) -> np.ndarray:
    """products / 2^15, truncated like in C."""
    return np.clip(np.sign(products) * (np.abs(products) >> 15), *INT16)


def by_float(function: Callable[[np.ndarray], np.ndarray]) -> Callable[[Op, Budget], Kernel]:
    """A kernel for a table that TensorFlow Lite computes in float32 (LUTPopulate)."""

    def build(op: Op, budget: Budget) -> Kernel:
        op.check_output_shape(op.operand(0).shape[1:])
        check_same_dtype(op, 0)
        source, out = quantization_of(op, op.operand(0)), quantization_of(op, op.output)
        inverse = np.float32(1) / np.float32(out.scale)

        def table(x: np.ndarray) -> np.ndarray:
            real = np.float32(source.scale) * (x - source.zero_point).astype(np.float32)
            steps = round_half_away(function(real).astype(np.float32) * inverse)
            return np.clip(steps + np.float32(out.zero_point), -128, 127).astype(np.int8)

        return lookup_table(op, table, 1)

    return build


def gelu(op: Op, budget: Budget) -> Kernel:
    function = approximate_gelu if op.integer(0, "bool") else exact_gelu
    return by_float(function)(op, budget)


def exact_gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * value * math.erfc(-value * math.sqrt(0.5)) for value in x.tolist()])


def approximate_gelu(x: np.ndarray) -> np.ndarray:
    wide = x.astype(np.float64)
    return 0.5 * wide * (1 + np.tanh(math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)))


def tanh(op: Op, budget: Budget) -> Kernel:
    return by_float(lambda x: np.tanh(x.astype(np.float64)))(op, budget)


def larger_or_smaller(op: Op, budget: Budget) -> Kernel:
    """MAXIMUM and MINIMUM of values with the same scale."""
    check_same_dtype(op, 0, 1)
    wanted = quantization_of(op, op.output)
    for number in (0, 1):
        found = quantization_of(op, op.operand(number))
        if (found.scale, found.zero_point) != (wanted.scale, wanted.zero_point):
            raise RefusedError(f"{op.kind} {op.output.name!r} changes the scale, which this engine does not support")
    return binary(op, budget, np.maximum if op.kind == "MAXIMUM" else np.minimum)


KERNELS: dict[str, Callable[[Op, Budget], Kernel]] = {
    "LEAKY_RELU": leaky_relu,
    "PRELU": prelu,
    "HARD_SWISH": hard_swish,
    "TANH": tanh,
    "GELU": gelu,
    "EXP": by_float(lambda x: np.exp(x.astype(np.float64))),
    "MAXIMUM": larger_or_smaller,
    "MINIMUM": larger_or_smaller,
}
