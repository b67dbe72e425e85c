"""Layers that move values, look them up, or leave them as they are."""

from __future__ import annotations

from coverage_table.case import IMAGE, Case, custom, layer

__all__ = ["CASES"]

SHAPES = {1: (12, 4), 2: (9, 8, 4), 3: (6, 6, 4, 3)}
DIGITS = (0.0, 9.9)


def dimension(n: int) -> list[Case]:
    uneven = {1: (1, 2), 2: ((1, 0), (0, 2)), 3: ((1, 0), (0, 2), (1, 1))}[n]
    return [
        *layer(f"ZeroPadding{n}D", {}, {"padding": uneven}, shape=SHAPES[n]),
        *layer(f"Cropping{n}D", {"cropping": 1}, {"cropping": uneven}, shape=SHAPES[n]),
    ]


CASES = [
    custom("InputLayer", "alone", lambda k, x: k.Flatten()(x), shape=IMAGE),
    *layer("Flatten", shape=IMAGE),
    *layer("Flatten", {"data_format": "channels_first"}, shape=IMAGE),
    *layer("Reshape", {"target_shape": (16, 16)}, {"target_shape": (4, -1, 2)}, shape=IMAGE),
    *layer("Permute", {"dims": (3, 1, 2)}, {"dims": (2, 1, 3)}, shape=IMAGE),
    *layer("Permute", {"dims": (2, 1)}, shape=SHAPES[1]),
    *layer("RepeatVector", {"n": 3}, shape=(24,)),
    *layer("Identity", shape=IMAGE),
    *dimension(1),
    *dimension(2),
    *dimension(3),
    *layer("Embedding", {"input_dim": 10, "output_dim": 4}, {"input_dim": 10, "output_dim": 4, "mask_zero": True},
           shape=(6,), domain=DIGITS),
    *layer("ReversibleEmbedding", {"input_dim": 10, "output_dim": 4}, shape=(6,), domain=DIGITS),
    custom("ReversibleEmbedding", "reverse",
           lambda k, x: (lambda shared: shared(shared(x), reverse=True))(k.ReversibleEmbedding(10, 4)), shape=(6,),
           domain=DIGITS, rounds=2),
]  # fmt: skip
