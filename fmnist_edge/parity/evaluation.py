"""Evaluation images: parity is checked on the user's images, or on the 10,000 test images of Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import read_array, read_folder, read_images
from fmnist_edge.errors import InputError

__all__ = ["Evaluation", "evaluation_for"]


@dataclass(frozen=True)
class Evaluation:
    """Evaluation images.

    Attributes:
        images: uint8 or float (n, *input_shape).
        labels: class indices (n,) or None.
        source: a name for the images.
        published: whether the zoo's published accuracies refer to these images.
    """

    images: np.ndarray
    labels: np.ndarray | None
    source: str
    published: bool


def evaluation_for(
    images: str | None, labels: str | None, limit: int | None, folder: str | None, shape: tuple[int, ...]
) -> Evaluation:
    """Read the first `limit` of the user's images, a `.npy` file or a folder, and labels, or of the 10,000 test images.

    `shape`: input shape of the first artifact. Raises InputError for labels without images, and for labels that are not
    integers or not one per image.
    """
    if images is None:
        if labels is not None:
            raise InputError("--labels needs --images: labels belong to your own images")
        test = fashion_mnist.load("test", folder)
        # The published accuracy refers to all images; the first few may be harder.
        whole = limit is None or limit >= len(test)
        return Evaluation(test.images[:limit], test.labels[:limit], "the Fashion-MNIST test set", published=whole)
    array = read_folder(images, shape) if Path(images).is_dir() else read_images(images, shape)
    classes = None if labels is None else read_array(labels)
    if classes is not None and classes.dtype.kind not in "iu":
        raise InputError(f"{labels}: dtype is {classes.dtype}; expected integer class indices")
    if classes is not None and classes.shape != array.shape[:1]:
        raise InputError(f"{labels}: shape is {classes.shape} for {len(array):,} images; expected ({len(array)},)")
    return Evaluation(array[:limit], None if classes is None else classes[:limit], Path(images).name, published=False)
