"""Programs that stand where a Python belongs."""

from pathlib import Path

__all__ = ["script"]


def script(folder: Path, code: str) -> str:
    """A shell script of one's own, as a path."""
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{code}\n")
    path.chmod(0o755)
    return str(path)


def start_child(request: object, progress: object) -> object:
    """A task that starts a child of its own."""
    from fmnist_edge.worker.calls import call

    return call("support.stand_ins:answer", None).value


def answer(request: object, progress: object) -> str:
    return "the grandchild's answer"
