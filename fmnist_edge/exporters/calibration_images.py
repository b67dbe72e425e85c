"""Calibration images: they set the activation ranges of integer precisions.

They are the user's own, or a selection from Fashion-MNIST's training split.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import read_arrays
from fmnist_edge.data.labelled import LabelledImages, read_labelled
from fmnist_edge.errors import FmnistEdgeError, InputError, one_line
from fmnist_edge.exporters.several import Samples
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.preprocess import as_batch
from fmnist_edge.runtime.tensor_runner import named_inputs

__all__ = ["Calibration", "CalibrationSource", "as_calibration", "calibration_for", "from_labelled"]

CALIBRATION_IMAGES = 500
SEED = 0  # of the selection


@dataclass(frozen=True)
class Calibration:
    """Images that set activation ranges.

    Attributes:
        images: uint8 or float (n, *input_shape).
        source: where they came from.
        seed: of the selection from Fashion-MNIST's training split; None for a user's own images.
        notes: one line each about what was left out, and about images that were stretched much.
        labels: class indices (n,), in the model's order; None if they are unknown.
        others: of a model with several inputs, the arrays of the inputs after the first.
        files: the image file of each image; empty if they come from no image files.
    """

    images: np.ndarray
    source: str
    seed: int | None = None
    notes: tuple[str, ...] = ()
    labels: np.ndarray | None = None
    others: tuple[np.ndarray, ...] = ()
    files: tuple[Path, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the images' bytes in C order, and of those of the other inputs."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).tobytes())
        for array in self.others:
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def files_of(self, images: np.ndarray) -> list[Path]:
        """The files of those `images` that are among the calibration images, in the order of `images`."""
        if not self.files:
            return []
        wanted = [hashlib.sha256(image.tobytes()).digest() for image in images]
        found: dict[bytes, Path] = {}
        for image, file in zip(self.images, self.files, strict=True):
            found.setdefault(hashlib.sha256(image.tobytes()).digest(), file)
        return [found[digest] for digest in wanted if digest in found]

    def prepared(self, contract: Contract) -> Samples:
        """The model's inputs, as the contract preprocesses the images."""
        first = contract.preprocessing.apply(self.images, contract.input_shape)
        return (first, *self.others) if self.others else first

    @classmethod
    def of(
        cls,
        items: Iterable[Any],
        shape: tuple[int, ...],
        source: str = "a Python iterable",
        count: int = CALIBRATION_IMAGES,
    ) -> Calibration:
        """The first `count` images of an iterable, which is not asked for more; it may be endless.

        Args:
            items: uint8 or float arrays, each an image (*shape) or a batch (n, *shape), or (images, labels) as Keras's
                data sets have them.

        Raises InputError when an item has another shape or dtype, when there is none, and when the iterable raises.

        >>> Calibration.of((np.full((2, 2, 1), level, np.uint8) for level in range(9)), (2, 2, 1), count=4).images.shape
        (4, 2, 2, 1)
        """
        batches: list[np.ndarray] = []
        for batch in checked_batches(items, shape, source):
            batches.append(batch[: count - sum(map(len, batches))].copy())  # no view, which would keep all of the batch
            if sum(map(len, batches)) >= count:
                break
        if not batches:
            raise InputError(
                f"{source} holds no image; expected calibration images {shape}; a generator that was used up must be "
                "made again"
            )
        return cls(np.concatenate(batches), source)


CalibrationSource = Calibration | str | Path | np.ndarray | Iterable[Any] | Callable[[], Iterable[Any]]


def checked_batches(items: Iterable[Any], shape: tuple[int, ...], source: str) -> Iterator[np.ndarray]:
    """Each item as a batch (n, *shape); the same dtype for all."""
    first = None
    iterator, index = iter(items), 0
    while True:
        try:
            item = next(iterator)
            array = np.asarray(images_in(item))
        except StopIteration:
            return
        except FmnistEdgeError:
            raise
        except Exception as error:  # of the user's code
            raise InputError(f"{source}: item {index} raised {type(error).__name__}: {one_line(error, 200)}") from error
        try:
            batch = as_batch(array, shape)
        except InputError as error:
            raise InputError(f"{source}: item {index}: {error}") from None
        first = first or batch.dtype
        if batch.dtype != first:
            raise InputError(f"{source}: item {index} is {batch.dtype}, those before are {first}; give one dtype")
        yield batch
        index += 1


