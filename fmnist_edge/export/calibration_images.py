"""Calibration images: they set the activation ranges of integer precisions.

They are the user's own, or a selection from Fashion-MNIST's training split.
"""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import image_files, listed, read_folder, read_images
from fmnist_edge.errors import FmnistEdgeError, InputError, one_line
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.images import AspectWarning, ImageForm
from fmnist_edge.runtime.preprocess import as_batch

__all__ = ["Calibration", "CalibrationSource", "as_calibration", "calibration_for"]

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
    """

    images: np.ndarray
    source: str
    seed: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """SHA-256 of the images' bytes in C order."""
        return hashlib.sha256(np.ascontiguousarray(self.images).tobytes()).hexdigest()

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
    if isinstance(given, (str, Path)):
        return read_calibration(str(given), contract.image_form)
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


def read_calibration(path: str, form: ImageForm) -> Calibration:
    """`form`: how images of a folder are brought to the model's size: as the device will do it."""
    if not Path(path).is_dir():
        return Calibration(read_images(path, form[0]), Path(path).name)
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", AspectWarning)
        images = read_folder(path, form)
    _, others = image_files(path)
    notes = [f"{path}: left out what is no PNG or JPEG: {listed(others)}"] if others else []
    counts = Counter(str(warning.message) for warning in noticed)
    notes += [f"{path}: {count:,} of {len(images):,} images: {message}" for message, count in counts.items()]
    return Calibration(images, Path(path).name, notes=tuple(notes))


def calibration_for(
    contract: Contract, images: str | None, folder: str | None, *, count: int = CALIBRATION_IMAGES, seed: int = SEED
) -> Calibration | None:
    """Read the user's array file or folder of images, or select `count` images of Fashion-MNIST's training split.

    Returns None without user images for a model that Fashion-MNIST does not fit.
    """
    if images is not None:
        return read_calibration(images, contract.image_form)
    if not fashion_mnist.matches(contract.input_shape, len(contract.labels)):
        return None
    source = f"Fashion-MNIST training split, {count} class-balanced images, seed {seed}"
    return Calibration(fashion_mnist.calibration_images(count, folder, seed), source, seed)
