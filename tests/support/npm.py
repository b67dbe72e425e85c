"""The npm packages that peers in the browser need: in $FMNIST_EDGE_NPM, or where `make npm` puts them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fmnist_edge.errors import UnavailableError
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.engines.browser import NPM_VARIABLE, npm_folder, versions_of
from support import ROOT

__all__ = ["NPM", "needs_packages_of"]

NPM = Path(os.environ.get(NPM_VARIABLE) or ROOT / "build/npm")


def needs_packages_of(engine: str) -> pytest.MarkDecorator:
    try:
        npm_folder(versions_of(ENGINES[engine].settings["npm"]), NPM)
    except UnavailableError as error:
        return pytest.mark.skipif(True, reason=f"{error}, or: make npm")
    return pytest.mark.skipif(False, reason="they are there")
