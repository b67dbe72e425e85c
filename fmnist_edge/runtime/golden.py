"""Golden vectors: images with their scores at export. A device replays them and must get the same scores."""

from __future__ import annotations

import base64
import binascii
import math
import reprlib
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import MOST_AXES, Contract
from fmnist_edge.runtime.tasks import MULTILABEL, decide, probabilities

__all__ = ["Golden", "SelfTest", "VectorResult"]

DTYPES = ("uint8", "float32")
LARGEST = 64 * 1024 * 1024  # bytes of an array, unpacked


@dataclass(frozen=True)
class Golden:
    """The golden vectors of an artifact, from the manifest's section "golden".

    Attributes:
        images: uint8 or float32 (n, *input_shape), as given to the classifier.
        scores: float32 (n, classes), the model's outputs for the images.
        tolerance: largest allowed difference of a score; correct engines round differently.
        engine: name and version of the engine that computed the scores.
    """

    images: np.ndarray
    scores: np.ndarray
    tolerance: float
    engine: str

    def as_dict(self) -> JsonObject:
        return {
            "images": pack(self.images),
            "scores": pack(self.scores),
            "tolerance": self.tolerance,
            "engine": self.engine,
        }

    @classmethod
    def from_dict(cls, value: Any, input_shape: tuple[int, ...], classes: int) -> Golden:
        """Read what `as_dict` writes. Raises ArtifactError when `value` is damaged or does not fit these shapes."""
        try:
            images, scores = unpack(value["images"]), unpack(value["scores"])
            tolerance = float(value["tolerance"])
            if images.shape[1:] != input_shape or scores.shape != (len(images), classes) or not len(images):
                raise ValueError(f"{images.shape} and {scores.shape} for a model of {input_shape} and {classes}")
            finite = np.isfinite(scores).all() and math.isfinite(tolerance)
            if scores.dtype != np.float32 or not finite or tolerance < 0:
                raise ValueError(f"{scores.dtype} scores, finite: {finite}, tolerance {tolerance}")
            return cls(images, scores, tolerance, str(value.get("engine")))
        except (AttributeError, KeyError, TypeError, ValueError, OverflowError, zlib.error, binascii.Error) as error:
            raise ArtifactError(
                f"golden vectors: {type(error).__name__} at {error}; the manifest is damaged, export the model again"
            ) from None


@dataclass(frozen=True)
class VectorResult:
    """The result of one golden vector.

    Attributes:
        max_abs_delta: largest difference of a score.
        expected, found: index of the class at export and here; None for a task that does not choose one class.
        output, tolerance: of a tensor model, the output and its own tolerance; None for others.
    """

    number: int
    passed: bool
    max_abs_delta: float
    expected: int | None
    found: int | None
    output: str | None = None
    tolerance: float | None = None


@dataclass(frozen=True)
class SelfTest:
    """The results of all golden vectors with one engine."""

    engine: str
    tolerance: float
    vectors: tuple[VectorResult, ...]

    @property
    def passed(self) -> bool:
        return all(vector.passed for vector in self.vectors)

    @property
    def advice(self) -> str:
        """What the user can do, one sentence."""
        failed = sum(not vector.passed for vector in self.vectors)
        if not failed:
            return "nothing to do"
        return (
            f"{failed} of {len(self.vectors)} golden vectors differ from the export: load the file with another engine "
            "(engine='numpy' needs no further package), and upgrade this engine or report the difference"
        )

    def require(self, path: Path) -> None:
        """Raises ArtifactError, about the file at `path`, unless every vector passed."""
        if not self.passed:
            raise ArtifactError(f"{path}: {self.engine}: {self.advice}")

    @classmethod
    def of(cls, golden: Golden, scores: np.ndarray, engine: str, contract: Contract) -> SelfTest:
        """Compare `scores`, float32 (n, score_count), computed from golden's images, with golden's scores."""
        deltas = np.abs(golden.scores - scores).max(axis=1)
        results = [
            VectorResult(number, bool(delta <= golden.tolerance), float(delta), want, have)
            for number, (delta, want, have) in enumerate(
                zip(deltas, classes_of(golden.scores, contract), classes_of(scores, contract))
            )
        ]
        return cls(engine, golden.tolerance, tuple(results))


def classes_of(scores: np.ndarray, contract: Contract) -> list[int] | list[None]:
    """The class of each answer; None each for a multilabel contract."""
    if contract.task == MULTILABEL:
        return [None] * len(scores)
    return decide(probabilities(scores, contract), contract).tolist()


def pack(array: np.ndarray) -> JsonObject:
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    content = base64.b64encode(zlib.compress(little.tobytes(), 9)).decode()
    return {"dtype": array.dtype.name, "shape": list(array.shape), "zlib_base64": content}


def unpack(value: Any) -> np.ndarray:
    shape, dtype = value["shape"], value["dtype"]
    if (
        dtype not in DTYPES
        or not isinstance(shape, list)
        or len(shape) > 1 + MOST_AXES
        or any(type(size) is not int or size < 0 for size in shape)
    ):
        raise ValueError(f"an array of {reprlib.repr(dtype)}, shape {reprlib.repr(shape)}")
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size > LARGEST:
        raise ValueError(f"an array of {size:,} bytes")
    # Decompression is limited: a few kB of zlib can unpack to gigabytes.
    content = zlib.decompressobj().decompress(base64.b64decode(value["zlib_base64"], validate=True), size + 1)
    if len(content) != size:
        raise ValueError(f"{len(content):,} bytes for an array of {size:,}")
    return np.frombuffer(content, np.dtype(dtype).newbyteorder("<")).reshape(shape).astype(dtype)
