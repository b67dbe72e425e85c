"""Read image files for the classifier. Pillow is imported only when it is used."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError, UnavailableError, one_line
from fmnist_edge.runtime.preprocess import check_unit_range

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["fitted", "read_image", "resized"]

ORDERS = ("RGB", "BGR")
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
        raise no_pillow("reading image files", error) from None
    name = path if isinstance(path, (str, Path)) else "the image"
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > LARGEST:
                raise ValueError(f"{image.width} x {image.height} pixels; expected {LARGEST:,} at most")
            upright: Image.Image = image
            ImageOps.exif_transpose(upright, in_place=True)  # in place: otherwise Pillow copies every image
            return resized(eight_bits(upright), shape, resize)
    except FmnistEdgeError:
        raise
    except Exception as error:  # Pillow's EXIF readers raise struct.error and others
        raise FileError(f"{name}: not a readable PNG or JPEG ({one_line(error, 100)})") from None


def fitted(
    image: np.ndarray | Image.Image,
    shape: tuple[int, ...],
    resize: str,
    order: str,
    ground: int | tuple[int, int, int] | None,
) -> np.ndarray:
    """See `Classifier.fit_image`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise no_pillow("fitting an image", error) from None
    if order not in ORDERS:
        raise InputError(f"order is {order!r}; expected {' or '.join(map(repr, ORDERS))}")
    picture = eight_bits(image) if isinstance(image, Image.Image) else Image.fromarray(pixels(image, order))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = flattened(picture.convert("RGBA"), ground)
    return resized(picture, shape, resize)


def pixels(image: np.ndarray, order: str) -> np.ndarray:
    """An array of any accepted type as uint8 (height, width) or (height, width, 3 or 4), in the order RGB."""
    array = np.asarray(image)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))) or not array.size:
        raise InputError(
            f"image is {type(image).__name__} of shape {array.shape}; expected a Pillow image, or an array (height, "
            "width) or (height, width, 1, 3 or 4), one image at a time"
        )
    if array.dtype == np.uint16:
        array = (array >> 8).astype(np.uint8)
    elif array.dtype.kind in "bf":
        check_unit_range(array)
        array = np.rint(array * 255.0).clip(0, 255).astype(np.uint8)
    elif array.dtype != np.uint8:
        raise InputError(f"image dtype is {array.dtype}; expected uint8, uint16, bool or a float type (0..1)")
    if order == "BGR" and array.ndim == 3:
        array = array[:, :, [2, 1, 0, 3][: array.shape[2]]]
    return np.ascontiguousarray(array)


def flattened(image: Image.Image, ground: int | tuple[int, int, int] | None) -> Image.Image:
    """An RGBA image on `ground`, as RGB. Raises InputError when it has transparent pixels and there is no ground."""
    from PIL import Image

    if ground is None:
        if image.getchannel("A").getextrema() == (255, 255):
            return image.convert("RGB")
        raise InputError("the image has transparent pixels; say what lies behind them: ground=0 (black) to 255 (white)")
    colour = ground if isinstance(ground, tuple) else (ground,) * 3
    if len(colour) != 3 or not all(isinstance(level, int) and 0 <= level <= 255 for level in colour):
        raise InputError(f"ground is {ground!r}; expected a grey level 0..255, or (red, green, blue)")
    return Image.alpha_composite(Image.new("RGBA", image.size, (*colour, 255)), image).convert("RGB")


def eight_bits(image: Image.Image) -> Image.Image:
    """16-bit greyscale as 8-bit, which Pillow's own conversion would clip at 255; any other image as it is."""
    from PIL import Image

    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)) if image.mode.startswith("I") else image


def no_pillow(purpose: str, error: ImportError) -> UnavailableError:
    return UnavailableError(f"{purpose} needs Pillow ({one_line(error, 100)}); run: pip install pillow")


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
