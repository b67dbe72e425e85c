"""Programs that stand where a Python belongs."""

from pathlib import Path

__all__ = ["script"]


def script(folder: Path, code: str) -> str:
    """A shell script of one's own, as a path."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return str(path)
