"""What an app demands of a file on its device: latency, size and accuracy.

`fmnist-edge choose --budget` writes it into the manifest. `doctor` and `bench` then hold the device to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fmnist_edge.aliases import JsonObject
from fmnist_edge.runtime import json_values as values

__all__ = ["Budget"]

LIMITS = ("max_latency_ms", "max_size_bytes", "min_accuracy", "max_drop")


@dataclass(frozen=True)
class Budget:
    """The limits that were stated; None for the others.

    Attributes:
        max_latency_ms: the p50 of the engine alone, in ms a call.
        max_size_bytes: of the model file.
        min_accuracy: share of images, 0..1.
        max_drop: how much lower the accuracy may be than the Keras model's, as a share: 0.002 is 0.2 percentage points.
        unknown: names of limits that this version does not know, so that nobody believes they are kept.
    """

    max_latency_ms: float | None = None
    max_size_bytes: int | None = None
    min_accuracy: float | None = None
    max_drop: float | None = None
    unknown: tuple[str, ...] = ()

    @classmethod
    def from_json(cls, value: object, where: str) -> Budget:
        """Read what `as_dict` writes. Raises ArtifactError for other values."""
        found = values.json_object(value, where)
        names = [values.printable(name, f"a name in {where}") for name in found]
        return cls(
            positive(found, "max_latency_ms", where),
            size(found, where),
            share(found, "min_accuracy", where),
            share(found, "max_drop", where),
            unknown=tuple(name for name in names if name not in LIMITS),
        )

    def as_dict(self) -> JsonObject:
        """The limits that were stated and are known."""
        return {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None}

    def __bool__(self) -> bool:
        """Whether a limit was stated."""
        return bool(self.as_dict()) or bool(self.unknown)

    @property
    def is_about_accuracy(self) -> bool:
        return self.min_accuracy is not None or self.max_drop is not None


def positive(found: Mapping[str, object], name: str, where: str) -> float | None:
    value = values.optional(values.number)(found.get(name), f"{where}.{name}")
    if value is not None and value <= 0:
        raise values.damaged(value, f"{where}.{name}", "a number above 0")
    return value


def size(found: Mapping[str, object], where: str) -> int | None:
    value = values.optional(values.integer)(found.get("max_size_bytes"), f"{where}.max_size_bytes")
    if value is not None and value <= 0:
        raise values.damaged(value, f"{where}.max_size_bytes", "a whole number above 0")
    return value


def share(found: Mapping[str, object], name: str, where: str) -> float | None:
    value = values.optional(values.number)(found.get(name), f"{where}.{name}")
    if value is not None and not 0 <= value <= 1:
        raise values.damaged(value, f"{where}.{name}", "a share from 0 to 1")
    return value
