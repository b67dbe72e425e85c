"""Integer kernels, bit for bit like tensorflow/lite/kernels/internal/reference (and reference/integer_ops).

int8 ops with one or two operands are lookup tables of 256 or 65,536 results, computed once. int16 ops compute the same
fixed-point arithmetic in every run.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from fmnist_edge.runtime.engines.numpy.broadcast import Kernel, binary
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.fixed_point import (
    Multiplier,
    multiplier,
    multiply,
    multiply_once,
    multiply_wide,
    quantize_multipliers,
)
from fmnist_edge.runtime.engines.numpy.linear import Linear, exact_dtype, linear
from fmnist_edge.runtime.engines.numpy.model import Op, Quantization
from fmnist_edge.runtime.engines.numpy.nonlinear import sigmoid, softmax
from fmnist_edge.runtime.engines.numpy.quantization import (
    check_same_dtype,
    check_shift,
    lookup_table,
    output_stage,
    quantization_of,
)
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["KERNELS", "mean_axes"]

LIMITED = {"RELU": 1, "RELU_N1_TO_1": 2, "RELU6": 3}  # enum ActivationFunctionType


def linear_layer(op: Op, budget: Budget) -> Kernel:
    found = linear(op, budget)
    source = quantization_of(op, op.operand(0))
    check_same_dtype(op, 0)
    low, high = op.operand(0).limits
    dtype = exact_dtype(found, max(high - source.zero_point, source.zero_point - low))
    weights: np.ndarray = np.ascontiguousarray(found.weights, dtype)
    factors = check_shift(op, quantize_multipliers(output_factors(op, found, source)))
    bias = np.int64(0) if found.bias is None else found.bias.astype(np.int64)
    # The sum has the bias's dtype.
    wide = found.bias is not None and found.bias.dtype == np.int64
    rescale = RESCALE[op.kind][wide]
    finish = output_stage(op, found.activation)
    zero_point = dtype(source.zero_point)

    def kernel(x: np.ndarray) -> np.ndarray:
        sums = found.product(x.astype(dtype) - zero_point, weights).astype(np.int64)
        sums += bias
        return finish(rescale(sums, factors))

    return kernel


# How 32-bit and 64-bit sums are rescaled. TensorFlow Lite Micro rescales dense layers like convolutions.
RESCALE = {
    "CONV_2D": (multiply, multiply_wide),
    "DEPTHWISE_CONV_2D": (multiply, multiply_wide),
    "FULLY_CONNECTED": (multiply_once, multiply_once),
}


def output_factors(op: Op, found: Linear, source: Quantization) -> np.ndarray:
    """Factors from a sum to the output's integers, float64 () or (output channels,)."""
    quantization = found.filter.quantization
    if quantization is None or quantization.zero_points.any() or found.filter.dtype != "int8":
        raise RefusedError(f"{op.kind} {op.output.name!r} has weights that are not symmetric int8")
    scales = quantization.scales
    if len(scales) not in (1, found.channels) or not (np.isfinite(scales).all() and (scales >= 0).all()):
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} has weight scales that are not finite, or too few")
    target = np.float64(quantization_of(op, op.output).scale)
    if op.kind == "FULLY_CONNECTED" and len(scales) == 1:  # the reference kernel multiplies in float32 here
        return (np.float32(source.scale) * scales).astype(np.float64).reshape(()) / target
    factors = np.float64(source.scale) * scales.astype(np.float64) / target
    return factors if len(scales) > 1 else factors.reshape(())


def add(op: Op, budget: Budget) -> Kernel:
    return sum_of(op, budget, 1)


def subtract(op: Op, budget: Budget) -> Kernel:
    if op.output.dtype != "int8":
        raise RefusedError(f"SUB {op.output.name!r} is {op.output.dtype}; this engine has an int8 kernel only")
    return sum_of(op, budget, -1)


