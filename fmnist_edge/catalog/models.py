"""The models of the zoo, collected from the SPECS that the modules in `fmnist_edge.models` declare."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

from fmnist_edge import models
from fmnist_edge.lookup import Catalog
from fmnist_edge.models.spec import ModelSpec

__all__ = ["MODELS"]


def declared() -> Iterator[ModelSpec]:
    for module in iter_modules(models.__path__, f"{models.__name__}."):
        if not module.name.rpartition(".")[2].startswith("_") and module.name not in HELPERS:
            yield from import_module(module.name).SPECS


HELPERS = tuple(f"{models.__name__}.{name}" for name in ("layers", "recipe", "spec"))  # modules without a model
MODELS: Catalog[ModelSpec] = Catalog("model", declared())
