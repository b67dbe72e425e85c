"""Load a file nobody vouched for in a child process first: engines can crash their whole process on a hostile one.

A file whose SHA-256 is the one in its manifest is probed only where the manifest may be as hostile.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np

from fmnist_edge.errors import ArtifactError, FmnistEdgeError, one_line

__all__ = ["child_environment", "probe"]

TIMEOUT_S = 60
MEMORY = 4 << 30  # bytes a child may have: an edge model that needs more is none, and the machine is not to suffer
PACKAGE_PARENT = str(Path(__file__).resolve().parents[2])
REFUSED = 3  # the child's own verdict, told apart from a crash


def probe(path: str | Path, engine: str, timeout_s: float = TIMEOUT_S) -> None:
    """Load `path` with `engine` in a child and run it once on zeros.

    Raises ArtifactError when the child refuses the file, crashes, or is not done after `timeout_s` seconds.
    """
    import subprocess  # only now: most files are vouched for

    command = [sys.executable, "-m", "fmnist_edge.runtime.trial", engine, str(Path(path).absolute())]
    try:
        done = subprocess.run(
            command, capture_output=True, timeout=timeout_s, env=child_environment(), cwd=PACKAGE_PARENT, check=False
        )
    except subprocess.TimeoutExpired:
        raise ArtifactError(f"{path}: {engine} did not finish loading it within {timeout_s:g} s; refused") from None
    if done.returncode == REFUSED:
        said = done.stdout.decode(errors="replace").strip().replace(command[-1], str(path))
        raise ArtifactError(said or f"{path}: {engine} refuses the file")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ArtifactError(
            f"{path}: {engine} crashed on it ({name}, in a child process); the file is damaged or hostile"
        )
    if done.returncode:
        reason = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        raise ArtifactError(f"{path}: {engine} failed to load it ({reason[:160]})")


def child_environment() -> dict[str, str]:
    """Our own environment, in which any Python finds this package too, installed or not.

    From 3.11 on it imports nothing from the current folder, where modules may lie beside a hostile model.
    """
    search = os.pathsep.join(filter(None, [PACKAGE_PARENT, os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": search, "PYTHONSAFEPATH": "1"}


def main(engine_name: str, path: str) -> int:
    """The child: 0 when the file loads and runs, REFUSED with one line on stdout when it does not."""
    from fmnist_edge.runtime.engine_catalog import ENGINES

    limit()
    try:
        engine = ENGINES[engine_name].load(path)
        shape = tuple(1 if size is None else size for size in engine.input.shape)
        engine.run(np.zeros(shape, engine.input.dtype))
    except FmnistEdgeError as error:
        print(one_line(error))
        return REFUSED
    except Exception as error:
        print(f"{path}: {engine_name} cannot run it ({one_line(error, 160)})")
        return REFUSED
    return 0


def limit() -> None:
    """At most MEMORY for this process, and an end to it even if its parent is gone, where the system can do that."""
    try:
        import resource
    except ImportError:
        return
    signal.alarm(TIMEOUT_S + 10)
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or most > MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:3]))
