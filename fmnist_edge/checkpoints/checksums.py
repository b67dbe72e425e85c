"""CRC-32C (RFC 3720, appendix B.4), masked as TensorFlow stores it, in NumPy."""

from __future__ import annotations

import functools

import numpy as np

__all__ = ["crc32c", "masked_crc32c"]

POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
SHORT = 1 << 14  # bytes for which lanes are not worth it


def masked_crc32c(content: bytes) -> int:
    """The checksum of `content`, rotated and shifted so that checksums of checksums stay apart."""
    found = crc32c(content)
    return ((found >> 15 | found << 17) + 0xA282EAD8) & 0xFFFFFFFF


def crc32c(content: bytes) -> int:
    """Long contents are cut into lanes that NumPy runs at once; their states are joined two by two.

    >>> hex(crc32c(b"123456789"))
    '0xe3069283'
    """
    if len(content) < SHORT:
        state = 0xFFFFFFFF
        table = byte_table().tolist()
        for byte in content:
            state = table[(state ^ byte) & 255] ^ state >> 8
        return state ^ 0xFFFFFFFF
    lanes = 1 << len(content).bit_length() // 2
    steps = -(-len(content) // lanes)
    rows = np.zeros(lanes * steps, np.uint8)  # zeros in front change nothing while the state is 0
    rows[-len(content) :] = np.frombuffer(content, np.uint8)
    rows[lanes * steps - len(content) :][:4] ^= 0xFF  # the same as to begin with a state of ones
    states = np.zeros(lanes, np.uint32)
    for column in np.ascontiguousarray(rows.reshape(lanes, steps).T):
        states = byte_table()[(states ^ column) & 255] ^ states >> 8
    shift = shift_by(steps)
    while len(states) > 1:
        states = applied(shift, states[::2]) ^ states[1::2]
        shift = applied(shift, shift)
    return int(states[0]) ^ 0xFFFFFFFF


@functools.cache
def byte_table() -> np.ndarray:
    """(256,) uint32: the state after each byte."""
    table: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return table


def shift_by(count: int) -> np.ndarray:
    """What `count` bytes of zeros make of each single bit of a state: (32,) uint32, a matrix over GF(2)."""
    bits = np.uint32(1) << np.arange(32, dtype=np.uint32)
    result, power = bits, byte_table()[bits & 255] ^ bits >> 8
    while count:
        if count & 1:
            result = applied(power, result)
        power = applied(power, power)
        count >>= 1
    return result


def applied(matrix: np.ndarray, states: np.ndarray) -> np.ndarray:
    found = np.zeros_like(states)
    for bit in range(32):
        found ^= np.where(states >> np.uint32(bit) & 1, matrix[bit], np.uint32(0))
    return found
