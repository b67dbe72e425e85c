"""What is made once a run, however many processes the run has."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fmnist_edge.files import locked


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """The folder `name` that all processes of this run share, filled by the first that asks. Treat it as read-only."""
    base = factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # a worker's own folder is inside the run's
    folder, done = base / "made_once" / name, base / "made_once" / f"{name}.done"
    with locked(folder, wait=True):
        if not done.exists():
            make(folder)
            done.touch()
    return folder
