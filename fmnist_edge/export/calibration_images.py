"""The images that set the ranges of integer precisions: the user's, or some of Fashion-MNIST's training split."""

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
SEED = 0  # of their selection


@dataclass(frozen=True)
class Calibration:
    """Images that set activation ranges, uint8 or float (n, *input_shape), and where they came from.

    `seed`: of their selection from Fashion-MNIST's training split; None for a user's own images.
    """

    images: np.ndarray
    source: str
    seed: int | None = None

    @property
    def sha256(self) -> str:
        """Of the images' bytes, in C order."""
        return hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()


def calibration_for(
    contract: Contract, images: str | None, folder: str | None, *, count: int = CALIBRATION_IMAGES, seed: int = SEED
) -> Calibration | None:
    """The user's `.npy` or folder of images, or `count` of Fashion-MNIST's training split; None where neither fits."""
    if images is not None:
        shape = contract.input_shape
        array = read_folder(images, shape) if Path(images).is_dir() else read_images(images, shape)
        return Calibration(array, Path(images).name)
    if not fashion_mnist.matches(contract.input_shape, len(contract.labels)):
        return None
    source = f"Fashion-MNIST training split, {count} class-balanced images, seed {seed}"
    return Calibration(fashion_mnist.calibration_images(count, folder, seed), source, seed)
