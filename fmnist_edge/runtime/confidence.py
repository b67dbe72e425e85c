"""A confidence that means something: a temperature, and thresholds below which an answer is unknown.

`fmnist-edge confidence` fits them for a shipped file and writes them into its manifest. The temperature is Guo et al.'s
(2017, arXiv:1706.04599), the energy is Liu et al.'s (2020, arXiv:2010.03759).
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import json_values as values
from fmnist_edge.runtime.prediction import softmax

__all__ = ["Confidence"]

LEAST_PROBABILITY = 1e-12  # a model that ends in softmax may give 0, whose logarithm is infinite


@dataclass(frozen=True)
class Confidence:
    """How to turn a file's scores into probabilities, and when an answer is unknown.

    An answer is known when its probability, its energy and the image's contrast are at least these values.

    Attributes:
        temperature: the logits are divided by it before softmax.
        threshold: least probability of the top class.
        energies: for each class, the least energy of an answer with this class; None for a model that ends in softmax,
            which has no energy left.
        contrast: least standard deviation of an image's pixels, 0..255.
        abstain: whether a classifier answers "unknown" without being asked to.
        coverage: share of the fitted images that are answered.
        images, source: what it was fitted on.
        seen: whether the model was trained on these images. Then the confidence is too high.
    """

    temperature: float
    threshold: float
    energies: tuple[float, ...] | None
    contrast: float
    abstain: bool
    coverage: float
    images: int
    source: str
    seen: bool = False

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise ArtifactError(f"confidence: temperature is {self.temperature}; expected above 0; fit it again")

    @classmethod
    def from_json(cls, value: object, where: str) -> Confidence:
        """Read what `as_dict` writes. Raises ArtifactError for other values."""
        found = values.json_object(value, where)
        energies = values.optional(values.list_of(values.number))
        return cls(
            values.number(found.get("temperature"), f"{where}.temperature"),
            values.number(found.get("threshold"), f"{where}.threshold"),
            energies(found.get("energies"), f"{where}.energies"),
            values.number(found.get("contrast"), f"{where}.contrast"),
            values.boolean(found.get("abstain"), f"{where}.abstain"),
            values.number(found.get("coverage"), f"{where}.coverage"),
            values.integer(found.get("images"), f"{where}.images"),
            values.printable(found.get("source"), f"{where}.source"),
            values.boolean(found.get("seen", False), f"{where}.seen"),
        )

    def as_dict(self) -> JsonObject:
        return {**asdict(self), "energies": None if self.energies is None else list(self.energies)}

    def check_classes(self, classes: int) -> None:
        """Raises ArtifactError unless there is one energy a class."""
        if self.energies is not None and len(self.energies) != classes:
            raise ArtifactError(
                f"confidence: {len(self.energies)} energies for {classes} classes; `fmnist-edge confidence` fits it"
            )

    def probabilities(self, scores: np.ndarray, output: str) -> np.ndarray:
        """Scores float32 (n, classes) -> calibrated probabilities, float32 (n, classes). The top class stays."""
        return softmax(logits_of(scores, output) / np.float32(self.temperature))

    def known(self, scores: np.ndarray, output: str, images: np.ndarray) -> np.ndarray:
        """Which answers are known, bool (n,).

        scores: float32 (n, classes); images: the n images as the classifier gets them, uint8 0..255 or float 0..1.
        """
        top = scores.argmax(axis=1)
        known = self.probabilities(scores, output)[np.arange(len(top)), top] >= self.threshold
        known &= contrast_of(images) >= self.contrast
        if self.energies is not None:
            known &= energy_of(scores, self.temperature) >= np.asarray(self.energies, np.float32)[top]
        return known


def logits_of(scores: np.ndarray, output: str) -> np.ndarray:
    """Logits, up to a constant for each image."""
    return scores if output == "logits" else np.log(np.maximum(scores, np.float32(LEAST_PROBABILITY)))


def energy_of(logits: np.ndarray, temperature: float) -> np.ndarray:
    """Liu et al.'s negative energy, float32 (n,): T log sum exp(logits / T)."""
    scaled = logits / np.float32(temperature)
    highest = scaled.max(axis=1)
    return np.float32(temperature) * (highest + np.log(np.exp(scaled - highest[:, None]).sum(axis=1)))


def contrast_of(images: np.ndarray) -> np.ndarray:
    """Standard deviation of each image's pixels on the scale 0..255, float32 (n,)."""
    pixels = images.reshape(len(images), -1)
    spread = pixels.std(axis=1, dtype=np.float32)
    return spread if images.dtype.kind in "ui" else spread * np.float32(255)
