"""Golden photos: image files with the pixels and the scores that Python gives from the file.

They prove the whole way, decoder and resize included. Where the golden vectors' images come from image files, most
photos are copies of those files, see `own_photos`. The others are made of the golden vectors' images, enlarged to sizes
that need each branch of the resize, in greyscale and in colour; one of them has the other polarity.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import UnavailableError, one_line
from fmnist_edge.exporters.web.own_photos import LARGEST_SIDE, own_photos
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.images import AspectWarning, read_image
from fmnist_edge.runtime.polarity import Polarity

__all__ = ["golden_photos"]

MOST_OWN = 4  # of the photos
# Height and width relative to the model's, greyscale, inverted: as it is, a photo, tall, wide, on another ground.
FORMS = ((1, 1, True, False), (3.1, 3.4, False, False), (4.7, 1.3, False, False), (1.2, 4.3, True, False),
         (2.6, 2.2, False, True))  # fmt: skip
TINT = ((1.0, 0.9, 0.75), (0.8, 1.0, 0.85), (0.7, 0.85, 1.0))  # of greyscale images, so that the channels differ


def golden_photos(
    model: Path, images: np.ndarray, contract: Contract, engine: str, files: Sequence[Path] = ()
) -> tuple[dict[str, bytes], JsonObject]:
    """Files, and the manifest's section "photos".

    Args:
        model: the `.tflite` file.
        images: uint8 (n, *input_shape), the golden vectors' images.
        engine: gives the scores.
        files: those that some of the images were read from.

    Raises UnavailableError without Pillow.
    """
    polarity = Polarity(contract)
    photos: dict[str, bytes] = {}
    entries = []
    with Classifier(ENGINES[engine].load(model), contract) as classifier, warnings.catch_warnings():
        warnings.simplefilter("ignore", AspectWarning)
        for number, (content, facts) in enumerate(pngs(images, files)):
            name = f"photo-{number + 1}.png"
            pixels = polarity.apply(read_image(io.BytesIO(content), *contract.image_form)[None], "auto", 1)
            photos[name] = content
            entries.append({
                "file": name,
                "pixels_sha256": hashlib.sha256(pixels.tobytes()).hexdigest(),
                "scores": [float(score) for score in classifier.scores(pixels)[0]],
                "made_from": facts,
            })  # fmt: skip
        version = classifier.engine.version
    return photos, {"engine": f"{engine} ({version})", "invert": "auto", "images": entries}


def pngs(images: np.ndarray, files: Sequence[Path]) -> Iterator[tuple[bytes, JsonObject | str]]:
    """As many PNGs as FORMS, and what each is made from: up to MOST_OWN of the files, then images in the last FORMS."""
    try:
        from PIL import Image
    except ImportError as error:
        raise UnavailableError(
            f"web export makes golden photos with Pillow ({one_line(error, 100)}); run: pip install pillow"
        ) from None
    own = own_photos(files, MOST_OWN)
    yield from own
    for index, (down, across, grey, inverted) in list(enumerate(FORMS))[len(own) :]:
        pixels = images[index * len(images) // len(FORMS)]
        height, width, channels = pixels.shape
        size = (min(round(width * across), LARGEST_SIDE), min(round(height * down), LARGEST_SIDE))
        if inverted:
            pixels = 255 - pixels
        if channels == 1 and not grey:
            pixels = (pixels * TINT[index % len(TINT)]).astype(np.uint8)
        picture = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
        if (down, across) != (1, 1):
            picture = picture.resize(size, Image.Resampling.BICUBIC)
        content = io.BytesIO()
        picture.save(content, "PNG", optimize=True)
        yield content.getvalue(), "a golden vector's image"
