"""Read image files for the classifier. Pillow is imported only when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError, UnavailableError, one_line

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["read_image", "resized"]

LARGEST = 1 << 25  # pixels; a file of a few kB may unpack to gigabytes


def read_image(path: str | Path | BinaryIO, shape: tuple[int, ...], resize: str = "bilinear") -> np.ndarray:
    """Read a PNG or JPEG, a path or an open file, as uint8 `shape` (height, width, 1 or 3); see `resized`.

    The image is turned upright by its EXIF orientation, in which a camera stores how it was held.

    Raises FileError when the file is missing, not a readable image, or has more than 34 million pixels;
    UnavailableError without Pillow.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise UnavailableError(
            f"reading image files needs Pillow ({one_line(error, 100)}); run: pip install pillow"
        ) from None
    name = path if isinstance(path, (str, Path)) else "the image"
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"{image.width} x {image.height} pixels; expected {LARGEST:,} at most")
            upright: Image.Image = image
            ImageOps.exif_transpose(upright, in_place=True)  # in place: otherwise Pillow copies every image
            if image.mode.startswith("I"):  # 16-bit greyscale; Pillow's convert would clip it at 255
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return resized(upright, shape, resize)
    except FmnistEdgeError:
        raise
    except Exception as error:  # Pillow's EXIF readers raise struct.error and others
        raise FileError(f"{name}: not a readable PNG or JPEG ({one_line(error, 100)})") from None


def resized(image: Image.Image, shape: tuple[int, ...], resize: str = "bilinear") -> np.ndarray:
    """A Pillow image as uint8 `shape` (height, width, 1 or 3), greyscale or RGB, stretched by the filter `resize`.

    Raises InputError when `shape` is not that of an image.
    """
    from PIL import Image

    if len(shape) != 3 or shape[2] not in (1, 3):
        raise InputError(f"the model's input is {shape}; image files need (height, width, 1) or (height, width, 3)")
    height, width, channels = shape
    converted = image.convert("L" if channels == 1 else "RGB")
    return np.asarray(converted.resize((width, height), Image.Resampling[resize.upper()]), np.uint8).reshape(shape)
