"""Layers that merge two branches; the second one is a 1x1 convolution or a pooled copy of the input."""

from __future__ import annotations

from typing import Any

from coverage_table.case import SIGNED, Case, custom

__all__ = ["CASES"]


def branches(k: Any, x: Any) -> list[Any]:
    return [x, k.Conv2D(x.shape[-1], 1)(x)]


def gated(k: Any, x: Any) -> list[Any]:
    """An image and one value per channel, which is broadcast."""
    return [x, k.GlobalAveragePooling2D(keepdims=True)(x)]


def merge(name: str) -> list[Case]:
    return [
        custom(name, "two images", lambda k, x: getattr(k, name)()(branches(k, x)), domain=SIGNED, rounds=2),
        custom(name, "three images", lambda k, x: getattr(k, name)()([*branches(k, x), x]), domain=SIGNED, rounds=3),
        custom(name, "broadcast", lambda k, x: getattr(k, name)()(gated(k, x)), domain=SIGNED, rounds=2),
    ]


CASES = [
    *(
        case
        for name in ("Add", "Average", "Maximum", "Minimum", "Multiply")
        for case in merge(name)
    ),
    custom("Subtract", "two images", lambda k, x: k.Subtract()(branches(k, x)), domain=SIGNED, rounds=2),
    custom("Subtract", "broadcast", lambda k, x: k.Subtract()(gated(k, x)), domain=SIGNED, rounds=2),
    custom("Concatenate", "channels", lambda k, x: k.Concatenate()(branches(k, x)), domain=SIGNED, rounds=2),
    custom("Concatenate", "axis=1", lambda k, x: k.Concatenate(axis=1)(branches(k, x)), domain=SIGNED, rounds=2),
    custom("Dot", "axes=1", lambda k, x: k.Dot(axes=1)([x, k.Dense(8)(x)]), shape=(8,), rounds=2),
    custom("Dot", "axes=2", lambda k, x: k.Dot(axes=2)([x, k.Dense(8)(x)]), shape=(6, 8), rounds=2),
    custom("Dot", "axes=2, normalize=True", lambda k, x: k.Dot(axes=2, normalize=True)([x, k.Dense(8)(x)]),
           shape=(6, 8), rounds=4),
]  # fmt: skip
