"""Pooling and upsampling."""

from __future__ import annotations

from coverage_table.case import Case, layer

__all__ = ["CASES"]

SHAPES = {1: (12, 4), 2: (9, 8, 4), 3: (6, 6, 4, 3)}


def dimension(n: int) -> list[Case]:
    windows = (
        {},
        {"pool_size": 3, "strides": 1, "padding": "same"},
        {"pool_size": 3, "strides": 2, "padding": "same"},
    )
    return [
        *layer(f"MaxPooling{n}D", *windows, shape=SHAPES[n]),
        *layer(f"AveragePooling{n}D", {"pool_size": 2}, *windows[1:], shape=SHAPES[n]),
        *layer(f"GlobalMaxPooling{n}D", {}, {"keepdims": True}, shape=SHAPES[n]),
        *layer(f"GlobalAveragePooling{n}D", {}, {"keepdims": True}, shape=SHAPES[n]),
        *layer(f"AdaptiveMaxPooling{n}D", {"output_size": 2}, {"output_size": 1}, shape=SHAPES[n]),
        *layer(f"AdaptiveAveragePooling{n}D", {"output_size": 2}, {"output_size": 1}, shape=SHAPES[n]),
        *layer(f"UpSampling{n}D", {}, {"size": 3}, shape=SHAPES[n]),
    ]


CASES = [
    *dimension(1),
    *dimension(2),
    *layer("MaxPooling2D", {"pool_size": (1, 3)}, {"data_format": "channels_first"}, shape=SHAPES[2]),
    *layer("AveragePooling2D", {"pool_size": (3, 1)}, {"pool_size": 2, "data_format": "channels_first"},
           shape=SHAPES[2]),
    *layer("GlobalAveragePooling2D", {"data_format": "channels_first"}, shape=SHAPES[2]),
    *layer("AdaptiveAveragePooling2D", {"output_size": (4, 3)}, shape=SHAPES[2]),
    *layer("AdaptiveMaxPooling2D", {"output_size": (4, 3)}, shape=SHAPES[2]),
    *layer("UpSampling2D", {"interpolation": "bilinear"}, {"size": (1, 2)}, {"data_format": "channels_first"},
           shape=SHAPES[2]),
    *layer("UpSampling2D", {"interpolation": "bicubic"}, shape=SHAPES[2], rounds=2),  # two products, one per axis
    *dimension(3),
]  # fmt: skip
