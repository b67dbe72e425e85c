"""Open a model file: check it, load it in an engine, and prepare to load it again in a forked child."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from fmnist_edge.errors import InputError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.loading import Source
from fmnist_edge.runtime.same_file import check_exists
from fmnist_edge.runtime.tensors import check_several

if TYPE_CHECKING:
    from fmnist_edge.runtime.given import ModelSource

__all__ = ["Opened", "open_model"]

T = TypeVar("T")


@dataclass(frozen=True)
class Opened:
    """A checked file in an engine.

    Attributes:
        reload: creates the engine of a forked child.
    """

    path: Path
    engine: Engine
    source: Source
    reload: Callable[[], Engine]


def open_model(
    model: ModelSource,
    make: Callable[[Opened], T],
    *,
    threads: int | None = None,
    engine: str | None = None,
    contract: Contract | None = None,
    try_first: bool = False,
    manifest: ModelSource | None = None,
) -> T:
    """What `make` makes of the opened model; the engine is closed if it raises. See `Classifier.load`."""
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}; expected a whole number of at least 1")
    if contract is not None and not isinstance(contract, Contract):
        raise InputError(f"contract is {type(contract).__name__}; expected a Contract, see Contract.from_dict")
    if isinstance(model, (str, os.PathLike)) and manifest is None:
        return opened(Path(model), make, threads, engine, contract, try_first, None)
    from fmnist_edge.runtime.given import Given

    given = Given.of(model, manifest, engine)
    with given.on_disk() as path:
        name = engine or engines_for(path)[0]
        return opened(path, make, threads, engine, contract, try_first, partial(given.load, name, threads))


def opened(
    path: Path,
    make: Callable[[Opened], T],
    threads: int | None,
    engine: str | None,
    contract: Contract | None,
    try_first: bool,
    reload: Callable[[], Engine] | None,
) -> T:
    """`reload`: for a model that is not at `path` later; None loads it from there again."""
    name = engine or engines_for(path)[0]
    record = ENGINES[name]
    check_exists(path)
    source = Source.of(path, name, contract, try_first)
    check_several(source.contract, name, record.several, path)

    def reload_from_path() -> Engine:
        source.check()
        return record.load(path, threads)

    loaded = record.load(path, threads)
    try:
        source.check()  # again: the file may have changed before the engine read it
        return make(Opened(path, loaded, source, reload or reload_from_path))
    except BaseException:
        loaded.close()
        raise
