"""Recipes by name, as the models declare them, and in JSON files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from fmnist_edge.errors import FileError, InputError, UnknownNameError, one_line
from fmnist_edge.files import write_json
from fmnist_edge.models.recipe import Recipe
from fmnist_edge.models.spec import ModelSpec

__all__ = ["read_recipe", "recipe_for", "write_recipe"]


def recipe_for(spec: ModelSpec, name: str) -> Recipe:
    """The recipe called `name` that `spec` declares, or the one in the file of that name when it ends in .json.

    Raises UnknownNameError listing the choices, and what `read_recipe` raises.
    """
    if name.endswith(".json"):
        return read_recipe(Path(name))
    recipes = {recipe.name: recipe for recipe in spec.recipes}
    if name not in recipes:
        choices = ", ".join(recipes) or "none"
        raise UnknownNameError(
            f"no recipe {name!r} for model {spec.name!r}; choose from: {choices}, or name a .json file"
        )
    return recipes[name]


def read_recipe(path: Path) -> Recipe:
    """The recipe in a JSON file: an object of Recipe's fields, of which name and epochs are required.

    Raises FileError for a file that cannot be read, InputError for one that is not a recipe.
    """
    try:
        fields = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({one_line(error)})") from error
    known = {field.name for field in dataclasses.fields(Recipe)}
    if not isinstance(fields, dict) or not {"name", "epochs"} <= set(fields) <= known:
        shape = sorted(fields) if isinstance(fields, dict) else type(fields).__name__
        raise InputError(
            f"{path}: is no recipe: got {shape}, expected an object with name, epochs and any of {sorted(known)}"
        )
    return Recipe(**fields)


def write_recipe(recipe: Recipe, path: Path) -> None:
    """Write `recipe` so that `read_recipe` gives it back."""
    write_json(path, dataclasses.asdict(recipe))
