"""The order in which AVX2 multiplies groups of four inputs, with the proof that its 16-bit sums hold.

VPMADDUBSW multiplies unsigned activations by signed weights and adds two neighbouring products. It saturates at 16
bits. With known weights the largest sum is known: 255 times the weights above zero, or 255 times those below. A group
may be read from a copy of the activations in which other inputs are neighbours. If no copy suits all of a block's
output channels, the group comes twice: with the weights of its even inputs, and with those of its odd ones. Then
partners are sought: two groups whose sums can be added in 16 bits before they are widened. Blocks are small, because
fewer channels agree on more.
"""

from __future__ import annotations

import numpy as np

__all__ = ["BLOCK", "COPIES", "HEAD", "block_order", "orders"]

BLOCK = 8  # output channels
HEAD = 3  # numbers of a block before the places

COPIES = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))  # the inputs of a group, in each copy, as in avx2.h
ZERO = 4
HALVES = ((0, ZERO, 2, ZERO), (ZERO, 1, ZERO, 3))
CHOSEN = np.array([*COPIES, *HALVES])
EVEN, ODD = len(COPIES), len(COPIES) + 1  # the choices of weights after the copies
MOST = 32767 // 255  # of the weights of one sign in a 16-bit sum
WINDOW = 160  # groups among which partners are sought: more take longer, and are further apart in memory


def orders(lanes: np.ndarray, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How fe_tile reads the inputs of each block of channels, and the weights in the order of their use.

    Args:
        lanes: int8 (groups, output channels, 4).
        places: int32 (copies, groups), where the inputs of each group are in each of the first copies.

    Returns:
        int32 (blocks, stride): pairs of groups, groups alone, where the block's weights begin, places of the inputs;
        int8 (slots of all blocks, BLOCK, 4), weights.
    """
    numbers, weights, begin = [], [], 0
    for start in range(0, lanes.shape[1], BLOCK):
        block = lanes[:, start : start + BLOCK]
        block = np.pad(block, ((0, 0), (0, BLOCK - block.shape[1]), (0, 0)))
        pairs, groups, choice = block_order(block, len(places))
        place = places[np.where(choice < EVEN, choice, 0), groups]
        numbers.append(np.concatenate([[pairs, len(groups) - 2 * pairs, begin], place]))
        weights.append(np.take_along_axis(with_zero(block)[groups], CHOSEN[choice][:, None], axis=2))
        begin += weights[-1].size
    longest = max(map(len, numbers))
    padded = [np.pad(row, (0, longest - len(row))) for row in numbers]
    return np.stack(padded).astype(np.int32), np.concatenate(weights)


def block_order(lanes: np.ndarray, copies: int) -> tuple[int, np.ndarray, np.ndarray]:
    """(number of pairs, groups in the order of use, rows of CHOSEN); the pairs come first. `lanes`: of one block."""
    each = np.stack([most(lanes, chosen) for chosen in (*COPIES[:copies], *HALVES)])  # (choices, groups, sums)
    best = each[:copies].max(axis=2).argmin(axis=0)
    twice = np.flatnonzero(each[best, np.arange(len(lanes))].max(axis=1) > MOST)
    best[twice] = EVEN
    groups = np.concatenate([np.arange(len(lanes)), twice])
    choice = np.concatenate([best, np.full(len(twice), ODD)])
    pairs, alone = matched(each[np.where(choice < EVEN, choice, choice - EVEN + copies), groups])
    order = np.concatenate([pairs, alone])
    return len(pairs) // 2, groups[order], choice[order]


def with_zero(lanes: np.ndarray) -> np.ndarray:
    """`lanes` with a fifth input, whose weights are zero: number ZERO."""
    return np.pad(lanes, ((0, 0), (0, 0), (0, 1)))


def most(lanes: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """The weights above and those below zero of each 16-bit sum, as magnitudes: int64 (groups, 4 * channels).

    `chosen`: four inputs of a group, of which the first two make one sum and the last two another; ZERO for none.
    """
    wide = with_zero(lanes.astype(np.int64))[:, :, list(chosen)]
    sums = [np.maximum(sign * wide[:, :, two], 0).sum(axis=2) for two in ([0, 1], [2, 3]) for sign in (1, -1)]
    return np.concatenate(sums, axis=1)


def matched(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(partners one after the other, what has no partner), as rows of `sums`, which `most` gives.

    Greedy: the row with the fewest possible partners chooses first, the partner that has the fewest itself.
    """
    pairs: list[tuple[int, int]] = []
    alone: list[int] = []
    for start in range(0, len(sums), WINDOW):
        part = sums[start : start + WINDOW]
        fits = ~np.eye(len(part), dtype=bool)
        for column in part.T:
            fits &= column[:, None] + column <= MOST
        degree, free = fits.sum(axis=1), np.ones(len(part), bool)
        while degree.any():
            one = int(np.where(degree > 0, degree, len(part)).argmin())
            two = int(np.where(fits[one], degree, len(part)).argmin())
            pairs.append((start + min(one, two), start + max(one, two)))
            degree = degree - fits[one] - fits[two]
            fits[[one, two]] = fits[:, [one, two]] = False
            degree[[one, two]] = free[[one, two]] = 0
        alone += (start + np.flatnonzero(free)).tolist()
    return np.array(sorted(pairs), np.int64).reshape(-1), np.array(alone, np.int64)
