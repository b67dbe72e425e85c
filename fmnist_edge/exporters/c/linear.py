"""Convolutions and dense layers: packed weights, folded biases, factors, and proofs that 32 bits hold every sum."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.fixed_point import quantize_multipliers
from fmnist_edge.runtime.engines.numpy.integers import output_factors
from fmnist_edge.runtime.engines.numpy.linear import linear
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.engines.numpy.quantization import quantization_of, quantized_range
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["GROUP", "MOST_SHIFT", "PANEL", "Weights", "grouped", "of_zeros", "pack", "tile_for", "weights_of"]

PANEL, GROUP = 16, 4  # FE_PANEL output channels and a group of inputs, see kernels/linear.h
OVERREAD = 64  # bytes that a kernel may read beyond the last panel
OFFSET = 128  # the largest FE_OFFSET
INT32 = 1 << 31
MOST_SHIFT = 54  # kernels add a zero point of 8 bits before they shift, and a product has 62 bits
MOST_PIXELS = (8, 6, 4, 2)  # of the back ends, in the order of FE_PICK


@dataclass(frozen=True)
class Weights:
    """A linear op, ready to be packed.

    Attributes:
        matrix: int8 (rows, columns, input channels, output channels); dense layers have 1 row and column. For a
            depthwise convolution (rows, columns, 1, output channels).
        bias: int32 (output channels,), with the input's zero point folded in.
        sums: int32 (output channels,), of the weights.
        factors, shifts: int32 (output channels,): a sum times factor / 2^shift.
        once: whether the result is rounded once.
    """

    matrix: np.ndarray
    bias: np.ndarray
    sums: np.ndarray
    factors: np.ndarray
    shifts: np.ndarray
    once: bool
    zero_point: int
    low: int
    high: int


def weights_of(op: Op) -> Weights:
    """Raises RefusedError when a sum or a scaled sum may exceed 32 bits."""
    found = linear(op, Budget())
    source = quantization_of(op, op.operand(0))
    channels = found.channels
    if op.kind == "DEPTHWISE_CONV_2D":
        matrix = found.weights.reshape(*found.weights.shape[:2], 1, channels)
    elif op.kind == "CONV_2D":
        _, height, width, inputs = op.operand(1).shape
        matrix = found.weights.reshape(height, width, inputs, channels)
    else:
        matrix = found.weights.reshape(1, 1, -1, channels)
    if found.bias is not None and found.bias.dtype != np.int32:
        raise RefusedError(f"{op.kind} {op.output.name!r} has a bias of {found.bias.dtype}; expected int32")
    wide = matrix.astype(np.int64)
    sums = wide.sum(axis=(0, 1, 2))
    bias = (0 if found.bias is None else found.bias.astype(np.int64)) - source.zero_point * sums
    multiplier = quantize_multipliers(output_factors(op, found, source))
    factors = np.broadcast_to(multiplier.mantissa, (channels,))
    shifts = np.broadcast_to(31 - multiplier.shift, (channels,))
    largest = np.abs(bias) + OFFSET * np.abs(sums) + 255 * np.abs(wide).sum(axis=(0, 1, 2))
    if largest.max() >= INT32:
        raise RefusedError(f"{op.kind} {op.output.name!r}: its sums may exceed 32 bits")
    if shifts.min() < 1 or (largest * factors.astype(np.float64) / 2.0**shifts).max() >= INT32 - 256:
        raise RefusedError(f"{op.kind} {op.output.name!r}: its scaled sums may exceed 32 bits")
    scaling = of_zeros(factors, shifts, largest)
    if scaling is None:
        raise RefusedError(
            f"{op.kind} {op.output.name!r} has a scale below 2^-{MOST_SHIFT - 30}, and sums above 2^{MOST_SHIFT - 31}"
        )
    factors, shifts = scaling
    low, high = quantized_range(op, found.activation)
    zero_point = quantization_of(op, op.output).zero_point
    once = op.kind == "FULLY_CONNECTED"
    return Weights(matrix.astype(np.int8), bias, sums, factors, shifts, once, zero_point, low, high)


def of_zeros(factors: np.ndarray, shifts: np.ndarray, largest: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Factors and shifts without those above MOST_SHIFT, which scale every sum to 0: their factor is 0 then.

    None when one of them scales a sum to more. `largest`: the most that the channel's sums can be.
    """
    large = shifts > MOST_SHIFT
    halves = np.left_shift(1, np.where(large, shifts.astype(np.int64) - 1, 0))
    if (large & (largest.astype(np.int64) * factors >= halves)).any():
        return None
    return np.where(large, 0, factors), np.where(large, 31, shifts)


def grouped(matrix: np.ndarray, by_rows: bool) -> np.ndarray:
    """int8 (groups of all runs, output channels, GROUP). A run is a row of the window, or one pixel.

    Runs are filled up with zeros to whole groups, and output channels to a multiple of GROUP.
    """
    rows, columns, inputs, channels = matrix.shape
    runs, length = (rows, columns * inputs) if by_rows else (rows * columns, inputs)
    padded = np.zeros((runs, -(-length // GROUP) * GROUP, -(-channels // GROUP) * GROUP), np.int8)
    padded[:, :length, :channels] = matrix.reshape(runs, length, channels)
    return padded.reshape(-1, GROUP, padded.shape[2]).transpose(0, 2, 1)


def pack(lanes: np.ndarray) -> np.ndarray:
    """int8 (bytes,): what `grouped` gives, in panels of PANEL output channels, the last one narrower."""
    panels = [lanes[:, start : start + PANEL].reshape(-1) for start in range(0, lanes.shape[1], PANEL)]
    return np.concatenate([*panels, np.zeros(OVERREAD, np.int8)])


def tile_for(pixels: int, most: int) -> int:
    """How many of `pixels` pixels to compute together: few tiles, and little computed twice in the last one."""
    return min(range(1, min(pixels, most) + 1), key=lambda size: -(-pixels // size) * (size + 1.5))
