"""Arithmetic with 32-bit fixed-point numbers, rounded like in TensorFlow Lite's reference kernels.

The functions follow gemmlowp/fixedpoint/fixedpoint.h and tensorflow/lite/kernels/internal/common.h. Arrays are int64,
so nothing overflows here that does not overflow there.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Multiplier",
    "exp_on_negative_values",
    "high_mul",
    "integer_radius",
    "logistic",
    "multiplier",
    "multiply",
    "multiply_once",
    "multiply_wide",
    "quantize_multipliers",
    "reciprocal_of_one_plus",
    "round_half_away",
    "rounding_divide_by_power",
    "shift_left_saturating",
]

INT32_MAX = (1 << 31) - 1


@dataclass(frozen=True)
class Multiplier:
    """A factor, mantissa · 2^(shift - 31). int64 arrays of shape () or (channels,)."""

    mantissa: np.ndarray
    shift: np.ndarray


def round_half_away(values: np.ndarray) -> np.ndarray:
    """Round floats to the nearest whole number, halves away from zero (std::round)."""
    whole = np.trunc(values)
    whole += np.copysign(np.abs(values - whole) >= 0.5, values).astype(whole.dtype)
    return whole


def quantize_multipliers(factors: np.ndarray) -> Multiplier:
    """Factors >= 0, float64 -> mantissas of 31 bits (QuantizeMultiplier)."""
    fractions, shifts = np.frexp(np.asarray(factors, np.float64))
    mantissas = np.floor(fractions * (1 << 31) + 0.5).astype(np.int64)
    full = mantissas == 1 << 31
    mantissas, shifts = np.where(full, mantissas // 2, mantissas), shifts.astype(np.int64) + full
    lost = shifts < -31
    return Multiplier(np.where(lost, 0, mantissas), np.where(lost, 0, shifts))


def multiplier(factor: float) -> Multiplier:
    return quantize_multipliers(np.asarray(factor))


def multiply(x: np.ndarray, by: Multiplier) -> np.ndarray:
    """x · by for int32 values, in place (MultiplyByQuantizedMultiplier). Rounds twice: first to nearest, then to
    nearest with ties away from zero. The multiplier is broadcast along the last axis."""
    left = np.maximum(by.shift, 0)
    x *= by.mantissa << left
    return rounding_divide_by_power(high(x), np.maximum(-by.shift, 0))


def multiply_wide(x: np.ndarray, by: Multiplier) -> np.ndarray:
    """x · by for 48-bit values, in place. Rounds once; the mantissa has 15 bits."""
    mantissa = np.where(by.mantissa < 0x7FFF0000, (by.mantissa + (1 << 15)) >> 16, 0x7FFF)
    x *= mantissa
    shift = 15 - by.shift
    x += np.left_shift(1, shift - 1)
    x >>= shift
    return x


def multiply_once(x: np.ndarray, by: Multiplier) -> np.ndarray:
    """x · by, in place. Rounds once, halves up; the mantissa has all 31 bits."""
    x *= by.mantissa
    shift = 31 - by.shift
    x += np.left_shift(1, shift - 1)
    x >>= shift
    return x


def high(products: np.ndarray) -> np.ndarray:
    """products / 2^31, rounded to nearest, in place. The original adds 1 - 2^30 to a negative product and truncates;
    adding 2^30 and shifting gives the same."""
    products += 1 << 30
    products >>= 31
    return products


def high_mul(a: np.ndarray, b: np.ndarray | int) -> np.ndarray:
    """a · b / 2^31 (SaturatingRoundingDoublingHighMul)."""
    return np.minimum(high(a * b), INT32_MAX)


def rounding_divide_by_power(x: np.ndarray, exponent: np.ndarray | int) -> np.ndarray:
    """x / 2^exponent, rounded to nearest with ties away from zero, in place (RoundingDivideByPOT)."""
    if not np.any(exponent):
        return x
    half = np.left_shift(1, exponent) >> 1
    if np.all(half):
        x += x >> 63  # -1 for negative numbers
    else:
        x -= (x < 0) & (half > 0)
    x += half
    x >>= exponent
    return x


def shift_left_saturating(x: np.ndarray, exponent: int) -> np.ndarray:
    return np.clip(x << exponent, -INT32_MAX - 1, INT32_MAX)


# (power of two, exp(-2^power) with 31 fractional bits)
EXPONENTIALS = (
    (-2, 1672461947), (-1, 1302514674), (0, 790015084), (1, 290630308), (2, 39332535), (3, 720401), (4, 242)
)  # fmt: skip


def exp_on_negative_values(x: np.ndarray, integer_bits: int) -> np.ndarray:
    """exp(x) with 31 fractional bits, for x <= 0 with `integer_bits` integer bits."""
    fraction_bits = 31 - integer_bits
    quarter = 1 << (fraction_bits - 2)
    below_quarter = (x & (quarter - 1)) - quarter
    result = exp_near_zero(shift_left_saturating(below_quarter, integer_bits))
    rest = below_quarter - x
    for power, factor in EXPONENTIALS:
        if integer_bits > power:
            has_bit = (rest & (1 << (fraction_bits + power))) != 0
            result = np.where(has_bit, high_mul(result, factor), result)
    return np.where(x == 0, INT32_MAX, result)


def exp_near_zero(x: np.ndarray) -> np.ndarray:
    """exp(x) for -1/4 <= x < 0, both with 31 fractional bits: a Taylor series of degree 4 around -1/8."""
    exp_of_middle, third = 1895147668, 715827883
    y = x + (1 << 28)
    y2 = high_mul(y, y)
    y3, y4 = high_mul(y2, y), high_mul(y2, y2)
    quarter_y4 = rounding_divide_by_power(y4, 2)
    rest = rounding_divide_by_power(high_mul(quarter_y4 + y3, third) + y2, 1)
    return exp_of_middle + high_mul(y + rest, exp_of_middle)


def reciprocal_of_one_plus(x: np.ndarray) -> np.ndarray:
    """1 / (1 + x) for 0 <= x <= 1, with 31 fractional bits: three Newton-Raphson steps."""
    half_denominator = (x + INT32_MAX + 1) >> 1
    found = 1515870810 + high_mul(half_denominator, -1010580540)  # 48/17 - 32/17 · d, with 29 fractional bits
    for _ in range(3):
        error = (1 << 29) - high_mul(half_denominator, found)
        found = found + shift_left_saturating(high_mul(found, error), 2)
    return shift_left_saturating(found, 1)


def logistic(x: np.ndarray, integer_bits: int) -> np.ndarray:
    """1 / (1 + exp(-x)) with 31 fractional bits, for x with `integer_bits` integer bits."""
    positive = reciprocal_of_one_plus(exp_on_negative_values(-np.abs(x), integer_bits))
    return np.where(x == 0, 1 << 30, np.where(x > 0, positive, INT32_MAX - positive))


def integer_radius(integer_bits: int, left_shift: int) -> int:
    """The largest input that is below 2^integer_bits after scaling (CalculateInputRadius)."""
    largest = ((1 << integer_bits) - 1) * 2.0 ** (31 - integer_bits)
    return math.floor(largest / 2.0**left_shift)
