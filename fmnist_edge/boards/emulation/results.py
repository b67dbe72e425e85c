"""The results of `emulate`: `<folder>/<core>.json` with a cell per artifact.

They have no latency, because an emulated core has no clock. Fields of a cell:

artifact: last folder and file name; sha256, size_bytes: of the file.
status: "ok", or "failed" with a reason.
parity: comparison with the same engine on this machine, on the first "images" of "source". "agreement" is the share
    with the same top class, "ties" counts the other images on which the engines share a top class because one scores
    two classes the same, "bit_equal" says whether all scores are equal bit for bit. "reference" is the engine on this
    machine if it is another one: a folder of C is compared with the numpy engine on the `.tflite` file beside it.
engine_version: for a folder of C its back end, the cross-compiler and its options.
instructions: of one inference, one thread.
repeatability: the spread of the counts of two sections in each of two processes, as a share of their mean.
attempts: how often they were counted, at most three times, until the spread was small enough; missing means once.
calls: number of inferences per count.
cycles: of one inference, by a simulation of the core, see cycles.py; null if llvm-mca was not installed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.boards import CORES
from fmnist_edge.errors import FileError
from fmnist_edge.files import write_json

__all__ = ["SCHEMA", "cell_of", "folders", "load", "load_all", "save"]

SCHEMA = 1
KIND = "emulated"


def folders() -> Sequence[Path]:
    """Folders to look in: below the working folder, in the source tree, and where the wheel installs them."""
    source_tree = Path(__file__).resolve().parents[3] / "benchmarks/emulated"
    return Path("benchmarks/emulated"), source_tree, Path(sys.prefix) / "share/fmnist-edge/emulated"


def load(path: Path) -> JsonObject:
    """Read results. Raises FileError when the file is missing, damaged or something else."""
    try:
        result = json.loads(path.read_bytes())
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror}); run `fmnist-edge emulate` to write it") from None
    except ValueError:
        raise FileError(f"{path}: not JSON; delete it and run `fmnist-edge emulate` again") from None
    if not isinstance(result, dict) or (result.get("kind"), result.get("schema")) != (KIND, SCHEMA):
        raise FileError(
            f"{path}: not results of `fmnist-edge emulate` with schema {SCHEMA}; delete it and run that again"
        )
    if not isinstance(result.get("cells"), list) or result.get("core") not in CORES:
        raise FileError(
            f"{path}: its cells are missing or its core is unknown; delete it and run `fmnist-edge emulate` again"
        )
    return result


def load_all(folder: Path) -> list[JsonObject]:
    """Every core's results in `folder`, in the order of CORES."""
    return [load(path) for core in CORES if (path := folder / f"{core}.json").is_file()]


def save(result: JsonObject, folder: Path) -> Path:
    cells = sorted(result["cells"], key=lambda cell: cell["artifact"])
    return write_json(folder / f"{result['core']}.json", {**result, "cells": cells})


def cell_of(result: JsonObject, sha256: str) -> JsonObject | None:
    return next((cell for cell in result["cells"] if cell["sha256"] == sha256), None)
