"""Images and labels in the user's own files: `.npy` arrays, folders of PNGs and JPEGs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.runtime.images import read_image
from fmnist_edge.runtime.preprocess import as_batch

__all__ = ["read_array", "read_folder", "read_images"]

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def read_folder(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Every PNG and JPEG in a folder and below it, by name: uint8 (n, *shape), resized where need be."""
    files = [file for file in sorted(Path(path).rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise FileError(f"{path}: no {', '.join(IMAGE_SUFFIXES)} file in it; expected calibration images")
    return np.stack([read_image(file, shape) for file in files])


def read_images(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """A `.npy` file of images as (n, *shape), n = 1 for a single one."""
    try:
        return as_batch(read_array(path), shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_array(path: str) -> np.ndarray:
    """A `.npy` file of at least one axis, never unpickled."""
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged file makes it raise BadZipFile, TokenError, MemoryError and more
        raise FileError(f"{path}: not a readable .npy file ({one_line(error, 100)})") from None
    if not isinstance(array, np.ndarray):
        raise FileError(f"{path}: an archive of arrays; expected one array saved with numpy.save")
    if not array.ndim:
        raise FileError(f"{path}: a single {array.dtype}; expected an array of several")
    return array
