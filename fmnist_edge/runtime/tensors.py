"""Named inputs and outputs of models with the task `tensor`."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import ArtifactError

if TYPE_CHECKING:
    from fmnist_edge.runtime.contract import Contract

__all__ = ["MOST_TENSORS", "NamedTensor", "check_several", "named_tensors"]

MOST_TENSORS, MOST_AXES, MOST_VALUES = 64, 6, 1 << 24  # a file must not make a device allocate gigabytes


@dataclass(frozen=True)
class NamedTensor:
    """The name of an input or output, and its shape without the batch axis.

    Raises ArtifactError for an empty name, and for a shape of other than a few positive sizes.
    """

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name or not self.name.isprintable():
            raise ArtifactError(f"contract: a tensor is called {reprlib.repr(self.name)}; expected printable text")
        sound = all(type(size) is int and size >= 1 for size in self.shape)
        if not sound or len(self.shape) > MOST_AXES or math.prod(self.shape) > MOST_VALUES:
            raise ArtifactError(
                f"contract: {self.name!r} has the shape {reprlib.repr(self.shape)}; expected positive integers, "
                f"{MOST_AXES} axes and {MOST_VALUES:,} values at most"
            )


def named_tensors(value: Any, where: str) -> tuple[NamedTensor, ...]:
    """Read a contract's list of tensors. Raises ArtifactError for other values, TypeError for another type."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{where}: {type(value).__name__}, expected a list")
    if len(value) > MOST_TENSORS:
        raise ArtifactError(f"contract: {len(value)} {where}; expected {MOST_TENSORS} at most")
    found = tuple(NamedTensor(item["name"], tuple(item["shape"])) for item in value)
    if len({item.name for item in found}) < len(found):
        raise ArtifactError(f"contract: two {where} have the same name; export the model again")
    return found


def check_several(contract: Contract, engine: str, able: bool, path: Path) -> None:
    """Raises ArtifactError for a model with several inputs or outputs and an engine that is not `able` to run it."""
    counts = len(contract.inputs), len(contract.outputs)
    if not able and max(counts) > 1:
        from fmnist_edge.runtime.engine_catalog import ENGINES

        others = ", ".join(
            name for name, record in ENGINES.items() if record.several and path.suffix in record.suffixes
        )
        raise ArtifactError(
            f"{path}: engine {engine} runs models with one input and one output, and this one has {counts[0]} and "
            f"{counts[1]}; choose from: {others}"
        )
