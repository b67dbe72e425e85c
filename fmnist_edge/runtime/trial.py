"""Load a file nobody vouched for in a child process first: engines can crash their whole process on a hostile one.

A file whose SHA-256 is the one in its manifest is tried only where the manifest may be as hostile.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError

__all__ = ["load_and_run", "try_load"]

TIMEOUT_S = 60
MEMORY = 4 << 30  # bytes a child may have: edge models need less, and the machine is not to suffer


def try_load(path: str | Path, engine: str, timeout_s: float = TIMEOUT_S) -> None:
    """Load `path` with `engine` in a child and run it once on zeros.

    Raises what the engine raises when it refuses the file; ArtifactError when it crashes on the file or is not done
    after `timeout_s` seconds; UnavailableError when no child can be started.
    """
    # Only now: most files are vouched for.
    from fmnist_edge.worker.calls import call
    from fmnist_edge.worker.endings import How

    end = call("fmnist_edge.runtime.trial:load_and_run", [engine, str(path)], timeout_s=timeout_s, memory=MEMORY)
    if end.how is How.CRASHED:
        raise ArtifactError(
            f"{path}: {engine} crashed on it ({end.signal}, in a child process); the file is damaged or hostile"
        )
    if end.how is How.TIMED_OUT:
        raise ArtifactError(f"{path}: {engine} did not finish loading it within {timeout_s:g} s; refused")
    if end.how is How.NOT_STARTED:
        raise UnavailableError(f"{path}: cannot be tried in a child process: {end.reason}")
    end.result(ArtifactError, f"{path}: {engine} cannot run it: ")


def load_and_run(request: list[str], progress: Any) -> None:
    """The child's task. `request`: the engine's name and the file."""
    from fmnist_edge.runtime.engine_catalog import ENGINES

    name, path = request
    engine = ENGINES[name].load(path)
    shape = tuple(1 if size is None else size for size in engine.input.shape)
    engine.run(np.zeros(shape, engine.input.dtype))
