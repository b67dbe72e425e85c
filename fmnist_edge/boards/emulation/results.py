"""What `emulate` leaves behind: `<folder>/<core>.json`, a cell an artifact.

No latency is in it, and none can be: an emulated core has no clock. Fields of a cell:

artifact: last folder and file name; sha256, size_bytes: of the file. status: "ok", or "failed" with a reason.
parity: against the same engine on this machine, on the first "images" of "source": "agreement" is the share with the
same top class, "ties" those of the others where two classes score the same, "bit_equal" whether all scores are the same
bits. instructions: of one inference, one thread. repeatability: how far the counts of two sections of two processes lay
apart, as a share; attempts: how often they were counted until they did not, at most three times (missing: once). calls:
how many inferences a count was of. cycles: of one inference by a simulation of the core, see
estimate/cycles.py; null where llvm-mca was not installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.catalog.boards import CORES
from fmnist_edge.errors import FileError
from fmnist_edge.files import write_json

__all__ = ["SCHEMA", "cell_of", "folders", "load", "load_all", "save"]

SCHEMA = 1
KIND = "emulated"


def folders() -> Sequence[Path]:
    """Where they are looked for: below the working folder, in the source tree, where the wheel puts them."""
    source_tree = Path(__file__).resolve().parents[3] / "benchmarks/emulated"
    return Path("benchmarks/emulated"), source_tree, Path(sys.prefix) / "share/fmnist-edge/emulated"


def load(path: Path) -> dict[str, Any]:
    """Raises FileError when it is missing, damaged or something else."""
    try:
        result = json.loads(path.read_bytes())
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); `fmnist-edge emulate` writes one") from None
    except ValueError:
        raise FileError(f"{path}: not JSON; delete it and run `fmnist-edge emulate`") from None
    if not isinstance(result, dict) or (result.get("kind"), result.get("schema")) != (KIND, SCHEMA):
        raise FileError(f"{path}: no results of `fmnist-edge emulate` of schema {SCHEMA}; delete it and run that")
    if not isinstance(result.get("cells"), list) or result.get("core") not in CORES:
        raise FileError(f"{path}: its cells or its core are missing; delete it and run `fmnist-edge emulate`")
    return result


def load_all(folder: Path) -> list[dict[str, Any]]:
    """Every core's results in `folder`, in the order of CORES."""
    return [load(path) for core in CORES if (path := folder / f"{core}.json").is_file()]


def save(result: dict[str, Any], folder: Path) -> Path:
    cells = sorted(result["cells"], key=lambda cell: cell["artifact"])
    return write_json(folder / f"{result['core']}.json", {**result, "cells": cells})


def cell_of(result: dict[str, Any], sha256: str) -> dict[str, Any] | None:
    return next((cell for cell in result["cells"] if cell["sha256"] == sha256), None)
