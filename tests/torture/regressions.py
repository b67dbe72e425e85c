"""Files that broke something once, in tests/hostile/: `<what reads it>-<what it did>.<suffix>`."""

from __future__ import annotations

from pathlib import Path

from torture.fuzz import PARSERS, parse

__all__ = ["FILES", "replay"]

FILES = sorted((Path(__file__).parents[1] / "hostile").iterdir())


def replay(file: Path) -> None:
    """Read a file by the parsers that it may be meant for; raises what they must not raise."""
    content = file.read_bytes()
    named = [name for name in PARSERS if file.name.startswith(f"{name}-")]
    for name in named or (["flatbuffer", "contract-tflite"] if file.suffix == ".tflite" else ["contract-onnx"]):
        parse(name, content)
