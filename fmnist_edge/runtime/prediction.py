"""Prediction: the answer of a classifier for one image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import InputError

__all__ = ["Prediction", "softmax"]


class Prediction:
    """The answer for one image. It cannot be changed.

    Two are equal when they give the same answer; how long it took does not matter. `as_dict()` is for JSON, and FastAPI
    returns a Prediction as it is.

    Attributes:
        label: name of the most likely class; None where the classifier abstains, because the answer is unknown.
        index, confidence: index and probability of the most likely class.
        probabilities: of all classes, float32 (classes,).
        latency_ns: nanoseconds from image to probabilities. For a batch it is the time of the whole call.

    >>> bag = Prediction("Bag", 1, 0.75, np.array([0.125, 0.75, 0.125], np.float32), 41_000)
    >>> bag
    Prediction(label='Bag', index=1, confidence=0.75, probabilities=<3 classes>, latency_ns=41000)
    >>> bag.as_dict()
    {'label': 'Bag', 'index': 1, 'confidence': 0.75, 'probabilities': [0.125, 0.75, 0.125], 'latency_ns': 41000}
    """

    __slots__ = __match_args__ = ("label", "index", "confidence", "probabilities", "latency_ns")

    label: str | None
    index: int
    confidence: float
    probabilities: np.ndarray
    latency_ns: int

    def __init__(
        self, label: str | None, index: int, confidence: float, probabilities: np.ndarray, latency_ns: int
    ) -> None:
        assign = object.__setattr__
        assign(self, "label", label)
        assign(self, "index", index)
        assign(self, "confidence", confidence)
        assign(self, "probabilities", probabilities)
        assign(self, "latency_ns", latency_ns)

    def top_k(self, k: int = 3) -> list[int]:
        """Indices of the `k` most likely classes, the most likely first. Returns all classes if there are fewer.

        Raises InputError for a `k` below 1.

        >>> Prediction("Bag", 1, 0.7, np.array([0.1, 0.7, 0.2], np.float32), 0).top_k(2)
        [1, 2]
        """
        if k < 1:
            raise InputError(f"k is {k}; expected at least 1")
        return [int(index) for index in np.argsort(-self.probabilities, kind="stable")[:k]]

    def as_dict(self) -> JsonObject:
        """The attributes as `json.dumps` takes them: `probabilities` is a list of numbers."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "probabilities": self.probabilities.tolist()}

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        """The pairs of `as_dict`, for `dict(prediction)`, which is how FastAPI's encoder reads an object."""
        return iter(self.as_dict().items())

    def __repr__(self) -> str:
        return (
            f"Prediction(label={self.label!r}, index={self.index}, confidence={self.confidence:.6g}, "
            f"probabilities=<{len(self.probabilities)} classes>, latency_ns={self.latency_ns})"
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Prediction):
            return NotImplemented
        return self._answer == other._answer and np.array_equal(self.probabilities, other.probabilities)

    def __hash__(self) -> int:
        return hash(self._answer)

    @property
    def _answer(self) -> tuple[str | None, int, float]:
        return self.label, self.index, self.confidence

    def __reduce__(self) -> tuple[Any, ...]:
        return Prediction, tuple(getattr(self, name) for name in self.__slots__)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"a Prediction cannot be changed; {name!r} was assigned")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Prediction cannot be changed; {name!r} was deleted")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        """For pydantic, when a FastAPI route says that it returns a Prediction."""
        from pydantic_core import core_schema

        shown = core_schema.plain_serializer_function_ser_schema(cls.as_dict)
        return core_schema.is_instance_schema(cls, serialization=shown)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> JsonObject:
        kinds = {"index": "integer", "confidence": "number", "latency_ns": "integer"}
        properties: JsonObject = {"label": {"anyOf": [{"type": "string"}, {"type": "null"}]}}
        properties.update((name, {"type": kind}) for name, kind in kinds.items())
        properties["probabilities"] = {"type": "array", "items": {"type": "number"}}
        return {"type": "object", "title": "Prediction", "properties": properties, "required": list(properties)}


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (n, classes) -> rows that sum to 1. Each row is shifted by its maximum, so nothing overflows."""
    powers = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
    powers /= np.add.reduce(powers, axis=1, keepdims=True)
    return powers
