"""Read images and labels from the user's own files: arrays (`.npy`, `.npz`), and folders of PNGs and JPEGs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.runtime.preprocess import accepted_shapes, as_batch

__all__ = [
    "IMAGE_SUFFIXES",
    "class_folders",
    "image_files",
    "listed",
    "read_array",
    "read_arrays",
    "read_images",
    "read_labels",
]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")
USUAL_NAMES = ("images", "x")  # of an array in an .npz file, the likelier first
LABEL_NAMES = ("labels", "y")
NAMED = 3  # files that a message names


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


def class_folders(root: Path) -> tuple[str, ...]:
    """Names of the folders in `root`, sorted as Keras does it, empty ones too; hidden ones are left out."""
    inside = [item.name for item in root.iterdir() if item.is_dir()]
    return tuple(sorted(name for name in inside if not name.startswith(".") and name != "__MACOSX"))


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


def read_labels(path: str, count: int, several: bool = False) -> np.ndarray | None:
    """The classes of `count` images in a `.npz` file: integers or names (count,); None if it has none.

    With `several`, an image can have several classes: 0 or 1 for each, (count, classes).

    It is the array called "labels" or "y", or else the only one that can be classes. Rows of 0 and a single 1 are
    classes too. Raises FileError when the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stored = {f"{name}.npy" for name in arrays.files} & set(arrays.zip.namelist())
            small = [name.removesuffix(".npy") for name in stored if len(shape_of(arrays, name[:-4])) in (1, 2)]
            found = {
                name: classes for name in small if (classes := as_classes(arrays[name], count, several)) is not None
            }
    except Exception as error:
        raise FileError(f"{path}: not a readable .npz file ({one_line(error, 100)})") from None
    named = [name for name in LABEL_NAMES if name in found] or (list(found) if len(found) == 1 else [])
    return found[named[0]] if named else None


def as_classes(array: np.ndarray, count: int, several: bool) -> np.ndarray | None:
    """The classes that an array gives to `count` images; None if it cannot be classes."""
    if several:
        return array if array.ndim == 2 and len(array) == count and np.isin(array, (0, 1)).all() else None
    if array.shape == (count,) and array.dtype.kind in "iuU":
        return array
    one_hot = array.ndim == 2 and len(array) == count and array.shape[1] > 1 and array.dtype.kind in "biuf"
    if one_hot and np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all():
        return array.argmax(axis=1)
    return None


def read_arrays(path: str) -> dict[str, np.ndarray]:
    """All arrays of an .npz file by their names, without pickle. Raises FileError when it is none."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except Exception as error:  # a damaged file can raise BadZipFile, TokenError, MemoryError and others
        raise FileError(
            f"{path}: not a readable .npz file ({one_line(error, 100)}); expected an array for each input, as "
            "numpy.savez writes them"
        ) from None


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
