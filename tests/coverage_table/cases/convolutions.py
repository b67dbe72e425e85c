"""Convolutions and dense layers."""

from __future__ import annotations

from coverage_table.case import IMAGE, Case, custom, layer

__all__ = ["CASES"]

SHAPES = {1: (12, 4), 2: (9, 8, 4), 3: (5, 6, 4, 4)}
BASE = {"filters": 4, "kernel_size": 3}


def dimension(n: int) -> list[Case]:
    return [
        *layer(
            f"Conv{n}D",
            {},
            {"padding": "same"},
            {"strides": 2, "padding": "same"},
            {"strides": 2, "use_bias": False},
            {"dilation_rate": 2, "padding": "same"},
            {"groups": 2},
            {"groups": 4, "filters": 8, "padding": "same"},
            {"kernel_size": 1, "activation": "relu"},
            base=BASE,
            shape=SHAPES[n],
        ),
        *layer(
            f"Conv{n}DTranspose",
            {},
            {"strides": 2, "padding": "same"},
            {"strides": 2, "padding": "same", "output_padding": 1},
            {"strides": 2, "use_bias": False, "activation": "relu"},
            {"dilation_rate": 2},
            base=BASE,
            shape=SHAPES[n],
        ),
    ]


def separable(n: int) -> list[Case]:
    variants = (
        {},
        {"padding": "same", "activation": "relu6"},
        {"strides": 2, "padding": "same"},
        {"depth_multiplier": 2},
        {"dilation_rate": 2},
        {"use_bias": False},
    )
    return [
        *layer(f"DepthwiseConv{n}D", *variants, base={"kernel_size": 3}, shape=SHAPES[n]),
        *layer(f"SeparableConv{n}D", *variants, base=BASE, shape=SHAPES[n], rounds=2),
    ]


CASES = [
    *dimension(1),
    *layer("Conv1D", {"padding": "causal"}, {"padding": "causal", "dilation_rate": 2}, base=BASE, shape=SHAPES[1]),
    *dimension(2),
    *layer(
        "Conv2D",
        {"kernel_size": (1, 3)},
        {"kernel_size": (5, 1), "strides": (1, 2), "padding": "same"},
        {"data_format": "channels_first", "padding": "same"},
        {"filters": 1, "kernel_size": (9, 8)},
        base=BASE,
        shape=SHAPES[2],
    ),
    *layer("Conv2D", {"filters": 4, "kernel_size": 3, "padding": "same"}, shape=(8, 8, 1)),
    *dimension(3),
    *separable(1),
    *separable(2),
    *layer("Dense", {}, {"use_bias": False}, {"activation": "relu"}, base={"units": 6}, shape=(24,)),
    *layer("Dense", {"units": 5}, shape=(6, 8)),
    *layer("Dense", {"units": 3}, shape=IMAGE),
    custom("Dense", "behind Dense(relu)", lambda k, x: k.Dense(6)(k.Dense(40, activation="relu")(x)), shape=(24,),
           rounds=2),
    *layer("EinsumDense", {"equation": "ab,bc->ac", "output_shape": 6, "bias_axes": "c"}, shape=(24,)),
    *layer("EinsumDense", {"equation": "abc,cd->abd", "output_shape": (6, 5)}, shape=(6, 8)),
    *layer("EinsumDense", {"equation": "abc,cde->abde", "output_shape": (6, 2, 3), "bias_axes": "de"}, shape=(6, 8)),
]  # fmt: skip