def images_in(item: Any) -> Any:
    """The images of (images, labels) and of TFLite's [images]; a longer list is a batch."""
    pair = isinstance(item, tuple) and len(item) > 0
    return item[0] if pair or (isinstance(item, list) and len(item) == 1) else item


def as_calibration(given: CalibrationSource, contract: Contract) -> Calibration:
    """Calibration images in any form: a Calibration, a path, an array, an iterable, or a function that returns one.

    A function is what TFLite calls a representative data set. Raises InputError for anything else, and what reading
    raises.
    """
    shape = contract.input_shape
    if isinstance(given, Calibration):
        return given
    if len(contract.inputs) > 1:
        return several_inputs(given, contract)
    if isinstance(given, (str, Path)):
        return from_labelled(read_labelled(str(given), contract.image_form), contract)
    if isinstance(given, np.ndarray):
        return Calibration(as_batch(given, shape), "an array")
    if callable(given) and not isinstance(given, Iterable):
        given = given()
    if not isinstance(given, Iterable):
        raise InputError(
            f"calibration is {type(given).__name__}; expected a Calibration, a path, an array, or an iterable of "
            f"images {shape}"
        )
    return Calibration.of(given, shape)


def from_labelled(found: LabelledImages, contract: Contract) -> Calibration:
    """The user's images, with classes in turn, so that the first few are of many.

    Classes that are not the model's are no fault here: ranges need none.
    """
    found = found.first(None)
    if found.labels is None or not contract.labels:
        return Calibration(found.images, found.source, notes=found.notes, files=found.files)
    try:
        found = found.classes_in(contract.labels)
    except InputError as error:
        notes = (*found.notes, f"classes are not used: {error}")
        return Calibration(found.images, found.source, notes=notes, files=found.files)
    return Calibration(found.images, found.source, None, found.notes, found.labels, files=found.files)


def several_inputs(given: object, contract: Contract) -> Calibration:
    """The samples of a model with several inputs: {name: array}, or the path of an .npz file of such arrays.

    Raises InputError for anything else, and for arrays that do not fit.
    """
    if isinstance(given, (str, Path)):
        source, given = Path(given).name, read_arrays(str(given))
    else:
        source = "arrays"
    if not isinstance(given, Mapping):
        names = ", ".join(tensor.name for tensor in contract.inputs)
        raise InputError(f"calibration is {type(given).__name__}; expected an array for each of: {names}")
    arrays, one = named_inputs(given, contract)
    if one:
        raise InputError(f"{source}: the arrays have no batch axis; expected some hundred samples of each input")
    return Calibration(arrays[0], source, others=tuple(arrays[1:]))


def calibration_for(
    contract: Contract,
    images: str | None,
    folder: str | None,
    *,
    count: int = CALIBRATION_IMAGES,
    seed: int = SEED,
    skip_bad: bool = False,
) -> Calibration | None:
    """Read the user's images, as `read_labelled` takes them, or select `count` of Fashion-MNIST's training split.

    Returns None without user images for a model that Fashion-MNIST does not fit.
    """
    if images is not None and len(contract.inputs) > 1:
        return several_inputs(images, contract)
    if images is not None:
        found = read_labelled(images, contract.image_form, skip_bad=skip_bad)
        return from_labelled(found, contract)
    if not fashion_mnist.matches(contract.input_shape, contract.labels):
        return None
    source = f"Fashion-MNIST training split, {count} class-balanced images, seed {seed}"
    return Calibration(fashion_mnist.calibration_images(count, folder, seed), source, seed)
