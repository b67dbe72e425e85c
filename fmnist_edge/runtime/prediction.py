"""Prediction: the answer of a classifier for one image."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import InputError

__all__ = ["Prediction", "sigmoid", "softmax"]


class Prediction:
    """The answer for one image. It cannot be changed.

    Two are equal when they give the same answer; how long it took does not matter. `as_dict()` is for JSON, and FastAPI
    returns a Prediction as it is.

    Attributes:
        label: name of the most likely class; None where the classifier abstains, because the answer is unknown. Of a
            model with two classes and one output, the class by its threshold. Of a multilabel model, None where no
            label exceeds its threshold.
        index, confidence: index and probability of the class that `label` names; of a multilabel model without one, of
            the likeliest.
        labels: of a multilabel model, the labels over their thresholds, the likeliest first; of others, `label` alone.
        probabilities: of all classes, float32 (classes,).
        latency_ns: nanoseconds from image to probabilities. For a batch it is the time of the whole call.

    >>> bag = Prediction("Bag", 1, 0.75, np.array([0.125, 0.75, 0.125], np.float32), 41_000)
    >>> bag
    Prediction(label='Bag', index=1, confidence=0.75, probabilities=<3 classes>, latency_ns=41000)
    >>> bag.as_dict()
    {'label': 'Bag', 'index': 1, 'confidence': 0.75, 'probabilities': [0.125, 0.75, 0.125], 'latency_ns': 41000}
    """

    __match_args__ = ("label", "index", "confidence", "probabilities", "latency_ns")
    __slots__ = (*__match_args__, "_labels")

    label: str | None
    index: int
    confidence: float
    probabilities: np.ndarray
    latency_ns: int
    _labels: tuple[str, ...] | None

    def __init__(
        self,
        label: str | None,
        index: int,
        confidence: float,
        probabilities: np.ndarray,
        latency_ns: int,
        labels: tuple[str, ...] | None = None,
    ) -> None:
        """`labels`: of a multilabel model; None for one that answers with one class."""
        assign = object.__setattr__
        assign(self, "label", label)
        assign(self, "index", index)
        assign(self, "confidence", confidence)
        assign(self, "probabilities", probabilities)
        assign(self, "latency_ns", latency_ns)
        assign(self, "_labels", labels)

    @property
    def has_several_labels(self) -> bool:
        """Whether it is the answer of a multilabel model, which may have any number of labels."""
        return self._labels is not None

    @property
    def labels(self) -> tuple[str, ...]:
        if self._labels is not None:
            return self._labels
        return () if self.label is None else (self.label,)

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
        """The attributes as `json.dumps` takes them: `probabilities` is a list of numbers.

        `labels` is there for a multilabel model alone.
        """
        found = {name: getattr(self, name) for name in self.__match_args__}
        labels = {} if self._labels is None else {"labels": list(self._labels)}
        return {**found, "probabilities": self.probabilities.tolist(), **labels}

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
    def _answer(self) -> tuple[str | None, int, float, tuple[str, ...] | None]:
        return self.label, self.index, self.confidence, self._labels

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
        required = list(properties)
        properties["labels"] = {"type": "array", "items": {"type": "string"}}
        return {"type": "object", "title": "Prediction", "properties": properties, "required": required}


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (n, classes) -> rows that sum to 1. Each row is shifted by its maximum, so nothing overflows."""
    powers = np.exp(logits - np.maximum.reduce(logits, axis=1, keepdims=True))
    powers /= np.add.reduce(powers, axis=1, keepdims=True)
    return powers


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """float32 of any shape -> probabilities. The exponent is never positive, so nothing overflows."""
    powers = np.exp(-np.abs(logits))
    return np.where(logits >= 0, 1 / (1 + powers), powers / (1 + powers)).astype(np.float32)
