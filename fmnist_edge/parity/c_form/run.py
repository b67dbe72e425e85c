"""Compile a model's C form for another machine, and run it there on images."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.parity.c_form.targets import HERE, Target
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["Answers", "Sizes", "build", "check_tools", "execute", "run", "sizes"]

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
COMPILE_S, RUN_S = 300, 900


@dataclass(frozen=True)
class Answers:
    """scores: int8 (n, classes). back_end: what the code was compiled for."""

    scores: np.ndarray
    back_end: str


@dataclass(frozen=True)
class Sizes:
    """Bytes of a linked firmware: flash is code and constants, RAM is the arena and the firmware's own variables."""

    flash: int
    ram: int


def run(target: Target, files: Mapping[str, bytes], name: str, inputs: np.ndarray, classes: int) -> Answers:
    """Scores of `inputs`, int8 (n, ...), by the C form with these files, whose functions begin with `name`.

    Raises UnavailableError without a compiler or an emulator, ArtifactError when compiling or running fails.
    """
    check_tools(target)
    with temporary_folder("c-form") as folder:
        return execute(target, build(target, files, name, folder), folder, inputs, classes)


def execute(
    target: Target, built: Path, folder: Path, inputs: np.ndarray, classes: int, arguments: Sequence[str] = ()
) -> Answers:
    """Run a program that `build` made, in `folder`. Raises what `run` raises."""
    runner = on_path((target.command[0],), target)
    (folder / "images.bin").write_bytes(np.ascontiguousarray(inputs, np.int8).tobytes())
    command = [runner, *(part.format(program=built) for part in target.command[1:]), *arguments]
    program(command, timeout_s=RUN_S, folder=folder).result(ArtifactError, f"{target.title}: ")
    scores = np.fromfile(folder / "scores.bin", np.int8)
    if scores.size != len(inputs) * classes:
        raise ArtifactError(f"{target.title}: {scores.size} scores; expected {len(inputs) * classes}")
    return Answers(scores.reshape(len(inputs), classes), (folder / "target.txt").read_text())


def build(target: Target, files: Mapping[str, bytes], name: str, folder: Path, options: Sequence[str] = ()) -> Path:
    """The program, compiled in `folder`. Raises UnavailableError without a compiler, ArtifactError when it fails."""
    compiler = on_path(target.compilers, target)
    for file in (f"{name}.h", f"{name}.c", f"{name}_weights.h", f"{name}_weights.c"):
        (folder / file).write_bytes(files[file])
    parts = {"RUN": "{}_run", "TARGET_NAME": "{}_target"}
    numbers = {"INPUT_LENGTH": "{}_INPUT_LENGTH", "CLASSES": "{}_CLASSES", "ARENA_BYTES": "{}_ARENA_BYTES"}
    macros = [f"-DFE_{key}={value.format(name)}" for key, value in parts.items()]
    macros += [f"-DFE_{key}={value.format(name.upper())}" for key, value in numbers.items()]
    sources = [str(HERE / target.adapter), f"{name}.c", f"{name}_weights.c"]
    command = [compiler, *STRICT, *target.options, *options, "-I.", "-include", f"{name}.h", *macros, *sources]
    built = folder / "program"
    program([*command, "-o", str(built)], timeout_s=COMPILE_S, folder=folder).result(
        ArtifactError, f"{target.title}: {Path(compiler).name} does not compile it: "
    )
    return built


def sizes(target: Target, files: Mapping[str, bytes], name: str) -> Sizes:
    """What a firmware with the model takes. Raises what `build` raises."""
    with temporary_folder("c-form") as folder:
        built = build(target, files, name, folder)
        reader = on_path(("arm-none-eabi-size",), target)
        text = program([reader, str(built)], timeout_s=COMPILE_S).result(ArtifactError, "arm-none-eabi-size: ")
    found = re.search(r"^\s*(\d+)\s+(\d+)\s+(\d+)\s", str(text), re.MULTILINE)
    if found is None:
        raise ArtifactError("arm-none-eabi-size: its output has no sizes")
    code, data, zeros = map(int, found.groups())
    return Sizes(code + data, data + zeros)


def on_path(names: Sequence[str], target: Target) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise UnavailableError(f"{target.title}: no {names[0]}; run: apt-get install {target.packages}")


def check_tools(target: Target) -> str:
    """The path of the compiler. Raises UnavailableError, with what to install, without it or what runs its programs."""
    on_path((target.command[0],), target)
    return on_path(target.compilers, target)
