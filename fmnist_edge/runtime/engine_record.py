"""What is known about an engine before it is imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import FmnistEdgeError, UnavailableError
from fmnist_edge.lookup import load

if TYPE_CHECKING:
    from fmnist_edge.runtime.engine import Engine

__all__ = ["BROWSER", "CPU", "GPU", "TARGETS", "EngineRecord"]

TARGETS = CPU, GPU, BROWSER = "cpu", "gpu", "browser"


@dataclass(frozen=True)
class EngineRecord:
    """The facts about an engine that are known before it is imported.

    Attributes:
        implementation: "module:class".
        title, install: the library's usual name, and the command that installs it.
        suffixes: suffixes of the files it runs.
        settings: keyword arguments of the class, besides path and threads.
        target: CPU, GPU or BROWSER. Engines of the last two run only when they are named; in a
            browser there is one thread.
        requirement: the pip requirement, with a version range, for devices; None for an engine not installed there.
        shipped: whether it is in a device bundle by default.
        timed, compared: whether `bench` times it, and whether `matrix` runs it, by default.
        slow: whether it takes 10 to 20 ms per image; `matrix` gives it fewer images.
        witness: whether the tolerance of golden vectors comes from it: it rounds otherwise, and is correct too.
        survives_fork: whether a forked child can load the model again.
        process_threads: whether the number of threads is set for the whole process, not for one engine.
        own_environment: whether it needs packages that conflict with other engines.
        folders: whether its artifacts are folders, see `runtime.folder`.
        programs: for an engine that is a program, its names, one of which must be on the PATH.
    """

    name: str
    implementation: str
    title: str
    install: str
    suffixes: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    target: str = CPU
    requirement: str | None = None
    shipped: bool = False
    timed: bool = False
    compared: bool = True
    slow: bool = False
    witness: bool = False
    survives_fork: bool = True
    process_threads: bool = False
    own_environment: bool = False
    folders: bool = False
    several: bool = False  # whether it runs models with several inputs or outputs
    programs: tuple[str, ...] = ()

    def load(self, path: str | Path, threads: int | None = None) -> Engine:
        """Load the model file at `path`; `threads=None` leaves the engine's default.

        Raises UnavailableError when the engine is not installed or cannot be imported, ArtifactError when it refuses
        the file.
        """
        try:
            engine: Engine = load(self.implementation)(str(path), threads, **self.settings)
        except FmnistEdgeError:
            raise
        except Exception as error:  # engines raise their own exception classes
            missing = (error.name or "") if isinstance(error, ImportError) else ""
            ours = missing.partition(".")[0] == "fmnist_edge"
            if ours and missing == self.implementation.partition(":")[0]:  # left out of the wheel for devices
                raise UnavailableError(
                    f"{self.title} is not in this package; run: pip uninstall fmnist-edge-runtime; pip install "
                    "fmnist-edge"
                ) from None
            if ours:
                raise  # a bug of ours, nothing to install
            from fmnist_edge.runtime.engine_failures import meaning

            raise meaning(error, path, self.title, self.install) from error
        engine.name, engine.survives_fork = self.name, self.survives_fork
        return engine
