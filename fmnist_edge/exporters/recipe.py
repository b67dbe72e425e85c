"""Read the precision of an export from the recipe in its manifest."""

from __future__ import annotations

import re
from dataclasses import fields

from fmnist_edge.aliases import JsonObject
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["precision_of"]


def precision_of(manifest: Manifest) -> Precision:
    """The precision in the manifest's recipe.

    Raises ArtifactError when the manifest has no recipe, or this version has no such precision.
    """
    recipe: JsonObject = dict(manifest.require_recipe())
    kinds = {item.name: item.type for item in fields(Precision)}
    wrong = [name for name, value in recipe.items() if type(value).__name__ != kinds.get(name)]
    if wrong:
        raise unknown_recipe(f"{wrong[0]!r} is {recipe[wrong[0]]!r}")
    try:
        precision = Precision(**recipe)
    except (InputError, TypeError) as error:
        raise unknown_recipe(str(error)) from None
    if not re.fullmatch(r"\w{1,64}", precision.name, re.ASCII):  # it becomes a file name
        raise unknown_recipe("the precision's name is not letters, digits and underscores")
    return precision


def unknown_recipe(reason: str) -> ArtifactError:
    return ArtifactError(f"this version does not know the manifest's recipe ({reason}); export the model again")
