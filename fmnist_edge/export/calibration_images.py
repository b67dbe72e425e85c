"""Calibration images: they set the activation ranges of integer precisions.

They are the user's own, or a selection from Fashion-MNIST's training split.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import read_folder, read_images
from fmnist_edge.runtime.contract import Contract

__all__ = ["Calibration", "calibration_for"]

CALIBRATION_IMAGES = 500
SEED = 0  # of the selection


@dataclass(frozen=True)
class Calibration:
    """Images that set activation ranges.

    Attributes:
        images: uint8 or float (n, *input_shape).
        source: where they came from.
        seed: of the selection from Fashion-MNIST's training split; None for a user's own images.
    """

    images: np.ndarray
    source: str
    seed: int | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 of the images' bytes in C order."""
        return hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()


def calibration_for(
    contract: Contract, images: str | None, folder: str | None, *, count: int = CALIBRATION_IMAGES, seed: int = SEED
) -> Calibration | None:
    """Read the user's `.npy` file or folder of images, or select `count` images of Fashion-MNIST's training split.

    Returns None without user images for a model that Fashion-MNIST does not fit.
    """
    if images is not None:
        shape = contract.input_shape
        array = read_folder(images, shape) if Path(images).is_dir() else read_images(images, shape)
        return Calibration(array, Path(images).name)
    if not fashion_mnist.matches(contract.input_shape, len(contract.labels)):
        return None
    source = f"Fashion-MNIST training split, {count} class-balanced images, seed {seed}"
    return Calibration(fashion_mnist.calibration_images(count, folder, seed), source, seed)
