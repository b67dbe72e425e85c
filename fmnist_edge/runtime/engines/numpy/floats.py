"""Kernels in float32. Images never share a matrix product, so an answer does not depend on the other images."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fmnist_edge.runtime.engines.numpy.broadcast import Kernel, binary
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.linear import linear
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["KERNELS", "activate", "check_float32"]

Elementwise = Callable[[np.ndarray], np.ndarray]

# enum ActivationFunctionType -> least and largest value
RANGES = {0: (-np.inf, np.inf), 1: (0.0, np.inf), 2: (-1.0, 1.0), 3: (0.0, 6.0)}


def activation_range(op: Op, code: int) -> tuple[float, float]:
    if code not in RANGES:
        raise RefusedError(
            f"{op.kind} {op.output.name!r} has a fused activation of kind {code}, which this engine does not support"
        )
    return RANGES[code]


def activate(op: Op, code: int) -> Elementwise:
    """The fused activation of `op`, in place."""
    low, high = activation_range(op, code)
    if (low, high) == RANGES[0]:
        return lambda x: x
    return lambda x: np.clip(x, np.float32(low), np.float32(high), out=x)


def check_float32(op: Op, *numbers: int) -> None:
    """Raises RefusedError unless these operands and the output are float32."""
    for tensor in (*(op.operand(number) for number in numbers), op.output):
        if tensor.dtype != "float32":
            raise RefusedError(
                f"{op.kind} {op.output.name!r} mixes float32 with {tensor.dtype}, which this engine does not support"
            )


def linear_layer(op: Op, budget: Budget) -> Kernel:
    found = linear(op, budget)
    check_float32(op, 0, 1)
    weights = np.ascontiguousarray(found.weights, np.float32)
    bias = np.float32(0) if found.bias is None else found.bias.astype(np.float32)
    fused = activate(op, found.activation)

    def kernel(x: np.ndarray) -> np.ndarray:
        out = found.product(x, weights)
        out += bias
        return fused(out)

    return kernel


def arithmetic(function: np.ufunc) -> Callable[[Op, Budget], Kernel]:
    def build(op: Op, budget: Budget) -> Kernel:
        check_float32(op, 0, 1)
        fused = activate(op, op.integer(0, "int8"))
        return binary(op, budget, lambda a, b: fused(function(a, b)))

    return build


def elementwise(function: Elementwise) -> Callable[[Op, Budget], Kernel]:
    def build(op: Op, budget: Budget) -> Kernel:
        check_float32(op, 0)
        op.check_output_shape(op.operand(0).shape[1:])
        return function

    return build


def logistic(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def softmax(op: Op, budget: Budget) -> Kernel:
    check_float32(op, 0)
    op.check_output_shape(op.operand(0).shape[1:])
    beta = np.float32(op.real(0))

    def kernel(x: np.ndarray) -> np.ndarray:
        powers = np.exp((x - x.max(axis=-1, keepdims=True)) * beta)
        return powers / powers.sum(axis=-1, keepdims=True)

    return kernel


def local_response_normalization(op: Op, budget: Budget) -> Kernel:
    """y = x · (bias + alpha · Σ x² over 2 · radius + 1 channels)^-beta; Krizhevsky et al. 2012, section 3.3."""
    check_float32(op, 0)
    shape = op.operand(0).shape[1:]
    op.check_output_shape(shape)
    radius = min(max(op.integer(0, "int32"), 0), shape[-1] - 1) if shape else 0
    bias, alpha, beta = (np.float32(op.real(field)) for field in (1, 2, 3))
    window = 2 * radius + 1
    budget.spend("multiply-accumulates", op.output.size * window)
    budget.scratch(op.output.size * window)

    def kernel(x: np.ndarray) -> np.ndarray:
        squares = np.pad(x * x, [(0, 0)] * (x.ndim - 1) + [(radius, radius)])
        energy = sliding_window_view(squares, window, axis=-1).sum(axis=-1)
        return x * (bias + alpha * energy) ** -beta

    return kernel


KERNELS: dict[str, Callable[[Op, Budget], Kernel]] = {
    "CONV_2D": linear_layer,
    "DEPTHWISE_CONV_2D": linear_layer,
    "FULLY_CONNECTED": linear_layer,
    "ADD": arithmetic(np.add),
    "MUL": arithmetic(np.multiply),
    "RELU": elementwise(lambda x: np.maximum(x, np.float32(0))),
    "LOGISTIC": elementwise(logistic),
    "RSQRT": elementwise(lambda x: 1 / np.sqrt(x)),
    "SQUARE": elementwise(np.square),
    "SOFTMAX": softmax,
    "LOCAL_RESPONSE_NORMALIZATION": local_response_normalization,
}
