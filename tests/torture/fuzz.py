"""Coverage-guided fuzzing (atheris) of our own parsers: whatever the bytes, an answer or an error of our tree.

atheris is no dependency; `make torture` installs it into an environment of its own. Each parser is fuzzed in a child,
because libFuzzer ends its process. A crash's input belongs into tests/hostile/, under its parser's name.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from torture.bases import NAME

__all__ = ["PARSERS", "fuzz", "parse"]

LONGEST_INPUT = 32_768  # bytes; the sound files have up to 25,000
SLOWEST_S = 10


def flatbuffer(content: bytes) -> None:
    from fmnist_edge.runtime.engines.numpy.model import read_model
    from fmnist_edge.runtime.engines.numpy.program import program_of
    from fmnist_edge.runtime.flatbuffer import RefusedError

    try:
        program_of(read_model(content))
    except RefusedError as error:
        one_line(error)


def embedded(suffix: str) -> Callable[[bytes], None]:
    def read(content: bytes) -> None:
        from fmnist_edge.errors import ArtifactError
        from fmnist_edge.runtime.embedded import embedded_contract

        try:
            embedded_contract(Path(f"x{suffix}"), content)
        except ArtifactError as error:
            one_line(error)

    return read


def manifest(content: bytes) -> None:
    from fmnist_edge.errors import ArtifactError
    from fmnist_edge.runtime.manifest import Manifest

    try:
        Manifest.from_bytes(content).golden_vectors()
    except ArtifactError as error:
        one_line(error)


def config(content: bytes) -> None:
    import json

    from fmnist_edge.checkpoints.config import ConfigRefusedError, clean, head_of, layers_of

    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return
    try:
        clean(value)
        layers_of(value)
        head_of(value)
    except (ConfigRefusedError, KeyError, TypeError, AttributeError, ValueError, IndexError, RecursionError) as error:
        str(error)  # `checkpoints.load` makes one line of what these say


def one_line(error: Exception) -> None:
    if "\n" in str(error):
        raise AssertionError(f"several lines: {error}")


# name -> (what reads the bytes, the sound file to start from)
PARSERS: dict[str, tuple[Callable[[bytes], None], str]] = {
    "flatbuffer": (flatbuffer, f"{NAME}/int8.tflite"),
    "contract-tflite": (embedded(".tflite"), f"{NAME}/int8.tflite"),
    "contract-onnx": (embedded(".onnx"), f"{NAME}/int8.onnx"),
    "manifest": (manifest, f"{NAME}/int8.tflite.json"),
    "config": (config, f"{NAME}.keras"),
}


def parse(name: str, content: bytes) -> None:
    """Read `content` as the parser of that name does; raises what must not be raised."""
    PARSERS[name][0](content)


def fuzz(seconds: int, bases: Path) -> Iterator[dict[str, Any]]:
    """Each parser for so long: how many inputs, how much of it they reached, and what broke."""
    if importlib.util.find_spec("atheris") is None:
        raise SystemExit("fuzzing needs atheris; `make torture` runs it in an environment that has it")
    for name in PARSERS:
        yield fuzz_one(name, seconds, bases)


def fuzz_one(name: str, seconds: int, bases: Path) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-fuzz-") as folder:
        seeds = Path(folder) / "seeds"
        seeds.mkdir()
        for file in sorted(bases.glob("small/*" if "/" in PARSERS[name][1] else "*.keras")):
            if file.suffix == Path(PARSERS[name][1]).suffix:
                (seeds / file.name).write_bytes(seed_of(name, file))
        command = [sys.executable, "-m", "torture.fuzz", name, str(seeds), f"-max_total_time={seconds}"]
        command += [f"-max_len={LONGEST_INPUT}", f"-timeout={SLOWEST_S}", "-rss_limit_mb=3000", "-print_final_stats=1"]
        done = subprocess.run(
            [*command, f"-artifact_prefix={folder}/"], capture_output=True, text=True, errors="replace", check=False
        )
        said = done.stderr
        broken = sorted(path.name for path in Path(folder).glob("*-*") if path.is_file())
        runs = re.search(r"stat::number_of_executed_units:\s+(\d+)", said)
        covered = re.findall(r" cov: (\d+)", said)
        faults = [*broken, *([] if done.returncode == 0 else [said.strip().splitlines()[-1][:300]])]
        for path in broken:
            kept = bases.parent / "found" / f"{name}-{path}"
            kept.parent.mkdir(exist_ok=True)
            kept.write_bytes((Path(folder) / path).read_bytes())
    return {
        "parser": name,
        "seconds": seconds,
        "inputs": int(runs[1]) if runs else 0,
        "edges_covered": int(covered[-1]) if covered else 0,
        "faults": faults,
    }


def seed_of(name: str, file: Path) -> bytes:
    if name != "config":
        return file.read_bytes()
    import zipfile

    with zipfile.ZipFile(file) as archive:
        return archive.read("config.json")


def run(name: str, arguments: list[str]) -> None:
    """libFuzzer's own loop, which does not come back."""
    import atheris

    with atheris.instrument_imports(include=["fmnist_edge"]):
        pass
    atheris.Setup([sys.argv[0], *arguments], PARSERS[name][0])
    atheris.Fuzz()


if __name__ == "__main__":
    run(sys.argv[1], sys.argv[2:])
