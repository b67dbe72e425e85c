"""The part of a C model that brings an image of any size to the model's, as the contract says."""

from __future__ import annotations

from fmnist_edge.exporters.c.files import fill, kernel, template
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.images import FITS, RESIZES
from fmnist_edge.runtime.preprocess import CHANNELS

__all__ = ["image_example", "image_header", "image_source", "takes_any_size"]

POLARITIES = {None: 0, "light-on-dark": 1, "dark-on-light": -1}
FIT_WORDS = {
    "stretch": "stretching it",
    "crop": "cropping its centre",
    "letterbox": "putting it between bars",
}


def takes_any_size(contract: Contract) -> bool:
    """Whether there is a rule that brings images to the model's size: for greyscale and RGB, as in Python."""
    return contract.input_shape[2] in (1, CHANNELS)


def image_header(name: str, contract: Contract) -> str:
    """The declarations for the model's header; empty if images of other sizes are not taken."""
    if not takes_any_size(contract):
        return ""
    words = FIT_WORDS[contract.fit]
    return fill(template("image.h"), NAME=name.upper(), name=name, fit_words=words, resize=contract.resize)


def image_example(name: str, contract: Contract) -> str:
    """A paragraph of the README; empty if images of other sizes are not taken."""
    if not takes_any_size(contract):
        return ""
    return fill(template("image.md"), NAME=name.upper(), name=name)


def image_source(name: str, contract: Contract) -> str:
    """The text of `<name>_image.c`."""
    channels = contract.input_shape[2]
    colour = contract.fill if isinstance(contract.fill, tuple) else (contract.fill,) * channels
    return fill(
        template("image.c"),
        NAME=name.upper(),
        name=name,
        resize=RESIZES.index(contract.resize),
        fit=FITS.index(contract.fit),
        fill=", ".join(map(str, colour)),
        polarity=f"({POLARITIES[contract.polarity]})",
        kernel=kernel("image.h").rstrip(),
    )
