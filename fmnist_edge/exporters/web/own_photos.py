"""Golden photos of the user's own image files: PNG copies, which keep what makes decoders differ.

A copy keeps its file's kind of pixels (grey, palette, alpha) and the orientation in its EXIF. It has no other metadata,
and the name of the file is nowhere. A large image is made smaller. Decoders do not agree on JPEG, so its copy is a PNG.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.aliases import JsonObject
from fmnist_edge.runtime.images import eight_bits

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["own_photos"]

LARGEST_SIDE = 320  # pixels, of a copy
ORIENTATION = 0x0112  # a tag of EXIF
COLOURS = {"L": "L", "LA": "LA", "1": "L", "P": "P", "RGB": "RGB", "RGBA": "RGBA"}  # Pillow's modes -> the copy's


def own_photos(files: Sequence[Path], most: int) -> list[tuple[bytes, JsonObject]]:
    """PNGs of `most` of the files, or of fewer, and of what kind each file is.

    Files of different kinds come first, in the order of `files`. One with transparent pixels is left out: Python
    ignores transparency in a file, and a page asks what is behind it.
    """
    from PIL import Image

    kinds: dict[tuple[object, ...], tuple[bytes, JsonObject]] = {}
    alike: list[tuple[bytes, JsonObject]] = []
    for file in dict.fromkeys(files):
        with Image.open(file, formats=("PNG", "JPEG")) as image:
            made = copied(image)
        if made is None:
            continue
        content, facts = made
        kind = facts["format"], facts["mode"], facts["orientation"]
        if kind in kinds:
            alike.append((content, facts))
        else:
            kinds[kind] = content, facts
    return [*kinds.values(), *alike][:most]


def copied(image: Image.Image) -> tuple[bytes, JsonObject] | None:
    """The copy, and what the file is; None for an image with transparent pixels."""
    from PIL import Image

    orientation = image.getexif().get(ORIENTATION, 1)
    orientation = orientation if orientation in range(1, 9) else 1
    facts = {"format": image.format, "mode": image.mode, "width": image.width, "height": image.height}
    if image.has_transparency_data and image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
        return None
    picture = eight_bits(image)
    picture = picture.convert(COLOURS.get(picture.mode, "RGB"))
    if max(picture.size) > LARGEST_SIDE:
        picture = picture.convert("RGB") if picture.mode == "P" else picture
        picture.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=None)
    picture.info = {}
    content = io.BytesIO()
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    options = {} if orientation == 1 else {"exif": exif}
    picture.save(content, "PNG", optimize=True, **options)
    return content.getvalue(), {**facts, "orientation": orientation}
