"""The precision that a manifest says its file was made with."""

from __future__ import annotations

import re
from dataclasses import fields
from typing import Any

from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["precision_of"]


def precision_of(manifest: Manifest) -> Precision:
    """Raises ArtifactError when the manifest has no recipe, or one that is no precision of this version."""
    recipe: dict[str, Any] = dict(manifest.require_recipe())
    kinds = {item.name: item.type for item in fields(Precision)}
    wrong = [name for name, value in recipe.items() if type(value).__name__ != kinds.get(name)]
    if wrong:
        raise foreign(f"{wrong[0]!r} is {recipe[wrong[0]]!r}")
    try:
        precision = Precision(**recipe)
    except (InputError, TypeError) as error:
        raise foreign(str(error)) from None
    if not re.fullmatch(r"\w{1,64}", precision.name, re.ASCII):  # it becomes a file's name
        raise foreign("a precision's name that is no word")
    return precision


def foreign(reason: str) -> ArtifactError:
    return ArtifactError(f"the manifest's recipe is not of this version ({reason}); export the model again")
