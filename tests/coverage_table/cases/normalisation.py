"""Normalisation."""

from __future__ import annotations

from coverage_table.case import IMAGE, custom, layer

__all__ = ["CASES"]

CASES = [
    *layer("BatchNormalization", {}, {"center": False}, {"scale": False}, {"axis": 1}, shape=IMAGE),
    *layer("BatchNormalization", {}, shape=(24,), of="vector"),
    custom("BatchNormalization", "behind Conv2D", lambda k, x: k.BatchNormalization()(k.Conv2D(4, 3)(x)), rounds=2),
    custom("BatchNormalization", "before Conv2D", lambda k, x: k.Conv2D(4, 3)(k.BatchNormalization()(x)), rounds=2),
    custom("BatchNormalization", "behind padded Conv2D, ReLU",
           lambda k, x: k.ReLU()(k.BatchNormalization()(k.Conv2D(4, 3, padding="same", use_bias=False)(x))), rounds=2),
    custom("BatchNormalization", "behind DepthwiseConv2D, ReLU6",
           lambda k, x: k.ReLU(6.0)(k.BatchNormalization()(k.DepthwiseConv2D(3, padding="same")(x))), rounds=2),
    custom("BatchNormalization", "between Dense(relu) and Dense",
           lambda k, x: k.Dense(6)(k.BatchNormalization()(k.Dense(20, activation="relu")(x))), shape=(24,), rounds=3),
    custom("BatchNormalization", "behind Conv2DTranspose",
           lambda k, x: k.BatchNormalization()(k.Conv2DTranspose(4, 3, strides=2)(x)), rounds=2),
    *layer("LayerNormalization", {}, {"axis": [1, 2, 3]}, {"center": False, "scale": False}, shape=IMAGE, rounds=4),
    *layer("LayerNormalization", {}, shape=(24,), rounds=4, of="vector"),
    *layer("LayerNormalization", {"epsilon": 1e-6}, shape=(6, 8), rounds=4),
    *layer("GroupNormalization", {"groups": 2}, {"groups": -1}, {"groups": 1, "center": False}, shape=IMAGE, rounds=4),
    *layer("RMSNormalization", {}, shape=IMAGE, rounds=3),
    *layer("RMSNormalization", {"axis": 1}, shape=(6, 8), rounds=3),
    *layer("UnitNormalization", {}, {"axis": 1}, shape=IMAGE, rounds=3),
    custom("SpectralNormalization", "Conv2D", lambda k, x: k.SpectralNormalization(k.Conv2D(4, 3))(x)),
    custom("SpectralNormalization", "Dense", lambda k, x: k.SpectralNormalization(k.Dense(4))(x), shape=(24,)),
]  # fmt: skip
