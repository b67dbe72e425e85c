"""The images that parity is checked on: the user's, or the 10,000 test images of Fashion-MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import read_array, read_images
from fmnist_edge.errors import InputError

__all__ = ["Evaluation", "evaluation_for"]


@dataclass(frozen=True)
class Evaluation:
    """What to check on: images uint8 or float (n, *input_shape), labels (n,) or None, and their name.

    `published`: whether the zoo's published accuracies are about these images.
    """

    images: np.ndarray
    labels: np.ndarray | None
    source: str
    published: bool


def evaluation_for(
    images: str | None, labels: str | None, limit: int | None, folder: str | None, shape: tuple[int, ...]
) -> Evaluation:
    """The user's `.npy` images and labels, or the 10,000 test images; the first `limit` of them.

    `shape`: of one image, as the first artifact takes it.
    """
    if images is None:
        if labels is not None:
            raise InputError("--labels needs --images: it names the classes of those images")
        test = fashion_mnist.load("test", folder)
        # The first few images may well be harder than all of them, about which the published accuracy is.
        whole = limit is None or limit >= len(test)
        return Evaluation(test.images[:limit], test.labels[:limit], "the Fashion-MNIST test set", published=whole)
    array = read_images(images, shape)
    classes = None if labels is None else read_array(labels)
    if classes is not None and classes.dtype.kind not in "iu":
        raise InputError(f"{labels}: dtype is {classes.dtype}; expected integer class indices")
    if classes is not None and classes.shape != array.shape[:1]:
        raise InputError(f"{labels}: shape is {classes.shape} for {len(array):,} images; expected ({len(array)},)")
    return Evaluation(array[:limit], None if classes is None else classes[:limit], Path(images).name, published=False)
