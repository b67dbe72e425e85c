"""Load an unverified file in a child process first, because a hostile file can crash an engine's process.

A file whose SHA-256 matches its manifest is tried only when the manifest is untrusted too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError

__all__ = ["load_and_run", "try_load"]

TIMEOUT_S = 60
MEMORY = 4 << 30  # bytes; edge models need less, and a hostile file must not exhaust the memory


def try_load(path: str | Path, engine: str, timeout_s: float = TIMEOUT_S, advice: str = "") -> None:
    """Load `path` with `engine` in a child and run it once on zeros.

    Raises the engine's error when it refuses the file; ArtifactError when it crashes or does not finish within
    `timeout_s` seconds; UnavailableError when no child can be started, e.g. in a frozen app. That message ends with
    `advice`.
    """
    # Imported here, because most files are verified and need no trial.
    from fmnist_edge.worker.calls import call
    from fmnist_edge.worker.endings import Status

    end = call(
        "fmnist_edge.runtime.trial:load_and_run",
        [engine, str(path)],
        timeout_s=timeout_s,
        memory=MEMORY,
        environment={"FMNIST_EDGE_VERBOSE": "1"},  # its output is read here, and says why it crashed
    )
    if end.status is Status.CRASHED:
        raise ArtifactError(
            f"{path}: {engine} crashed on it ({end.signal}, in a child process); the file is damaged or hostile"
        )
    if end.status is Status.TIMED_OUT:
        raise ArtifactError(f"{path}: {engine} did not finish loading it within {timeout_s:g} s; refused")
    reason = end.reason if end.status is Status.NOT_STARTED else ""
    if end.status is Status.EXITED and end.code == 0:  # no engine ends its process so: another program was started
        reason = "it ended and gave no answer"
    if reason:
        raise UnavailableError(f"{path}: cannot be tried in a child process here: {reason}{advice}")
    end.result(ArtifactError, f"{path}: {engine} cannot run it: ")


def load_and_run(request: list[str], progress: object) -> None:
    """Runs in the child. `request`: name of the engine, path of the file."""
    from fmnist_edge.runtime.engine_catalog import ENGINES

    name, path = request
    engine = ENGINES[name].load(path)
    shapes = [tuple(1 if size is None else size for size in spec.shape) for spec in engine.inputs]
    engine.run_all([np.zeros(shape, spec.dtype) for shape, spec in zip(shapes, engine.inputs)])
