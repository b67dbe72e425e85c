"""The options of `export` that say how devices make the model's input from an image, and what other commands use."""

from __future__ import annotations

from fmnist_edge.commands import arguments
from fmnist_edge.runtime.images import FITS, RESIZES
from fmnist_edge.runtime.preprocess import ORDERS
from fmnist_edge.runtime.presets import MODEL, PRESETS

__all__ = ["add_data", "add_input"]


def add_input(contract: arguments.Arguments) -> None:
    contract.add_argument(
        "--resize",
        choices=RESIZES,
        metavar="FILTER",
        help="The filter by which devices bring image files to the size of the model's input. Default: bilinear.",
    )
    contract.add_argument(
        "--fit",
        choices=FITS,
        metavar="HOW",
        help="How they do it with an image of another shape: stretch it; crop, which takes the largest part from its "
        "centre; or letterbox, which keeps all of it between bars. As it was done in training. Default: stretch.",
    )
    contract.add_argument(
        "--fill",
        type=arguments.colour,
        metavar="LEVEL|R,G,B",
        help="With --fit letterbox: the colour of the bars, 0 to 255. Default: 0.",
    )
    contract.add_argument(
        "--preprocess",
        choices=[*PRESETS, MODEL],
        metavar="NAME",
        help="How pixels become the model's input, as in training: imagenet, tf or caffe are what preprocess_input of "
        "keras.applications does in its modes torch, tf and caffe; unit is pixels / 255; none or 0..255 is pixels as "
        "they are; model is what the model's first layers say, which is refused if they say nothing. Default: like "
        "model, else unit.",
    )
    contract.add_argument(
        "--scale",
        type=arguments.ratio,
        metavar="X",
        help="The model's input is (pixel * scale - mean) / std, with pixels 0 to 255; a fraction such as 1/127.5 will "
        "do. Instead of --preprocess. Where one of the three is given, the others are 1/255, 0 and 1.",
    )
    contract.add_argument(
        "--mean",
        type=arguments.by_channel,
        metavar="X[,X...]",
        help="See --scale. One number, or one for each of the model's channels.",
    )
    contract.add_argument("--std", type=arguments.by_channel, metavar="X[,X...]", help="See --scale and --mean.")
    contract.add_argument(
        "--channel-order",
        choices=ORDERS,
        metavar="ORDER",
        help="Of the model's channels, RGB or BGR. Images are RGB, and are reversed for BGR. Default: that of "
        "--preprocess, else RGB.",
    )


def add_data(about: arguments.Arguments) -> None:
    about.add_argument(
        "--test",
        metavar="PATH",
        help="Your test images. Export does not read them: `check`, `matrix` and `bench` do.",
    )
    about.add_argument(
        "--test-labels", metavar="FILE.npy", help="Classes of the test images, as numbers, if the images are an array."
    )
