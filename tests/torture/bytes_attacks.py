"""Attacks that know nothing of a format: bits, lengths, noise."""

from __future__ import annotations

import random
import struct

import numpy as np

__all__ = ["ATTACKS", "WORDS", "nine_bits"]

WORDS = (0, 1, 2, 4, 255, 1 << 15, 1 << 16, 1 << 27, (1 << 31) - 1, 1 << 31, (1 << 32) - 4, (1 << 32) - 1, 0x7FC00000)
Random = np.random.Generator


def nine_bits(content: bytes, rng: random.Random, first: int = 0) -> bytes:
    """Nine bits turned over, from byte `first` on."""
    changed = bytearray(content)
    for _ in range(9):
        changed[rng.randrange(first, len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def flipped(content: bytes, rng: Random) -> bytes:
    """1 to 16 bits turned over."""
    changed = bytearray(content)
    for position in rng.integers(0, len(content), 2 ** rng.integers(0, 5)):
        changed[position] ^= 1 << int(rng.integers(0, 8))
    return bytes(changed)


def flipped_front(content: bytes, rng: Random) -> bytes:
    """The same where a format keeps its structure: in the first and last kilobyte."""
    size = min(len(content) // 2, 1024)
    return flipped(content[:size], rng) + content[size:-size] + flipped(content[-size:], rng)


def truncated(content: bytes, rng: Random) -> bytes:
    return content[: int(rng.integers(0, len(content)))]


def words(content: bytes, rng: Random) -> bytes:
    """1 to 4 aligned words overwritten: offsets, lengths, sizes and scales of an attacker's choice."""
    changed = bytearray(content)
    for word in rng.integers(0, len(content) // 4, rng.integers(1, 5)):
        value = WORDS[int(rng.integers(0, len(WORDS)))] if rng.random() < 0.7 else int(rng.integers(0, len(content)))
        struct.pack_into("<I", changed, int(word) * 4, value)
    return bytes(changed)


def spliced(content: bytes, rng: Random) -> bytes:
    """A piece of the file where another one was."""
    size = int(rng.integers(1, max(2, len(content) // 4)))
    source, target = (int(at) for at in rng.integers(0, len(content) - size, 2))
    return content[:target] + content[source : source + size] + content[target + size :]


def noise(content: bytes, rng: Random) -> bytes:
    """The right first bytes, then anything."""
    return content[: int(rng.integers(0, 64))] + rng.bytes(int(rng.integers(0, 4096)))


ATTACKS = {
    "bit flips": flipped,
    "bit flips in the structure": flipped_front,
    "truncation": truncated,
    "words overwritten": words,
    "pieces exchanged": spliced,
    "noise": noise,
}
