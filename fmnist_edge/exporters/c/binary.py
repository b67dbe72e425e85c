"""Short formulas for sums and products of two int8 values, each checked for all 65,536 pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.engines.numpy.quantization import quantization_of

__all__ = ["Formula", "formula_for"]

LOW_BITS = 14  # FE_LOW_BITS in kernels/binary.h
FACTOR_BITS = {"ADD": 28, "SUB": 28, "MUL": 27}  # of a factor; a product of two int8 values leaves less room
NEIGHBOURS = (0, 1, -1, 2, -2)


@dataclass(frozen=True)
class Formula:
    """(a · first + b · second + add) >> (LOW_BITS + shift) for ADD and SUB, (a · b · first + add) >> ... for MUL.

    a and b are relative to their zero points. The result is limited to low..high. `add` includes the output's zero
    point; `negative` << LOW_BITS is added to it for a product below zero.
    """

    first: int
    second: int
    add: int
    negative: int
    shift: int
    low: int
    high: int


def formula_for(op: Op, results: np.ndarray) -> Formula | None:
    """A formula that gives `results`, int8 (256, 256), for every pair; None when there is none."""
    if op.kind not in FACTOR_BITS:
        return None
    one, two, out = (quantization_of(op, tensor) for tensor in (op.operand(0), op.operand(1), op.output))
    grid = np.arange(-128, 128, dtype=np.int64)
    a, b = (grid - one.zero_point)[:, None], (grid - two.zero_point)[None, :]
    sign = -1 if op.kind == "SUB" else 1
    if op.kind != "MUL":
        real: tuple[float, ...] = (one.scale / out.scale, sign * two.scale / out.scale)
        terms: tuple[np.ndarray, ...] = (np.broadcast_to(a, results.shape), np.broadcast_to(b, results.shape))
    else:
        real, terms = (one.scale * two.scale / out.scale,), (a * b,)
    shift = FACTOR_BITS[op.kind] - LOW_BITS - math.ceil(math.log2(max(map(abs, real))))
    if not 0 <= shift <= 30:
        return None
    bits = LOW_BITS + shift
    wide = results.astype(np.int64)
    low, high = int(wide.min()), int(wide.max())
    for factors in nearby([round(value * 2.0**bits) for value in real]):
        exact = np.sum([factor * term for factor, term in zip(factors, terms, strict=True)], axis=0)
        found = addends(exact, wide, low, high, bits)
        if found is None or (found[1] and op.kind != "MUL"):
            continue
        if fits(found, factors, terms):
            second = factors[1] if len(factors) > 1 else 0
            return Formula(factors[0], second, *found, shift, low, high)
    return None


def nearby(factors: list[int]) -> Iterator[tuple[int, ...]]:
    if len(factors) == 1:
        yield from ((factors[0] + step,) for step in NEIGHBOURS)
        return
    yield from ((factors[0] + one, factors[1] + two) for one in NEIGHBOURS for two in NEIGHBOURS)


def addends(exact: np.ndarray, wide: np.ndarray, low: int, high: int, bits: int) -> tuple[int, int] | None:
    """(add, negative) of a Formula; `negative` is 0 for one that needs none. None without a pair that fits."""
    add = addend(exact, wide, low, high, bits)
    if add is not None:
        return add, 0
    below = exact < 0
    above, under = (addend(exact[where], wide[where], low, high, bits) for where in (~below, below))
    if above is None or under is None:
        return None
    negative = round((under - above) / (1 << LOW_BITS))
    moved = exact + above + np.where(below, negative << LOW_BITS, 0)
    return (above, negative) if np.array_equal(np.clip(moved >> bits, low, high), wide) else None


def addend(exact: np.ndarray, wide: np.ndarray, low: int, high: int, bits: int) -> int | None:
    """The constant with which (exact + constant) >> bits, limited to low..high, is `wide`; None without one.

    A limited result bounds it from one side only.
    """
    least = (wide << bits) - exact
    most = ((wide + 1) << bits) - 1 - exact
    floor = int(least[wide > low].max()) if (wide > low).any() else None
    ceiling = int(most[wide < high].min()) if (wide < high).any() else None
    if floor is None or ceiling is None:
        return floor if ceiling is None else ceiling
    return (floor + ceiling) // 2 if floor <= ceiling else None


def fits(found: tuple[int, int], factors: tuple[int, ...], terms: tuple[np.ndarray, ...]) -> bool:
    """Whether no intermediate result of the C code exceeds 32 bits."""
    add, negative = found
    high = sum((factor >> LOW_BITS) * term for factor, term in zip(factors, terms, strict=False)) + (add >> LOW_BITS)
    high = np.maximum(np.abs(high), np.abs(high + negative))
    low = sum((factor & ((1 << LOW_BITS) - 1)) * term for factor, term in zip(factors, terms, strict=False))
    top = (1 << 31) - (1 << 18)
    return bool(np.abs(high).max() < top and np.abs(low).max() < top and abs(add >> LOW_BITS) < top)
