"""Limits on memory and arithmetic: a few hundred bytes can describe a terabyte of tensors or a year of arithmetic."""

from __future__ import annotations

from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["Budget"]

# Per image. For comparison: VGG-16, larger than any network for this engine, has 14 million activations, 138 million
# weights and 15.5 billion multiply-accumulates.
LIMITS = {"activations": 1 << 26, "weights": 1 << 28, "multiply-accumulates": 1 << 34, "scratch": 1 << 26}


class Budget:
    """Adds up the cost of all ops of a graph, before anything is allocated."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(LIMITS, 0)
        self.peak = 1  # elements of the largest scratch array, per image

    def spend(self, kind: str, amount: int) -> None:
        """Add `amount` of `kind`. Raises RefusedError when the sum exceeds the limit."""
        self._spent[kind] += amount
        if self._spent[kind] > LIMITS[kind]:
            raise RefusedError(
                f"it needs {self._spent[kind]:,} {kind} per image; this engine's limit is {LIMITS[kind]:,}"
            )

    def scratch(self, amount: int) -> None:
        """Note a temporary array of `amount` elements per image. Raises RefusedError when it is too large."""
        if amount > LIMITS["scratch"]:
            raise RefusedError(
                f"an op needs a temporary array of {amount:,} numbers per image; the limit is {LIMITS['scratch']:,}"
            )
        self.peak = max(self.peak, amount)
