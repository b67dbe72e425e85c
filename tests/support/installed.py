"""What is installed here, and the marks that skip the tests of what is not."""

from __future__ import annotations

import importlib.util
import platform
import sys
from collections.abc import Iterable
from typing import Any

import pytest

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import PRECISIONS, Precision

# What peer engines and their converters need; the tests of those that are not installed are skipped.
NEEDS = {"openvino": "openvino", "ncnn": "ncnn", "mnn": "MNN"}
CONVERTERS = {"ncnn": ("ncnn", "pnnx"), "mnn": ("MNN",)}
# The others are sources: test_c.py, test_c_array.py
RUNNABLE = tuple(item for item in PRECISIONS if FORMATS[item.format].contains is None)
MICRO = sys.platform == "linux" and platform.machine() == "x86_64"  # where tflite-micro has wheels


def installed(*modules: str) -> bool:
    return all(importlib.util.find_spec(module) for module in modules)


def needs(*modules: str) -> pytest.MarkDecorator:
    """Skips a test, with the reason, where a module is not installed."""
    missing = [module for module in modules if not installed(module)]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def exportable(precisions: Iterable[Precision]) -> list[Any]:
    """Parameters for tests that export each of `precisions`; skipped where the converter is not installed."""
    return [pytest.param(item, id=item.filename, marks=needs(*CONVERTERS.get(item.format, ()))) for item in precisions]
