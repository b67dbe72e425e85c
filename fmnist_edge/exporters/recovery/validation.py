"""The validation images that decide whether a remedy for lost accuracy is enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import InputError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.runtime.contract import Contract

__all__ = ["ValidationImages", "validation_images_for"]

VALIDATION_IMAGES = 5000


@dataclass(frozen=True)
class ValidationImages:
    """Images that measure the accuracy of a remedy. They are never test images.

    A user's own validation images are part of the calibration images, because there are no others.

    Attributes:
        images: uint8 or float (n, *input_shape).
        labels: class indices (n,); None means the Keras model's own predictions.
        fine_tuning_images: other images, without labels, for fine-tuning.
        source: a description of the images, for the manifest.
    """

    images: np.ndarray
    labels: np.ndarray | None
    fine_tuning_images: np.ndarray
    source: str


def validation_images_for(
    contract: Contract, calibration: Calibration, folder: str | None, *, own: bool
) -> ValidationImages:
    """Select validation images.

    A Fashion-MNIST model gets the last images of the training set, which are not test images. With the user's `own`
    calibration images, every second one is for validation and the others are for fine-tuning. Labels are the images'
    own where they are known, else the Keras model's predictions. Raises InputError for fewer than 4 calibration images.
    """
    if not own and fashion_mnist.matches(contract.input_shape, contract.labels):
        fitted, validation = fashion_mnist.train_and_validation(60_000, VALIDATION_IMAGES, folder)
        source = f"the last {VALIDATION_IMAGES:,} images of Fashion-MNIST's training set"
        return ValidationImages(validation.images, validation.labels, fitted.images[:VALIDATION_IMAGES], source)
    images = calibration.images
    if len(images) < 4:
        raise InputError(f"{calibration.source}: {len(images)} images; --tune-accuracy needs some hundred")
    labels = None if calibration.labels is None else calibration.labels[1::2]
    judged_by = ", as the Keras model answers" if labels is None else ""
    return ValidationImages(images[1::2], labels, images[::2], f"every other of {calibration.source}{judged_by}")
