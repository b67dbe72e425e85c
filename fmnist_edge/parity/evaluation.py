"""Evaluation images: parity is checked on the user's images, or on the 10,000 test images of Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import read_array, read_images
from fmnist_edge.errors import InputError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tasks import TENSOR

__all__ = ["Evaluation", "evaluation_for", "evaluation_of"]


@dataclass(frozen=True)
class Evaluation:
    """Evaluation images.

    Attributes:
        images: uint8 or float (n, *input_shape).
        labels: class indices (n,) or None.
        source: a name for the images.
        published: whether the zoo's published accuracies refer to these images.
        arrays: for a tensor model: name of an input -> uint8 or float (n, *shape); `images` is the first of them.
    """

    images: np.ndarray
    labels: np.ndarray | None
    source: str
    published: bool
    arrays: Mapping[str, np.ndarray] | None = None


def evaluation_of(
    contract: Contract, images: str | None, labels: str | None, limit: int | None, folder: str | None
) -> Evaluation:
    """See `evaluation_for`. The examples of a tensor model are arrays by name."""
    if contract.task != TENSOR:
        return evaluation_for(images, labels, limit, folder, contract.input_shape)
    from fmnist_edge.parity.tensors import read_inputs

    if labels is not None:
        raise InputError("--labels: the model's task is tensor, which has no labels; leave them out")
    if images is None:
        names = ", ".join(tensor.name for tensor in contract.inputs)
        raise InputError(
            f"the model's task is tensor, so it needs examples: --images FILE.npz with an array for {names}"
        )
    arrays = read_inputs(images, contract, limit)
    first = arrays[contract.inputs[0].name]
    return Evaluation(first, None, Path(images).name, published=False, arrays=arrays)


def evaluation_for(
    images: str | None, labels: str | None, limit: int | None, folder: str | None, shape: tuple[int, ...]
) -> Evaluation:
    """Read the first `limit` of the user's `.npy` images and labels, or of the 10,000 test images.

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
    array = read_images(images, shape)
    classes = None if labels is None else read_array(labels)
    if classes is not None and classes.dtype.kind not in "iub":
        raise InputError(f"{labels}: dtype is {classes.dtype}; expected integer class indices")
    several = classes is not None and classes.ndim == 2 and classes.shape[1] > 1  # of a multilabel model
    if classes is not None and (classes.shape[:1] if several else classes.shape) != array.shape[:1]:
        raise InputError(f"{labels}: shape is {classes.shape} for {len(array):,} images; expected ({len(array)},)")
    return Evaluation(array[:limit], None if classes is None else classes[:limit], Path(images).name, published=False)
