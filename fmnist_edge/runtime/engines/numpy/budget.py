"""What a file may cost: a few hundred bytes can describe a terabyte of tensors or a year of arithmetic."""

from __future__ import annotations

from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["Budget"]

# Per image. The largest network one would think of here, VGG-16, takes 14 million activations, 138 million weights and
# 15.5 thousand million multiply-accumulates.
LIMITS = {"activations": 1 << 26, "weights": 1 << 28, "multiply-accumulates": 1 << 34, "scratch": 1 << 26}


class Budget:
    """Counts what the ops of a graph take together, all of it before anything is allocated."""

    def __init__(self) -> None:
        self._spent = dict.fromkeys(LIMITS, 0)
        self.peak = 1  # elements of the largest scratch array, per image

    def spend(self, kind: str, amount: int) -> None:
        """Raises RefusedError when all of `kind` so far exceeds its limit."""
        self._spent[kind] += amount
        if self._spent[kind] > LIMITS[kind]:
            raise RefusedError(
                f"it takes {self._spent[kind]:,} {kind} an image; this engine's limit is {LIMITS[kind]:,}"
            )

    def scratch(self, amount: int) -> None:
        """An array that an op needs for itself and gives back; raises RefusedError when it is too large."""
        if amount > LIMITS["scratch"]:
            raise RefusedError(
                f"an op needs {amount:,} numbers of scratch an image; the limit is {LIMITS['scratch']:,}"
            )
        self.peak = max(self.peak, amount)