def sum_of(op: Op, budget: Budget, sign: int) -> Kernel:
    check_same_dtype(op, 0, 1)
    one, two, out = (quantization_of(op, tensor) for tensor in (op.operand(0), op.operand(1), op.output))
    if op.output.dtype == "int16" and op.integer(1, "bool", 1):
        raise RefusedError(
            f"ADD {op.output.name!r} is int16 with power-of-two scales, which this engine does not support"
        )
    left = 15 if op.output.dtype == "int16" else 20  # bits that the inputs are shifted left, for precision
    top = 2.0 * max(one.scale, two.scale)
    first, second = multiplier(one.scale / top), multiplier(two.scale / top)
    last = check_shift(op, multiplier(top / ((1 << left) * out.scale)))
    finish = output_stage(op, op.integer(0, "int8"))

    def function(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        total = multiply((a - one.zero_point) << left, first) + sign * multiply((b - two.zero_point) << left, second)
        return finish(multiply(total, last))

    return binary(op, budget, lookup_table(op, function, 2))


def mul(op: Op, budget: Budget) -> Kernel:
    check_same_dtype(op, 0, 1)
    one, two, out = (quantization_of(op, tensor) for tensor in (op.operand(0), op.operand(1), op.output))
    ratio = np.float32(one.scale) * np.float32(two.scale) / np.float32(out.scale)
    factor = check_shift(op, multiplier(float(ratio)))
    finish = output_stage(op, op.integer(0, "int8"))

    def function(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return finish(multiply((a - one.zero_point) * (b - two.zero_point), factor))

    return binary(op, budget, lookup_table(op, function, 2))


def relu(op: Op, budget: Budget) -> Kernel:
    """RELU and its kinds with other limits."""
    op.check_output_shape(op.operand(0).shape[1:])
    check_same_dtype(op, 0)
    source, out = quantization_of(op, op.operand(0)), quantization_of(op, op.output)
    factor = check_shift(op, multiplier(float(np.float32(source.scale) / np.float32(out.scale))))
    finish = output_stage(op, LIMITED[op.kind])
    return lookup_table(op, lambda x: finish(multiply(x - source.zero_point, factor)), 1)


def mean(op: Op, budget: Budget) -> Kernel:
    """reference_ops::QuantizedMeanOrSum: the multiplier includes the division by the number of values."""
    check_same_dtype(op, 0)
    axes, shape, count = mean_axes(op)
    op.check_output_shape(shape)
    source, out = quantization_of(op, op.operand(0)), quantization_of(op, op.output)
    factor = check_shift(op, multiplier(source.scale / out.scale))
    shift = min(count.bit_length() - 1, 32, 31 + int(factor.shift))
    by = Multiplier((factor.mantissa << shift) // count, factor.shift - shift)
    finish = output_stage(op, 0)

    def kernel(x: np.ndarray) -> np.ndarray:
        sums = x.sum(axis=axes, dtype=np.int64) - source.zero_point * count
        return finish(multiply(sums, by)).reshape(len(x), *shape)

    return kernel


def mean_axes(op: Op) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """(axes that a MEAN reduces, output shape per image, number of values per mean)."""
    rank = len(op.operand(0).shape)
    found = op.constant(1)
    if found.dtype.kind != "i" or found.size > rank:
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} over axes {found.dtype} {found.shape}")
    axes = tuple(sorted({int(axis) + rank * (axis < 0) for axis in found.reshape(-1)}))
    if not axes or not 0 < axes[0] <= axes[-1] < rank:
        raise RefusedError(f"{op.kind} {op.output.name!r} over axes {axes} of {rank}; expected axes from 1 on")
    sizes = op.operand(0).shape
    keep = bool(op.integer(0, "bool"))
    shape = tuple(1 if axis in axes else sizes[axis] for axis in range(1, rank) if keep or axis not in axes)
    return axes, shape, math.prod(sizes[axis] for axis in axes)


KERNELS: dict[str, Callable[[Op, Budget], Kernel]] = {
    "CONV_2D": linear_layer,
    "DEPTHWISE_CONV_2D": linear_layer,
    "FULLY_CONNECTED": linear_layer,
    "ADD": add,
    "MUL": mul,
    "LOGISTIC": sigmoid,
    **dict.fromkeys(LIMITED, relu),
    "SUB": subtract,
    "SOFTMAX": softmax,
    "MEAN": mean,
}
