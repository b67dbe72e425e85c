"""What a device must know to use a model file: its input, its labels, what its scores mean.

Export writes it into the manifest beside the file (`int8.tflite` + `int8.tflite.json`); devices read it here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["Contract", "manifest_path", "read_manifest"]

SCHEMA = 1
LARGEST_MANIFEST = 16 * 1024 * 1024


@dataclass(frozen=True)
class Contract:
    """How to feed a model and read its answer.

    Attributes:
        input_shape: one image, (height, width, channels).
        output: "logits" (the runtime applies softmax) or "probabilities".
        labels: one name per class, in output order.
    """

    input_shape: tuple[int, ...]
    output: str
    labels: tuple[str, ...]
    preprocessing: Preprocessing = field(default_factory=Preprocessing)

    def __post_init__(self):
        if not self.input_shape or any(type(size) is not int or size < 1 for size in self.input_shape):
            raise ArtifactError(f"contract: input_shape is {self.input_shape!r}; expected positive integers")
        if self.output not in ("logits", "probabilities"):
            raise ArtifactError(f"contract: output is {self.output!r}; expected 'logits' or 'probabilities'")
        if not self.labels or any(not isinstance(label, str) for label in self.labels):
            raise ArtifactError("contract: labels must be a non-empty list of strings")

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "input_shape": list(self.input_shape), "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, value: Any) -> Contract:
        """Raises ArtifactError when `value` is not what `as_dict` writes."""
        try:
            numbers = {key: float(value["preprocessing"][key]) for key in ("scale", "mean", "std")}
            return cls(
                input_shape=sequence(value["input_shape"]),
                output=value["output"],
                labels=sequence(value["labels"]),
                preprocessing=Preprocessing(**numbers),
            )
        except InputError as error:
            raise ArtifactError(f"contract: {error}; the manifest is damaged") from None
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ArtifactError(f"contract: {type(error).__name__} at {error}; the manifest is damaged") from None


def sequence(value: Any) -> tuple[Any, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a list belongs")
    return tuple(value)


def manifest_path(artifact: str | Path) -> Path:
    """`int8.tflite` -> `int8.tflite.json`, in the same folder."""
    artifact = Path(artifact)
    return artifact.with_name(artifact.name + ".json")


def read_manifest(artifact: str | Path) -> dict[str, Any]:
    """The manifest beside `artifact`, its schema and SHA-256 field checked, its contract under "contract".

    Raises ArtifactError when it is missing, damaged or of a newer schema.
    """
    path = manifest_path(artifact)
    if not path.is_file():
        raise ArtifactError(
            f"{artifact}: no manifest {path.name} beside it; copy both files that `fmnist-edge export` wrote, "
            "or pass a Contract to Classifier.load"
        )
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_MANIFEST + 1)
        if len(content) > LARGEST_MANIFEST:
            raise ValueError("larger than 16 MiB")
        manifest = json.loads(content)
    except (OSError, ValueError, RecursionError) as error:
        raise ArtifactError(
            f"{path}: not a readable manifest ({type(error).__name__}); export the model again"
        ) from None
    if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
        found = manifest.get("schema") if isinstance(manifest, dict) else None
        raise ArtifactError(
            f"{path}: manifest schema is {found!r}, this version reads {SCHEMA}; export the model again"
        )
    if not isinstance(manifest.get("sha256"), str):
        raise ArtifactError(f"{path}: the manifest names no sha256; export the model again")
    return manifest
