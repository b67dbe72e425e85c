"""Read image files for the classifier. Pillow is imported only when it is used."""

from __future__ import annotations

import reprlib
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Union

import numpy as np

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError, UnavailableError, one_line
from fmnist_edge.runtime.preprocess import CHANNELS, ORDERS, check_unit_range

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["FITS", "RESIZES", "AspectWarning", "Fill", "ImageForm", "check_fill", "fitted", "read_image", "resized"]

Fill = Union[int, tuple[int, int, int]]  # a grey level 0..255, or (red, green, blue)
ImageForm = tuple[tuple[int, ...], str, str, Fill]  # see `Contract.image_form`
FITS = ("stretch", "crop", "letterbox")
RESIZES = ("nearest", "box", "bilinear", "bicubic", "lanczos")  # names of Pillow's filters
MOST_STRETCHED = 1.5  # one side by the other, before a warning
LARGEST = 1 << 25  # pixels; a file of a few kB may unpack to gigabytes


class AspectWarning(UserWarning):
    """An image is stretched by so much that the model may not know what it shows.

    Python shows it once per place in the code; see `PolarityWarning`.
    """


def read_image(
    path: str | Path | BinaryIO,
    shape: tuple[int, ...],
    resize: str = "bilinear",
    fit: str = "stretch",
    fill: Fill = 0,
    *,
    stacklevel: int = 1,
) -> np.ndarray:
    """Read a PNG or JPEG, a path or an open file, as uint8 `shape` (height, width, 1 or 3); see `resized`.

    The image is turned upright by its EXIF orientation, in which a camera stores how it was held. `stacklevel` is that
    of an AspectWarning: 1 for the caller.

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
            return resized(eight_bits(upright), shape, resize, fit, fill, stacklevel=stacklevel + 1)
    except FmnistEdgeError:
        raise
    except Exception as error:  # Pillow's EXIF readers raise struct.error and others
        raise FileError(f"{name}: not a readable PNG or JPEG ({one_line(error, 100)})") from None


def fitted(
    image: np.ndarray | Image.Image,
    form: ImageForm,
    order: str,
    ground: int | tuple[int, int, int] | None,
    *,
    stacklevel: int = 1,
) -> np.ndarray:
    """See `Classifier.fit_image`. `form`: see `Contract.image_form`."""
    try:
        from PIL import Image
    except ImportError as error:
        raise no_pillow("fitting an image", error) from None
    if order not in ORDERS:
        raise InputError(f"order is {order!r}; expected {' or '.join(map(repr, ORDERS))}")
    picture = eight_bits(image) if isinstance(image, Image.Image) else Image.fromarray(pixels(image, order))
    if "A" in picture.getbands() or "transparency" in picture.info:
        picture = flattened(picture.convert("RGBA"), ground)
    return resized(picture, *form, stacklevel=stacklevel + 1)


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


def resized(
    image: Image.Image,
    shape: tuple[int, ...],
    resize: str = "bilinear",
    fit: str = "stretch",
    fill: Fill = 0,
    *,
    stacklevel: int = 1,
) -> np.ndarray:
    """A Pillow image as uint8 `shape` (height, width, 1 or 3), greyscale or RGB, by the filter `resize`.

    fit: "stretch" changes the ratio of its sides; "crop" takes the largest part from its centre; "letterbox" keeps all
    of it, between bars of the colour `fill`.

    Raises InputError when `shape` is not that of an image. Warns of an image that is stretched by more than
    MOST_STRETCHED.
    """
    from PIL import Image, ImageOps

    if len(shape) != 3 or shape[2] not in (1, CHANNELS):
        raise InputError(f"the model's input is {shape}; image files need (height, width, 1) or (height, width, 3)")
    height, width, channels = shape
    picture, by = image.convert("L" if channels == 1 else "RGB"), Image.Resampling[resize.upper()]
    if fit == "crop":
        picture = ImageOps.fit(picture, (width, height), by)
    elif fit == "letterbox":
        picture = between_bars(picture, (width, height), by, fill)
    else:
        warn_if_stretched(image.size, (width, height), stacklevel + 1)
        picture = picture.resize((width, height), by)
    return np.asarray(picture, np.uint8).reshape(shape)


def between_bars(image: Image.Image, size: tuple[int, int], by: Image.Resampling, fill: Fill) -> Image.Image:
    """The whole image, as large as `size` holds it, in the middle of the colour `fill`. The same as ImageOps.pad, which
    fails for a very long image, of which less than a line is left."""
    from PIL import Image

    width, height = size
    if image.width * height > width * image.height:
        height = max(1, round(image.height / image.width * width))
    else:
        width = max(1, round(image.width / image.height * height))
    colour = (fill,) * CHANNELS if isinstance(fill, int) and image.mode == "RGB" else fill
    made = Image.new(image.mode, size, colour)
    made.paste(image.resize((width, height), by), (round((size[0] - width) / 2), round((size[1] - height) / 2)))
    return made


def warn_if_stretched(size: tuple[int, int], to: tuple[int, int], stacklevel: int) -> None:
    """The text does not name the image, so that Python shows it once and not for each."""
    ratio = size[0] * to[1] / (size[1] * to[0])
    if max(ratio, 1 / ratio) > MOST_STRETCHED:
        message = (
            f"an image is stretched to {to[0]} x {to[1]}, one side more than {MOST_STRETCHED} times as much as the "
            "other, and a model that was not trained on such images answers worse; crop the image, or export the model "
            "with --fit crop or --fit letterbox"
        )
        warnings.warn(AspectWarning(message), stacklevel=stacklevel + 1)


def check_fill(fill: Fill, fit: str, shape: tuple[int, ...]) -> None:
    """Raises InputError for a colour that bars of an image of this shape cannot have."""
    colour = isinstance(fill, tuple) and len(fill) == shape[-1] == CHANNELS and all(map(is_level, fill))
    if not colour and not is_level(fill):
        raise InputError(
            f"fill is {reprlib.repr(fill)}; expected a grey level 0..255, or (red, green, blue) of an RGB model"
        )
    if fit != "letterbox" and fill != 0:
        raise InputError(f"fill is {reprlib.repr(fill)} with fit {fit!r}; only letterbox has bars to fill")


def is_level(value: object) -> bool:
    return type(value) is int and 0 <= value <= 255
