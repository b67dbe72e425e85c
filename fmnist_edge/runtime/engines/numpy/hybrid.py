"""Hybrid kernels for dynamic_int8: float activations and int8 weights. Inputs are quantised at run time.

Convolutions quantise each image as a whole, dense layers each row. Both round like TensorFlow Lite's reference kernels
(AsymmetricQuantizeFloats and SymmetricQuantizeFloats in tensor_utils).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmnist_edge.runtime.engines.numpy.broadcast import Kernel
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.fixed_point import round_half_away
from fmnist_edge.runtime.engines.numpy.floats import activate, check_float32
from fmnist_edge.runtime.engines.numpy.linear import Linear, exact_dtype, linear
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["KERNELS"]

LARGEST = 255  # largest distance of a quantised value from its zero point


def linear_layer(op: Op, budget: Budget) -> Kernel:
    found = linear(op, budget)
    check_float32(op, 0)
    scales = weight_scales(op, found)
    dtype = exact_dtype(found, LARGEST)
    weights: np.ndarray = np.ascontiguousarray(found.weights, dtype)
    bias = np.float32(0) if found.bias is None else found.bias.astype(np.float32)
    fused = activate(op, found.activation)
    quantize = quantize_symmetric if is_symmetric(op, scales) else quantize_asymmetric

    def kernel(x: np.ndarray) -> np.ndarray:
        rows = found.rows(x)
        values, steps = quantize(rows)
        sums = found.product(values.reshape(x.shape).astype(dtype), weights).astype(np.float32)
        by_row = sums.reshape(len(x), rows.shape[1], -1, sums.shape[-1])
        by_row *= scales * steps[..., None]
        sums += bias
        return fused(sums)

    return kernel


def is_symmetric(op: Op, scales: np.ndarray) -> bool:
    """Whether inputs are quantised symmetrically. A dense layer has an option (asymmetric_quantize_inputs); CONV_2D is
    symmetric when all its weight scales are equal; a depthwise convolution never is."""
    if op.kind == "FULLY_CONNECTED":
        return not op.integer(3, "bool")
    return op.kind == "CONV_2D" and bool((scales == scales.flat[0]).all())


def weight_scales(op: Op, found: Linear) -> np.ndarray:
    """Scales of the weights, float32 (1,) or (output channels,)."""
    quantization = found.filter.quantization
    if quantization is None or quantization.zero_points.any() or len(quantization.scales) not in (1, found.channels):
        raise RefusedError(f"{op.kind} {op.output.name!r} has int8 weights without symmetric scales")
    if not np.isfinite(quantization.scales).all():
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} has weight scales that are not finite")
    return quantization.scales.astype(np.float32)


def quantize_asymmetric(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, r, values) -> (whole numbers relative to the zero point, steps (n, r, 1)). The range -128..127 covers
    each row and 0."""
    low = np.minimum(rows.min(axis=2, keepdims=True), 0).astype(np.float64)
    high = np.maximum(rows.max(axis=2, keepdims=True), 0).astype(np.float64)
    exact = np.where(high > low, (high - low) / 255, 1.0)
    from_low, from_high = -128 - low / exact, 127 - high / exact
    nearer_low = 128 + np.abs(low / exact) < 127 + np.abs(high / exact)
    zero = np.clip(round_half_away(np.where(nearer_low, from_low, from_high)), -128, 127).astype(np.float32)
    zero = np.where(high > low, zero, np.float32(0))
    steps = exact.astype(np.float32)
    values = np.clip(round_half_away(zero + rows * (np.float32(1) / steps)), -128, 127)
    return values - zero, steps


def quantize_symmetric(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 (n, r, values) -> (whole numbers, steps (n, r, 1)). 127 is the largest magnitude of each row."""
    largest = np.abs(rows).max(axis=2, keepdims=True)
    largest = np.where(largest > 0, largest, np.float32(127))
    return np.clip(round_half_away(rows * (np.float32(127) / largest)), -127, 127), largest / np.float32(127)


KINDS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
KERNELS: dict[str, Callable[[Op, Budget], Kernel]] = dict.fromkeys(KINDS, linear_layer)
