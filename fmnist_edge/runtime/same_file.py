"""Precisions that share a file: `int8.tflite` is also int8_only where nothing of it computes in float."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import json_values as values
from fmnist_edge.runtime.engine_catalog import is_artifact
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["SECTION", "check_exists", "other_names", "same_file"]

SECTION = "also"


def other_names(manifest: Manifest) -> tuple[str, ...]:
    """The other precisions that the file is. Raises ArtifactError when the manifest's section is damaged."""
    return values.list_of(values.printable)(manifest.document.get(SECTION, []), SECTION)


def same_file(path: Path) -> Path | None:
    """The artifact in `path`'s folder whose manifest says that it is this one, too; None if there is none."""
    for beside in sorted(path.parent.glob(f"*{path.suffix}.json")) if path.suffix else ():
        artifact = beside.with_name(beside.name.removesuffix(".json"))
        with suppress(ArtifactError):  # a damaged manifest of another file
            if artifact != path and is_artifact(artifact) and path.stem in other_names(Manifest.read(artifact)):
                return artifact
    return None


def check_exists(path: Path) -> None:
    """Raises ArtifactError when there is no artifact at `path`, and names the file with the same bytes, if any."""
    if is_artifact(path):
        return
    found = None if path.exists() else same_file(path)
    if found is None:
        raise ArtifactError(f"{path}: no such file; `fmnist-edge export MODEL` writes one")
    raise ArtifactError(f"{path}: no such file: {found.name} has the same bytes and is {path.stem}, too; name {found}")
