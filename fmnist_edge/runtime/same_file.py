"""Precisions that share a file: `int8.tflite` is also int8_only where nothing of it computes in float."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.manifest import Manifest, manifest_path

__all__ = ["no_such_file", "same_file"]


def same_file(path: Path) -> Path | None:
    """The artifact in `path`'s folder whose manifest says that it is this one, too; None if there is none."""
    for beside in sorted(path.parent.glob(f"*{path.suffix}.json")) if path.suffix else ():
        artifact = beside.with_name(beside.name.removesuffix(".json"))
        with suppress(ArtifactError):  # a damaged manifest of another file
            if artifact != path and artifact.exists() and path.stem in Manifest.read(artifact).also:
                return artifact
    return None


def no_such_file(path: Path, advice: str) -> ArtifactError:
    """The error for an artifact that is missing; `advice`: what to do if no other file is the same."""
    found = None if path.exists() or manifest_path(path).exists() else same_file(path)
    if found is None:
        return ArtifactError(f"{path}: no such file; {advice}")
    return ArtifactError(f"{path}: no such file: {found.name} has the same bytes and is {path.stem}, too; name {found}")
