"""The images that decide whether a remedy for lost accuracy is enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import InputError
from fmnist_edge.export.calibration_images import Calibration
from fmnist_edge.runtime.contract import Contract

__all__ = ["Judge", "judge_for"]

JUDGES = 5000


@dataclass(frozen=True)
class Judge:
    """What decides: never test images. Of a user's own, they are calibration images as well; there are no others.

    Attributes:
        images: uint8 or float (n, *input_shape).
        labels: class indices (n,); None takes the Keras model's own answers for right.
        fine_tuning_images: more images without labels, to fine-tune with.
        source: what the images are, for the manifest.
    """

    images: np.ndarray
    labels: np.ndarray | None
    fine_tuning_images: np.ndarray
    source: str


def judge_for(contract: Contract, calibration: Calibration, folder: str | None, *, own: bool) -> Judge:
    """What decides about a remedy for lost accuracy: validation images for a Fashion-MNIST model, which are no test
    images; of the user's `own`, every other calibration image, with the Keras model's answers for labels."""
    if not own and fashion_mnist.matches(contract.input_shape, len(contract.labels)):
        fitted, validation = fashion_mnist.train_and_validation(60_000, JUDGES, folder)
        source = f"the last {JUDGES:,} images of Fashion-MNIST's training set"
        return Judge(validation.images, validation.labels, fitted.images[:JUDGES], source)
    images = calibration.images
    if len(images) < 4:
        raise InputError(f"{calibration.source}: {len(images)} images; winning accuracy back takes some hundred")
    return Judge(images[1::2], None, images[::2], f"every other of {calibration.source}, as the Keras model answers")
