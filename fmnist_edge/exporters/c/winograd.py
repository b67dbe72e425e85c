"""Which convolutions kernels/winograd.h computes, and the memory that it needs."""

from __future__ import annotations

__all__ = ["LEAST_TILES", "MOST_TRANSFORMED", "POSITIONS", "winograd_scratch"]

POSITIONS, WINDOW = 16, 3  # of a tile of 4 x 4 inputs; rows and columns of the weights
LEAST_TILES = 4  # winograd.h computes four together, and transforming the weights for fewer costs more than it saves
# Activations, so that they stay in a cache. With four tiles these are 2,048 channels, and four times a sum of
# 9 * 2,048 products of 8 bits fits 32 bits.
MOST_TRANSFORMED = 1 << 17


def winograd_scratch(window: tuple[int, ...], outputs: tuple[int, int]) -> int | None:
    """Activations of 16 bits, for the inputs, weights and products; None for a convolution that fe_convolve computes.

    Args:
        window: rows, columns and input channels of the weights; the stride and the dilation are 1.
        outputs: rows and columns.
    """
    height, width, channels = window
    tiles = (outputs[0] + 1) // 2 * ((outputs[1] + 1) // 2)
    inputs = POSITIONS * tiles * channels
    if (height, width) != (WINDOW, WINDOW) or channels % 8:
        return None
    if tiles < LEAST_TILES or inputs > MOST_TRANSFORMED:
        return None
    return inputs + POSITIONS * 4 * channels + POSITIONS * tiles * 4 * 2
