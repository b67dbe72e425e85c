"""The interface of a probe: it reads every tensor of a file, under keys that files of the same model share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Protocol

import numpy as np

from fmnist_edge.runtime.engine import TensorSpec

__all__ = ["INPUT", "OUTPUT", "Key", "Probe", "key_counter"]

Key = tuple[str, int]  # a name without the numbers that converters append, and its index among equal names
INPUT: Key = ("input", 0)
OUTPUT: Key = ("output", 0)


class Probe(Protocol):
    """A loaded file whose intermediate tensors can be read.

    Attributes:
        engine: name of the engine that tries the file in a child process before the probe loads it.
        version: name and version of the library.
        tensors: the tensors computed from the image, in file order, without those that only convert another tensor.
        relus: a ReLU's output -> its input, for ReLUs that quantising may replace by the limits of their input.
    """

    engine: str
    version: str
    tensors: dict[Key, TensorSpec]
    relus: dict[Key, Key]

    def __init__(self, path: str) -> None: ...

    def capture(self, images: np.ndarray, keys: Iterable[Key]) -> dict[Key, np.ndarray]:
        """Run preprocessed images, float32 (n, *input_shape); returns tensors in the file's dtypes, (n, ...) each."""
        ...

    def close(self) -> None: ...


def key_counter() -> Callable[[str], Key]:
    """A function from names to keys: its n-th call with a name returns (name, n - 1)."""
    seen: Counter[str] = Counter()

    def key(name: str) -> Key:
        seen[name] += 1
        return name, seen[name] - 1

    return key
