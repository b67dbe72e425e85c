"""Evaluation images: parity is checked on the user's images, or on the 10,000 test images of Fashion-MNIST."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.console import Track
from fmnist_edge.console import track as progress_bar
from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.labelled import read_labelled
from fmnist_edge.errors import InputError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tasks import MULTILABEL, TENSOR

__all__ = ["Evaluation", "evaluation_for", "evaluation_of"]


@dataclass(frozen=True)
class Evaluation:
    """Evaluation images.

    Attributes:
        images: uint8 or float (n, *input_shape).
        labels: class indices (n,) or None.
        source: a name for the images.
        published: whether the zoo's published accuracies refer to these images.
        notes: one line each about what was left out.
        arrays: for a tensor model: name of an input -> uint8 or float (n, *shape); `images` is the first of them.
        files: the image file of each image; empty if they come from no image files.
    """

    images: np.ndarray
    labels: np.ndarray | None
    source: str
    published: bool
    notes: tuple[str, ...] = ()
    arrays: Mapping[str, np.ndarray] | None = None
    files: tuple[Path, ...] = ()


def evaluation_of(
    contract: Contract,
    images: str | None,
    labels: str | None,
    limit: int | None,
    folder: str | None,
    *,
    skip_bad: bool = False,
    of: str = "the model",
    track: Track = progress_bar,
) -> Evaluation:
    """See `evaluation_for`. The examples of a tensor model are arrays by name."""
    if contract.task != TENSOR:
        return evaluation_for(images, labels, limit, folder, contract, skip_bad=skip_bad, of=of, track=track)
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
    images: str | None,
    labels: str | None,
    limit: int | None,
    folder: str | None,
    contract: Contract,
    *,
    skip_bad: bool = False,
    of: str = "the model",
    track: Track = progress_bar,
) -> Evaluation:
    """The first `limit` of the user's images, with their classes where they are known, or of the 10,000 test images.

    Args:
        images, labels, skip_bad: as `read_labelled` takes them; None for the test images.
        contract: of the artifacts, whose labels give the classes' indices.
        of: what to call the artifact in messages.
        track: shows how many files are read.

    Raises InputError for labels without images, and for a class that the model does not have.
    """
    if images is None:
        if labels is not None:
            raise InputError("--labels needs --images: labels belong to your own images")
        if not fashion_mnist.matches(contract.input_shape, contract.labels):
            raise InputError(
                f"{of}: a model of your own, of input {contract.input_shape} and {len(contract.labels)} classes; the "
                "default images are for the zoo's, so give yours with --images"
            )
        test = fashion_mnist.load("test", folder)
        # The published accuracy refers to all images; the first few may be harder.
        whole = limit is None or limit >= len(test)
        return Evaluation(test.images[:limit], test.labels[:limit], "the Fashion-MNIST test set", published=whole)
    found = read_labelled(
        images,
        contract.image_form,
        labels=labels,
        skip_bad=skip_bad,
        several=contract.task == MULTILABEL,
        track=track,
    )
    found = found.classes_in(contract.labels).first(limit)
    return Evaluation(found.images, found.labels, found.source, published=False, notes=found.notes, files=found.files)
