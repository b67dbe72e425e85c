"""Image files for the classifier. Needs Pillow, and only when called."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError, UnavailableError, one_line

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["fitted", "read_image"]

LARGEST = 1 << 25  # pixels, 134 MB of RGB: a file of some kB may unpack to gigabytes


def read_image(path: str | Path | BinaryIO, shape: tuple[int, ...], resize: str = "bilinear") -> np.ndarray:
    """A PNG or JPEG, by its path or as an open file, as uint8 `shape` (height, width, 1 or 3), see `fitted`.

    Cameras store what the sensor saw and, as EXIF orientation, how it was held: the image is turned upright.

    Raises FileError when the file is missing, not a readable image or of more than 34 million pixels, UnavailableError
    without Pillow.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UnavailableError("reading image files needs Pillow; run: pip install pillow") from None
    name = path if isinstance(path, (str, Path)) else "the image"
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"{image.width} x {image.height} pixels; expected {LARGEST:,} at most")
            upright: Image.Image = image
            ImageOps.exif_transpose(upright, in_place=True)  # a copy of what need not be turned would be made otherwise
            if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow's convert clips at 255
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            return fitted(upright, shape, resize)
    except FmnistEdgeError:
        raise
    except Exception as error:  # Pillow's readers of EXIF raise struct.error and others of their own
        raise FileError(f"{name}: not a readable PNG or JPEG ({one_line(error, 100)})") from None


def fitted(image: Image.Image, shape: tuple[int, ...], resize: str = "bilinear") -> np.ndarray:
    """A Pillow image as uint8 `shape` (height, width, 1 or 3): greyscale or RGB, stretched by a contract's `resize`."""
    from PIL import Image

    if len(shape) != 3 or shape[2] not in (1, 3):
        raise InputError(f"the model takes {shape}; image files can feed (height, width, 1) or (height, width, 3)")
    height, width, channels = shape
    converted = image.convert("L" if channels == 1 else "RGB")
    return np.asarray(converted.resize((width, height), Image.Resampling[resize.upper()]), np.uint8).reshape(shape)
