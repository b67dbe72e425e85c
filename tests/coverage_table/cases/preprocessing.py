"""Preprocessing inside the model."""

from __future__ import annotations

from typing import Any

from coverage_table.case import UNIT, custom, layer

__all__ = ["CASES"]

PIXELS = (0.0, 255.0)
COLOUR = (12, 12, 3)
DIGITS = (0.0, 9.9)


def adapted(k: Any, x: Any) -> Any:
    import numpy as np

    made = k.Normalization()
    made.adapt(np.random.default_rng(0).uniform(0, 1, (50, *x.shape[1:])).astype("float32"))
    return made(x)


CASES = [
    *layer("Rescaling", {"scale": 1 / 255}, {"scale": 2 / 255, "offset": -1.0},
           {"scale": [0.02, 0.01, 0.03], "offset": [-1.0, 0.5, 0.0]}, shape=COLOUR, domain=PIXELS),
    custom("Rescaling", "before Conv2D", lambda k, x: k.Conv2D(4, 3)(k.Rescaling(1 / 127.5, offset=-1.0)(x)),
           shape=COLOUR, domain=PIXELS, rounds=2),
    *layer("Normalization", {"mean": [0.4, 0.5, 0.6], "variance": [0.1, 0.2, 0.05]}, {"mean": 0.5, "variance": 0.1},
           {"mean": 0.5, "variance": 0.1, "invert": True}, shape=COLOUR),
    custom("Normalization", "adapted", adapted, shape=COLOUR),
    custom("Normalization", "adapted, before Conv2D", lambda k, x: k.Conv2D(4, 3)(adapted(k, x)), shape=COLOUR,
           rounds=2),
    *layer("Resizing", {}, {"interpolation": "nearest"}, {"interpolation": "bicubic"}, {"interpolation": "area"},
           {"interpolation": "lanczos3"}, {"crop_to_aspect_ratio": True}, {"pad_to_aspect_ratio": True},
           {"antialias": True}, base={"height": 7, "width": 9}, shape=COLOUR),
    *layer("Resizing", {"height": 24, "width": 24}, shape=COLOUR),
    *layer("CenterCrop", {"height": 6, "width": 5}, {"height": 16, "width": 16}, shape=COLOUR),
    *layer("Discretization", {}, {"output_mode": "one_hot"}, base={"bin_boundaries": [0.2, 0.5, 0.8]}, shape=(6, 1)),
    *layer("CategoryEncoding", {}, {"output_mode": "count"}, base={"num_tokens": 10}, shape=(6,), domain=DIGITS),
    *layer("CategoryEncoding", {"output_mode": "one_hot"}, base={"num_tokens": 10}, shape=(1,), domain=DIGITS),
    *layer("MelSpectrogram", {}, base={"fft_length": 32, "sequence_stride": 16, "num_mel_bins": 8}, shape=(128,),
           rounds=4),
    *layer("STFTSpectrogram", {}, {"mode": "magnitude"}, base={"frame_length": 16, "frame_step": 8}, shape=(64, 1),
           rounds=4),
    *layer("Solarization", {"threshold_factor": 0.5}, shape=COLOUR, domain=PIXELS),
    *layer("AutoContrast", shape=COLOUR, domain=PIXELS),
    *layer("Equalization", shape=COLOUR, domain=PIXELS),
    *layer("ContrastLimitedAdaptiveHistogramEqualization", base={"tile_grid_size": (2, 2)}, shape=COLOUR,
           domain=PIXELS),
    custom("Pipeline", "Rescaling, RandomFlip", lambda k, x: k.Pipeline([k.Rescaling(0.5), k.RandomFlip()])(x),
           shape=COLOUR, domain=UNIT),
]  # fmt: skip
