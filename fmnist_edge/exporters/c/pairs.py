"""The order in which AVX2 multiplies groups of four inputs, with the proof that its 16-bit sums hold.

VPMADDUBSW multiplies unsigned activations by signed weights and adds two neighbouring products. It saturates at 16
bits. With known weights the largest sum is known: 255 times the weights above zero, or 255 times those below. A group
may be read from a copy of the activations in which other inputs are neighbours. If no copy suits all of a panel's
output channels, the group comes twice: with the weights of its even inputs, and with those of its odd ones. Then
partners are sought: two groups whose sums can be added in 16 bits before they are widened.
"""

from __future__ import annotations

import numpy as np

from fmnist_edge.exporters.c.linear import PANEL

__all__ = ["CHOICES", "COPIES", "EVEN", "HALVES", "PANEL", "ZERO", "ordered_bytes", "orders", "panel_order"]

COPIES = ((0, 1, 2, 3), (0, 2, 1, 3), (0, 3, 1, 2))  # the inputs of a group, in each copy; as FE_CHOSEN in avx2.h
ZERO = 4
HALVES = ((0, ZERO, 2, ZERO), (ZERO, 1, ZERO, 3))
EVEN, ODD = len(COPIES), len(COPIES) + 1  # the choices of weights after the copies, as in FE_CHOSEN
CHOICES = 8  # a group's weights are described by CHOICES * their offset + the choice
MOST = 32767 // 255  # of the weights of one sign in a 16-bit sum
WINDOW = 160  # groups among which partners are sought: more take longer, and are further apart in memory


def orders(lanes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """int32 (panels, stride): how fe_tile reads the weights and inputs of each panel, see fe_order_t in linear.h.

    Args:
        lanes: int8 (groups, output channels, 4).
        places: int32 (copies, groups), where the inputs of each group are in each of the first copies.
    """
    starts = range(0, lanes.shape[1], PANEL)
    panels = [panel_order(lanes[:, start : start + PANEL], places) for start in starts]
    longest = max(map(len, panels))
    return np.stack([np.pad(panel, (0, longest - len(panel))) for panel in panels]).astype(np.int32)


def panel_order(lanes: np.ndarray, places: np.ndarray) -> np.ndarray:
    """The order of one panel; `lanes`: int8 (groups, up to PANEL channels, 4)."""
    each = np.stack([most(lanes, chosen) for chosen in (*COPIES[: len(places)], *HALVES)])  # (choices, groups, sums)
    best = each[: len(places)].max(axis=2).argmin(axis=0)
    twice = np.flatnonzero(each[best, np.arange(len(lanes))].max(axis=1) > MOST)
    best[twice] = EVEN
    groups = np.concatenate([np.arange(len(lanes)), twice])
    choice = np.concatenate([best, np.full(len(twice), ODD)])
    sums = each[np.where(choice < EVEN, choice, choice - EVEN + len(places)), groups]
    pairs, alone = matched(sums)
    order = np.concatenate([pairs, alone])
    groups, choice = groups[order], choice[order]
    place = places[np.where(choice < EVEN, choice, 0), groups]
    offsets = groups * lanes.shape[1] * lanes.shape[2]
    return np.concatenate([[len(pairs) // 2, len(alone)], place, CHOICES * offsets + choice])


def ordered_bytes(panels: np.ndarray) -> int:
    """What fe_in_order writes for the largest panel."""
    return int((2 * panels[:, 0] + panels[:, 1]).max()) * 4 * PANEL


def most(lanes: np.ndarray, chosen: tuple[int, ...]) -> np.ndarray:
    """The weights above and those below zero of each 16-bit sum, as magnitudes: int64 (groups, 4 * channels).

    `chosen`: four inputs of a group, of which the first two make one sum and the last two another; ZERO for none.
    """
    wide = np.pad(lanes.astype(np.int64), ((0, 0), (0, 0), (0, 1)))[:, :, list(chosen)]
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
