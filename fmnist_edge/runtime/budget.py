"""What an app demands of a file on its device: latency, size and accuracy.

`fmnist-edge choose --budget` writes it into the manifest. `doctor` and `bench` then hold the device to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fmnist_edge.aliases import JsonObject
from fmnist_edge.runtime import json_values as values

__all__ = ["Budget", "plain"]

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

    def size_reason(self, size_bytes: int | None) -> str | None:
        """Why a file of this size is over the budget, in a few words; None if it is within."""
        if self.max_size_bytes is None or size_bytes is None or size_bytes <= self.max_size_bytes:
            return None
        return f"{kilobytes(size_bytes)} is more than {kilobytes(self.max_size_bytes)}"

    def accuracy_reason(self, accuracy: float | None, reference: float | None) -> str | None:
        """Why this accuracy is over the budget; None if it is within, or unknown.

        `reference`: the Keras model's accuracy.
        """
        if self.min_accuracy is not None and accuracy is not None and below(accuracy, self.min_accuracy):
            return f"{plain(accuracy * 100, 4)} % accuracy is less than {plain(self.min_accuracy * 100, 4)} %"
        if self.max_drop is None or accuracy is None or reference is None:
            return None
        if below(accuracy, reference - self.max_drop):
            return f"loses {plain((reference - accuracy) * 100, 4)} pp, more than {plain(self.max_drop * 100, 4)} pp"
        return None

    @property
    def is_about_accuracy(self) -> bool:
        return self.min_accuracy is not None or self.max_drop is not None

    def latency_finding(self, p50_us: float, lower_us: float | None, upper_us: float | None) -> str:
        """ "within", "over", or "unsure" where the p50's interval contains the limit or there is no interval."""
        limit = None if self.max_latency_ms is None else self.max_latency_ms * 1000
        if limit is None:
            return "within"
        if lower_us is None or upper_us is None:
            return "over" if p50_us > limit else "unsure"
        return "within" if upper_us <= limit else "over" if lower_us > limit else "unsure"


def below(value: float, limit: float) -> bool:
    """Whether a share is below another, apart from the error of adding binary fractions."""
    return value < limit - 1e-9


def kilobytes(count: int) -> str:
    """
    >>> kilobytes(118_432), kilobytes(500_000)
    ('118.432 kB', '500 kB')
    """
    return f"{plain(count / 1000, 3)} kB"


def plain(value: float, digits: int) -> str:
    """A number with at most that many decimals.

    >>> plain(94.5, 4), plain(1.23456, 4), plain(1500, 3)
    ('94.5', '1.2346', '1,500')
    """
    return f"{value:,.{digits}f}".rstrip("0").rstrip(".")


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
