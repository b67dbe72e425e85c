"""Image files for the classifier. Needs Pillow, and only when called."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge.errors import FileError, InputError, UnavailableError, one_line

__all__ = ["read_image"]


def read_image(path: str | Path, shape: tuple[int, ...], resize: str = "bilinear") -> np.ndarray:
    """A PNG or JPEG as uint8 `shape` (height, width, 1 or 3): greyscale or RGB, stretched by a contract's `resize`.

    Cameras store what the sensor saw and, as EXIF orientation, how it was held: the image is turned upright.

    Raises FileError when the file is missing or not a readable image, UnavailableError without Pillow.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError:
        raise UnavailableError("reading image files needs Pillow; run: pip install pillow") from None
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise InputError(f"the model takes {shape}; image files can feed (height, width, 1) or (height, width, 3)")
    height, width, channels = shape
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            upright: Image.Image = ImageOps.exif_transpose(image)
            if image.mode.startswith("I"):  # 16-bit greyscale, which Pillow's convert clips at 255
                upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
            converted = upright.convert("L" if channels == 1 else "RGB")
            resized = converted.resize((width, height), Image.Resampling[resize.upper()])
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise FileError(f"{path}: not a readable PNG or JPEG ({one_line(error, 100)})") from None
    return np.asarray(resized, np.uint8).reshape(shape)
