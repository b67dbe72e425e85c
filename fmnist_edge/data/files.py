"""Read images and labels from the user's own files: `.npy` arrays, and folders of PNGs and JPEGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.runtime.images import read_image
from fmnist_edge.runtime.preprocess import as_batch

__all__ = ["read_array", "read_folder", "read_images"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_folder(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read every PNG and JPEG in a folder and its subfolders, sorted by path: uint8 (n, *shape), resized to fit.

    Raises FileError when there is none.
    """
    files = [file for file in sorted(Path(path).rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise FileError(f"{path}: no {', '.join(IMAGE_SUFFIXES)} file in it; expected calibration images")
    return np.stack([read_image(file, shape) for file in files])


def read_images(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Read a `.npy` file of one image or a batch as (n, *shape). Raises InputError for another shape."""
    try:
        return as_batch(read_array(path), shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_array(path: str) -> np.ndarray:
    """Read a `.npy` array of at least one axis, without pickle. Raises FileError when it cannot be read."""
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged file can raise BadZipFile, TokenError, MemoryError and others
        raise FileError(f"{path}: not a readable .npy file ({one_line(error, 100)})") from None
    if not isinstance(array, np.ndarray):
        raise FileError(f"{path}: holds several arrays; expected one array saved with numpy.save")
    if not array.ndim:
        raise FileError(f"{path}: holds a single {array.dtype} number; expected an array with at least one axis")
    return array
