"""The files that C models are made of: kernels and templates."""

from __future__ import annotations

import re
from pathlib import Path

__all__ = ["KERNELS", "fill", "kernel", "template"]

KERNELS = Path(__file__).parent / "kernels"


def template(name: str) -> str:
    return (KERNELS.parent / "templates" / name).read_text(encoding="utf-8")


def kernel(name: str) -> str:
    return (KERNELS / name).read_text(encoding="utf-8")


def fill(text: str, **values: object) -> str:
    """Replace every `@word@` at once, so that no value is read as a template."""
    return re.sub(r"@(\w+)@", lambda found: str(values[found[1]]), text)
