"""What an exception of an engine's constructor means: no library, one that cannot be imported, or a refused file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from fmnist_edge.errors import ArtifactError, FmnistEdgeError, UnavailableError, one_line

__all__ = ["importing", "is_missing", "meaning"]

# In the messages of extension modules that were compiled for another NumPy.
NUMPY_MISMATCH = (
    "numpy.core.multiarray failed to import", "_ARRAY_API not found", "numpy.dtype size changed",
    "compiled against ABI version", "compiled against API version",
)  # fmt: skip


def meaning(error: Exception, path: str | Path, title: str, install: str) -> FmnistEdgeError:
    """The error of our tree for an `error` while the engine `title` loaded `path`; `install` installs the engine."""
    if any(text in str(cause) for cause in causes(error) for text in NUMPY_MISMATCH):
        import numpy as np

        return UnavailableError(
            f"{title} was built for another NumPy than the installed {np.__version__}; run: pip install 'numpy<2', or: "
            f"{install}"
        )
    if is_missing(error):
        return UnavailableError(f"{title} is not installed; run: {install}")
    reason = f"{type(error).__name__}: {one_line(error, 160)}"
    if isinstance(error, ImportError) or importing(error):
        advice = (
            "this system is too old for it, install an older version"
            if "GLIBC" in reason
            else f"install it again: {install}"
        )
        return UnavailableError(f"{title} is installed and cannot be imported ({reason}); {advice}")
    return ArtifactError(f"{path}: {title} cannot load the file ({reason}); export the model again")


def is_missing(error: Exception) -> bool:
    """Whether our own import found no such module. A library that lacks one of its own is not missing itself."""
    return isinstance(error, ModuleNotFoundError) and not any(True for _ in library_frames(error))


def importing(error: Exception) -> str:
    """The package that raised `error` while it was imported; "" when none was."""
    steps = (step for step in library_frames(error) if step.tb_frame.f_code.co_name == "<module>")
    return next(map(package_of, steps), "")


def library_frames(error: Exception) -> Iterator[TracebackType]:
    """The steps of the traceback that are neither in our modules nor in Python's import system."""
    step, ours = error.__traceback__, False
    while step is not None:
        package = package_of(step)
        ours = ours or package == "fmnist_edge"
        if ours and package not in ("fmnist_edge", "importlib"):
            yield step
        step = step.tb_next


def package_of(step: TracebackType) -> str:
    return str(step.tb_frame.f_globals.get("__name__")).partition(".")[0]


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error` and what led to it."""
    found: BaseException | None = error
    for _ in range(10):
        if found is None:
            return
        yield found
        found = found.__cause__ or found.__context__
