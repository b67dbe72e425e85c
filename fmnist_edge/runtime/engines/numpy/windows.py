"""Sliding windows over images, for convolutions and pooling."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["Window", "window_of"]

SAME = 0  # enum Padding; VALID is 1
TAP_OVERHEAD = 4096  # cost of one step of the Python loop, in multiply-accumulates


@dataclass(frozen=True)
class Axis:
    """One direction: `count` windows, `stride` apart, of `size` values, `dilation` apart.

    `before`, `after`: padding in values.
    """

    count: int
    size: int
    stride: int
    dilation: int
    before: int
    after: int

    def positions(self, offset: int) -> slice:
        """Positions, after padding, of the value at `offset` in every window."""
        start = offset * self.dilation
        return slice(start, start + (self.count - 1) * self.stride + 1, self.stride)


@dataclass(frozen=True)
class Window:
    rows: Axis
    columns: Axis

    def pad(self, x: np.ndarray, value: float) -> np.ndarray:
        """(n, height, width, channels), padded with `value`."""
        rows, columns = self.rows, self.columns
        if not (rows.before or rows.after or columns.before or columns.after):
            return x
        n, height, width, channels = x.shape
        shape = (n, rows.before + height + rows.after, columns.before + width + columns.after, channels)
        padded = np.full(shape, value, x.dtype)
        padded[:, rows.before : rows.before + height, columns.before : columns.before + width] = x
        return padded

    def taps(self, padded: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """For each place in a window: (row, column, its values in all windows (n, rows, columns, channels))."""
        for row in range(self.rows.size):
            for column in range(self.columns.size):
                yield row, column, padded[:, self.rows.positions(row), self.columns.positions(column)]

    def patches(self, padded: np.ndarray) -> np.ndarray:
        """(n, windows, values of a window). The values are in the order of a filter: rows, columns, channels."""
        rows, columns = self.rows, self.columns
        if rows.size == columns.size == 1:
            return padded[:, rows.positions(0), columns.positions(0)].reshape(len(padded), -1, padded.shape[-1])
        extent = ((rows.size - 1) * rows.dilation + 1, (columns.size - 1) * columns.dilation + 1)
        views = sliding_window_view(padded, extent, axis=(1, 2))  # (n, y, x, channels, *extent)
        views = views[:, rows.positions(0), columns.positions(0), :, :: rows.dilation, :: columns.dilation]
        return views.transpose(0, 1, 2, 4, 5, 3).reshape(len(padded), rows.count * columns.count, -1)


def window_of(
    op: Op, size: tuple[int, int], stride: tuple[int, int], budget: Budget, dilation: tuple[int, int] = (1, 1)
) -> Window:
    """The windows of an op over its first operand, (batch, height, width, channels). Pairs are (rows, columns).

    Raises RefusedError for an invalid geometry, and for one that costs too much.
    """
    image = op.operand(0)
    padding = op.integer(0, "int8")
    if len(image.shape) != 4 or min(*size, *stride, *dilation) < 1 or padding not in (0, 1):
        raise RefusedError(
            f"damaged: {op.kind} {op.output.name!r} slides {size} by {stride} over {image.shape}, padding {padding}"
        )
    numbers = zip(image.shape[1:3], size, stride, dilation)
    axes = [axis(length, extent, step, apart, padding == SAME) for length, extent, step, apart in numbers]
    if min(item.count for item in axes) < 1:
        raise RefusedError(f"damaged: {op.kind} {op.output.name!r} slides {size} over an image of {image.shape[1:3]}")
    rows, columns = axes
    window = Window(rows, columns)
    height, width = (item.before + length + item.after for item, length in zip(axes, image.shape[1:3]))
    budget.scratch(height * width * image.shape[3])
    values = rows.count * columns.count * image.shape[3] + TAP_OVERHEAD
    budget.spend("multiply-accumulates", rows.size * columns.size * values)
    return window


def axis(length: int, size: int, stride: int, dilation: int, same: bool) -> Axis:
    extent = (size - 1) * dilation + 1
    if not same:
        return Axis((length - extent) // stride + 1, size, stride, dilation, 0, 0)
    count = -(-length // stride)
    missing = max((count - 1) * stride + extent - length, 0)
    return Axis(count, size, stride, dilation, missing // 2, missing - missing // 2)
