"""Read images and labels from the user's own files: arrays (`.npy`, `.npz`), and folders of PNGs and JPEGs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.runtime.images import ImageForm, read_image
from fmnist_edge.runtime.preprocess import accepted_shapes, as_batch

__all__ = ["image_files", "read_array", "read_folder", "read_images"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
USUAL_NAMES = ("images", "x")  # of an array in an .npz file, the likelier first
NAMED = 3  # files that a message names


def read_folder(path: str, form: ImageForm) -> np.ndarray:
    """Read every PNG and JPEG in a folder and its subfolders, sorted by path: uint8 (n, *shape), resized to fit.

    `form`: see `Contract.image_form`.

    Raises FileError when there is none.
    """
    files, others = image_files(path)
    if not files:
        found = f"found {listed(others)}" if others else "it has no files that are not hidden"
        raise FileError(f"{path}: no {', '.join(IMAGE_SUFFIXES)} file in it; expected images; {found}")
    return np.stack([read_image(file, *form) for file in files])


def image_files(path: str) -> tuple[list[Path], list[Path]]:
    """The PNGs and JPEGs in a folder and its subfolders, and the other files there, both sorted by path.

    Hidden files and folders are left out, such as macOS's `._photo.jpg`, and its `__MACOSX` that archives bring along.
    """
    root = Path(path)
    images: list[Path] = []
    others: list[Path] = []
    for file in sorted(root.rglob("*")):
        parts = file.relative_to(root).parts
        if any(part.startswith(".") or part == "__MACOSX" for part in parts) or not file.is_file():
            continue
        (images if file.suffix.lower() in IMAGE_SUFFIXES else others).append(file)
    return images, others


def listed(files: Iterable[Path]) -> str:
    """The first few names, and how many more there are."""
    names = [file.name for file in files]
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def read_images(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read a `.npy` or `.npz` file of one image or a batch as (n, *shape).

    Of several arrays in a `.npz` file, the one with the shape of images counts; of several such, the one called
    "images" or "x". Raises InputError for another shape, and when it is not clear which array is meant.
    """
    array = read_array(path, shape)
    try:
        return as_batch(array, shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_array(path: str, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """Read an array of at least one axis, without pickle: a `.npy` file's, or a `.npz` file's.

    `shape`: of one image, which chooses among several arrays. Raises FileError when it cannot be read, InputError when
    it is not clear which array is meant.
    """
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
            if not isinstance(array, np.ndarray):
                array = np.asarray(array[chosen(array, shape)])
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except Exception as error:  # a damaged file can raise BadZipFile, TokenError, MemoryError and others
        raise FileError(f"{path}: not a readable .npy or .npz file ({one_line(error, 100)})") from None
    if not array.ndim:
        raise FileError(f"{path}: holds a single {array.dtype} number; expected an array with at least one axis")
    return array


def chosen(arrays: Any, shape: tuple[int, ...] | None) -> str:
    """The name of the array in a `.npz` file that holds the images, or the only one."""
    stored = set(arrays.zip.namelist())
    names = [name for name in arrays.files if f"{name}.npy" in stored]  # others are no arrays
    if len(names) == 1:
        return str(names[0])
    shapes = {name: shape_of(arrays, name) for name in names}
    found = ", ".join(f"{name!r} {size}" for name, size in shapes.items()) or "none"
    if shape is None:
        raise InputError(f"holds {len(names)} arrays ({found}); expected a single one, saved with numpy.save")
    fitting = [name for name, size in shapes.items() if is_image_shape(size, shape)]
    usual = [name for name in USUAL_NAMES if name in fitting]
    if len(fitting) != 1 and not usual:
        how = f"{len(fitting)} of its {len(names)} arrays fit" if fitting else f"none of its {len(names)} arrays fits"
        raise InputError(
            f"{how} ({found}); expected one of shape (n, {', '.join(map(str, shape))}), or the images' named 'images'"
        )
    return str((usual or fitting)[0])


def shape_of(arrays: Any, name: str) -> tuple[int, ...]:
    """The shape of an array in a `.npz` file, without reading the array."""
    with arrays.zip.open(f"{name}.npy") as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        return tuple(read(file)[0])


def is_image_shape(size: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether an array of this size holds one image of `shape` or several."""
    return any(item in (size, size[1:]) for item in accepted_shapes(shape))
