"""For apps that PyInstaller freezes: the entry point `pyinstaller40`, by which it finds the hook in this folder."""

from __future__ import annotations

from pathlib import Path

__all__ = ["hook_dirs"]


def hook_dirs() -> list[str]:
    return [str(Path(__file__).parent)]
