"""What explaining asks of a format: every tensor of a file, under keys that two files of one model share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from fmnist_edge.runtime.engine import TensorSpec

__all__ = ["INPUT", "OUTPUT", "Key", "Probe", "numbered"]

Key = tuple[str, int]  # a name without the numbers that converters append, and which one of that name
INPUT: Key = ("input", 0)
OUTPUT: Key = ("output", 0)


class Probe(Protocol):
    """A loaded file that shows what it computes on the way.

    Attributes:
        engine: name of the one in which a file is tried before this one loads it.
        tensors: what is computed from the image, in the file's order; not what only converts another tensor.
        relus: a ReLU's output -> its input, where quantising leaves the ReLU to the limits of its input.
    """

    engine: str
    version: str
    tensors: dict[Key, TensorSpec]
    relus: dict[Key, Key]

    def __init__(self, path: str) -> None: ...

    def capture(self, images: np.ndarray, keys: Iterable[Key]) -> dict[Key, np.ndarray]:
        """`images`: preprocessed, float32 (n, *input_shape) -> the tensors in the file's own dtype, (n, ...) each."""
        ...

    def close(self) -> None: ...


def numbered() -> Callable[[str], Key]:
    """Gives every name its key: the n-th call with a name returns (name, n - 1)."""
    seen: Counter[str] = Counter()

    def key(name: str) -> Key:
        seen[name] += 1
        return name, seen[name] - 1

    return key
