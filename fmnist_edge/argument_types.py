"""What the text of an option must be; argparse turns a ValueError or ArgumentTypeError into a usage error."""

from __future__ import annotations

import argparse
import math

__all__ = ["batch_size", "number", "percentage", "seeds", "whole_number"]


def whole_number(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a finite number")
    return value


def percentage(text: str) -> float:
    """ "10%" or "10" -> 0.1"""
    value = number(text.removesuffix("%"))
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value / 100


def seeds(text: str) -> tuple[int, ...]:
    values = tuple(int(part) for part in text.split(","))
    if min(values) < 0 or len(set(values)) < len(values):
        raise argparse.ArgumentTypeError(f"{text}: expected different whole numbers from 0 on, like 0,1,2")
    return values


def batch_size(text: str) -> int | None:
    return None if text == "dynamic" else whole_number(text)
