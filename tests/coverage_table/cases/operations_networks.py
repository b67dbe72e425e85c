"""Operations of neural networks and images."""

from __future__ import annotations

from typing import Any

import numpy as np

from coverage_table.case import UNIT, operation, words
from coverage_table.cases.operations_elements import INTEGERS

__all__ = ["CASES"]

RNG = np.random.default_rng(3)
IMAGE, COLOUR, EVEN = (8, 8, 3), (12, 12, 3), (6, 6, 4)
ACTIVATIONS = words("""
    Celu Elu Gelu HardShrink HardSigmoid HardSilu HardTanh LeakyRelu LogSigmoid LogSoftmax Relu Relu6 Selu
    Sigmoid Silu SoftShrink Softmax Softplus Softsign SparsePlus SparseSigmoid Squareplus TanhShrink
    """)


def weights(*shape: int) -> Any:
    return RNG.normal(0, 0.3, shape).astype("float32")


KERNEL, TRANSPOSED = weights(3, 3, 3, 4), weights(3, 3, 4, 3)
DEPTHWISE, POINTWISE = weights(3, 3, 3, 1), weights(1, 1, 3, 4)
SCALE, SHIFT = RNG.uniform(0.5, 1.5, 4).astype("float32"), weights(4)
THREE = weights(3), SCALE[:3], SHIFT[:3], SCALE[1:]  # mean, variance, offset, scale


def digits(x: Any) -> Any:
    from keras import ops

    return ops.cast(x, "int32")


def heads(x: Any) -> Any:
    from keras import layers

    return layers.Reshape((6, 2, 4))(x)


CASES = [
    *(operation(f"nn.{name}") for name in ACTIVATIONS),
    operation("nn.Sparsemax", jumps=0.15),  # see activations
    operation("nn.Gelu", approximate=False),
    operation("nn.Softmax", axis=1),
    operation("nn.Glu", shape=EVEN),
    operation("nn.Threshold", threshold=0.5, default_value=0.1),
    operation("nn.MaxPool", pool_size=2, shape=IMAGE),
    operation("nn.MaxPool", pool_size=3, strides=2, padding="same", shape=IMAGE),
    operation("nn.AveragePool", pool_size=2, shape=IMAGE),
    operation("nn.AveragePool", pool_size=3, strides=2, padding="same", shape=IMAGE),
    operation("nn.AdaptiveAveragePool", output_size=(2, 2), shape=IMAGE),
    operation("nn.AdaptiveMaxPool", output_size=(2, 2), shape=IMAGE),
    operation("nn.Conv", "valid", lambda made, x: made(x, KERNEL), shape=IMAGE),
    operation("nn.Conv", "strides=2, same", lambda made, x: made(x, KERNEL), strides=2, padding="same", shape=IMAGE),
    operation("nn.ConvTranspose", "strides=2", lambda made, x: made(x, TRANSPOSED), strides=2, shape=IMAGE),
    operation("nn.DepthwiseConv", "valid", lambda made, x: made(x, DEPTHWISE), shape=IMAGE),
    operation("nn.SeparableConv", "valid", lambda made, x: made(x, DEPTHWISE, POINTWISE), shape=IMAGE, rounds=2),
    operation("nn.BatchNorm", "axis=-1", lambda made, x: made(x, *THREE), axis=-1),
    # Keras takes x/σ - μ/σ, whose own rounding is 0.01 % for a constant image of 4.
    operation("nn.LayerNorm", "axis=-1", lambda made, x: made(x, SCALE, SHIFT), shape=EVEN, rounds=4, domain=UNIT),
    operation("nn.RMSNorm", "axis=-1", lambda made, x: made(x, SCALE), shape=EVEN, rounds=3),
    operation("nn.Normalize", axis=-1, shape=EVEN, rounds=3),
    operation("nn.Normalize", axis=1, order=1, shape=EVEN, rounds=3),
    operation("nn.Moments", axes=(1, 2), rounds=4),
    operation("nn.Moments", axes=[-1], keepdims=True, rounds=4),
    operation("nn.DotProductAttention", "self", lambda made, x: made(heads(x), heads(x), heads(x)), shape=(6, 8),
              rounds=4),
    operation("nn.DotProductAttention", "causal", lambda made, x: made(heads(x), heads(x), heads(x)), is_causal=True,
              shape=(6, 8), rounds=4),
    operation("nn.DepthToSpace", block_size=2, shape=EVEN),
    operation("nn.SpaceToDepth", block_size=2, shape=EVEN),
    operation("nn.Unfold", "kernel_size=2", lambda made, x: made(x), kernel_size=2, shape=(3, 6, 6)),
    operation("nn.Fold", "output 3x3", lambda made, x: made(x), output_size=(3, 3), kernel_size=(2, 2), shape=(8, 4)),
    operation("nn.OneHot", "digits", lambda made, x: made(digits(x)), num_classes=16, shape=(6,), domain=INTEGERS),
    operation("nn.MultiHot", "digits", lambda made, x: made(digits(x)), num_classes=16, shape=(6,), domain=INTEGERS),
    operation("nn.Polar", "real part", lambda made, x: real(made(x, x * 0.5)), domain=UNIT),
    operation("image.CropImages", top_cropping=1, left_cropping=2, target_height=5, target_width=6, shape=COLOUR,
              domain=UNIT),
    operation("image.PadImages", top_padding=1, left_padding=2, bottom_padding=0, right_padding=1, shape=COLOUR,
              domain=UNIT),
    operation("image.ExtractPatches", size=3, shape=COLOUR, domain=UNIT),
    operation("image.ExtractPatches", size=3, strides=2, padding="same", shape=COLOUR, domain=UNIT),
    operation("image.GaussianBlur", shape=COLOUR, domain=UNIT),
    operation("image.RGBToGrayscale", shape=COLOUR, domain=UNIT, rounds=2),  # its weights are rounded too,
    operation("image.RGBToHSV", shape=COLOUR, domain=UNIT),
    operation("image.HSVToRGB", shape=COLOUR, domain=UNIT),
    operation("image.SobelEdges", shape=COLOUR, domain=UNIT),
    *(
        operation("image.Resize", size=(7, 9), interpolation=name, shape=COLOUR, domain=UNIT)
        for name in ("bilinear", "nearest", "bicubic")
    ),
    operation("image.Resize", size=(6, 6), antialias=True, shape=COLOUR, domain=UNIT),
]  # fmt: skip


def real(y: Any) -> Any:
    from keras import ops

    return ops.real(y)
