"""Which convolutions kernels/winograd.h computes, and the memory that it needs."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["AVX2", "MOST_TRANSFORMED", "POSITIONS", "WASM", "Kernel", "winograd_scratch"]

POSITIONS, WINDOW = 16, 3  # of a tile of 4 x 4 inputs; rows and columns of the weights
# Numbers, so that they stay in a cache. With four tiles these are 2,048 channels of WebAssembly's activations, and four
# times a sum of 9 * 2,048 products of 8 bits fits 32 bits. AVX2's activations have a bit more, and a quarter of that.
MOST_TRANSFORMED = 1 << 17


@dataclass(frozen=True)
class Kernel:
    """How a back end computes such a convolution.

    Attributes:
        lanes: input channels that are transformed at a time.
        together: output channels that are computed together.
        least_tiles: with fewer, transforming the weights costs more than it saves. The kernel computes four together.
        at_once: tiles that are computed before the next ones, if a row of tiles has no more; 0 for all.
    """

    lanes: int
    together: int
    least_tiles: int
    at_once: int = 0

    def most_tiles(self, lines: int, across: int) -> int:
        """Of those that are computed at once, of `lines` rows of `across` tiles."""
        if not self.at_once:
            return lines * across
        parts = -(-lines // max(1, self.at_once // across))
        return -(-lines // parts) * across


WASM = Kernel(lanes=8, together=4, least_tiles=4)
AVX2 = Kernel(lanes=16, together=16, least_tiles=32, at_once=64)  # with 16 tiles, fe_convolve takes 0.75 of the time


def winograd_scratch(kernel: Kernel, window: tuple[int, ...], outputs: tuple[int, int]) -> int | None:
    """Numbers of 16 bits, for the inputs, weights and products; None for a convolution that fe_convolve computes.

    Args:
        window: rows, columns and input channels of the weights; the stride and the dilation are 1.
        outputs: rows and columns.
    """
    height, width, channels = window
    lines, across = (outputs[0] + 1) // 2, (outputs[1] + 1) // 2
    tiles = kernel.most_tiles(lines, across)
    inputs = POSITIONS * tiles * channels
    if (height, width) != (WINDOW, WINDOW) or channels % kernel.lanes:
        return None
    if lines * across < kernel.least_tiles or inputs > MOST_TRANSFORMED:
        return None
    return inputs + POSITIONS * kernel.together * (channels + 2 * tiles)
