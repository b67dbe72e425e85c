"""The engine for `.c` folders: it compiles the sources with the machine's C compiler and calls them.

The compiled library is kept in a cache, under the hash of the sources, the compiler, its options and the CPU. $CC names
the compiler, $FMNIST_EDGE_CFLAGS its options.

Sources run as this process, so only those of a manifest are compiled: the folder's hash must be the manifest's. For
others, set FMNIST_EDGE_COMPILE=unverified.
"""

from __future__ import annotations

import ctypes
import hashlib
import math
import os
import platform
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec
from fmnist_edge.runtime.folder import read_folder, unpack
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["CEngine"]

DEFAULT_COMPILER = "cc"
HEADER = re.compile(r"([a-z][a-z0-9_]*)_weights\.h")
UNVERIFIED = ("FMNIST_EDGE_COMPILE", "unverified")
TIMEOUT_S = 600  # slow machines take minutes for large weights
# Compiled with the sources, which leave these to the preprocessor.
DESCRIPTION = """\
#include "@name@.h"
const int fe_sizes[] = {@NAME@_HEIGHT, @NAME@_WIDTH, @NAME@_CHANNELS, @NAME@_CLASSES, @NAME@_INPUT_ZERO_POINT,
                        @NAME@_OUTPUT_ZERO_POINT, @NAME@_ARENA_BYTES};
const float fe_scales[] = {@NAME@_INPUT_SCALE, @NAME@_OUTPUT_SCALE};
"""
SIZES, SCALES = 7, 2


class CEngine(Engine):
    """C sources that `export --format c` wrote. One image per call, one thread; it ignores `threads`."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        content = read_folder(path)
        least_arena = check_manifest(path, content)
        files = unpack(content)
        name = name_of(path, files)
        library = opened(path, compiled(path, name, files, content), name)
        sizes = (ctypes.c_int * SIZES).in_dll(library, "fe_sizes")
        scales = (ctypes.c_float * SCALES).in_dll(library, "fe_scales")
        check_sizes(path, list(sizes), list(scales), least_arena)
        height, width, channels, classes, input_zero, output_zero, arena = sizes
        self.input = TensorSpec("input", (1, height, width, channels), "int8", scales[0], input_zero)
        self.output = TensorSpec("output", (1, classes), "int8", scales[1], output_zero)
        self._classes = classes
        self._arena: Any = ctypes.create_string_buffer(arena)
        self._run: Any = getattr(library, f"{name}_run")
        self._run.argtypes, self._run.restype = [ctypes.c_void_p] * 3, None
        target = getattr(library, f"{name}_target")
        target.restype = ctypes.c_char_p
        self.version = f"C for {target().decode('ascii', 'replace')}"

    def run(self, batch: np.ndarray) -> np.ndarray:
        if self._run is None:
            raise ArtifactError("the engine is closed; load the folder again")
        if batch.dtype != np.int8 or batch.shape[1:] != self.input.shape[1:]:  # C reads memory without checks
            raise ArtifactError(f"an input of {batch.dtype} {batch.shape}; expected int8 {self.input.shape}")
        images = np.ascontiguousarray(batch)
        answers: np.ndarray = np.empty((len(images), self._classes), np.int8)
        source, target, size = images.ctypes.data, answers.ctypes.data, images[:1].nbytes
        for place in range(len(images)):
            self._run(source + place * size, target + place * self._classes, self._arena)
        return answers

    def close(self) -> None:
        self._run = self._arena = None


def check_manifest(path: str, content: bytes) -> int:
    """The bytes of memory that the manifest says a call needs at least; 0 where the user compiles any folder.

    Raises ArtifactError unless the folder's hash is its manifest's, or the user compiles any.
    """
    variable, value = UNVERIFIED
    if os.environ.get(variable) == value:
        return 0
    advice = f"export it again, or set {variable}={value} if you trust these sources"
    try:
        manifest = Manifest.read(path)
    except ArtifactError as error:
        raise ArtifactError(
            f"{path}: its sources are not compiled without a sound manifest ({error}); {advice}"
        ) from None
    if hashlib.sha256(content).hexdigest() != manifest.sha256:
        raise ArtifactError(f"{path}: it differs from what its manifest describes, so it is not compiled; {advice}")
    return manifest.arena_bytes or 0


def opened(path: str, library: Path, name: str) -> ctypes.CDLL:
    """The compiled library. Raises ArtifactError when it lacks a function of the model `name`."""
    wanted = [f"{name}_run", f"{name}_target"]
    try:
        found = ctypes.CDLL(str(library))
        missing = [function for function in wanted if not hasattr(found, function)]
    except OSError as error:  # a symbol that is needed and nowhere defined
        reason = one_line(error).removeprefix(f"{library}: ")
        raise ArtifactError(
            f"{path}: the compiled sources cannot be loaded ({reason}); export the model again"
        ) from None
    if missing:
        raise ArtifactError(f"{path}: its sources do not define {' and '.join(missing)}; export the model again")
    return found


def check_sizes(path: str, sizes: list[int], scales: list[float], least_arena: int) -> None:
    """Raises ArtifactError for what no model has in its header. C would write beyond the end of a smaller arena."""
    *shape, input_zero, output_zero, arena = sizes
    faults = {
        f"a size of {min(shape)}": min(shape) < 1,
        f"zero points {input_zero} and {output_zero}": not {input_zero, output_zero} <= set(range(-128, 128)),
        f"scales {scales[0]:g} and {scales[1]:g}": not all(0 < scale < math.inf for scale in scales),
        f"an arena of {arena:,} bytes, and the manifest {least_arena:,}": arena < max(1, least_arena),
    }
    for fault, found in faults.items():
        if found:
            raise ArtifactError(f"{path}: its header has {fault}; export the model again")


def name_of(path: str, files: dict[str, bytes]) -> str:
    """The name of the model in C. Raises ArtifactError when the folder is not as export writes it."""
    names = [found[1] for found in map(HEADER.fullmatch, files) if found]
    wanted = [f"{name}{suffix}" for name in names for suffix in (".h", ".c", "_weights.c")]
    if len(names) != 1 or not files.keys() >= set(wanted):
        raise ArtifactError(f"{path}: not a folder of `fmnist-edge export --format c`; export the model again")
    return names[0]


def compiled(path: str, name: str, files: dict[str, bytes], content: bytes) -> Path:
    """The shared library of the sources, from the cache or new.

    Raises UnavailableError without a compiler, ArtifactError when it refuses the sources.
    """
    compiler, options = tools()
    version = printed([*compiler, "--version"])
    description = DESCRIPTION.replace("@name@", name).replace("@NAME@", name.upper())
    key = hashlib.sha256(content)
    features = printed([*compiler, *options, "-dM", "-E", "-x", "c", os.devnull])  # what "native" is for this process
    key.update(repr((compiler, options, version, cpu(), features, description)).encode())
    library = cache() / f"{name}-{key.hexdigest()[:40]}.so"
    if library.is_file():
        return library
    with temporary_folder("c") as folder:
        for file in (f"{name}.h", f"{name}.c", f"{name}_weights.h", f"{name}_weights.c"):
            (folder / file).write_bytes(files[file])
        (folder / "description.c").write_text(description)
        sources = [f"{name}.c", f"{name}_weights.c", "description.c"]
        command = [*compiler, *options, "-std=c99", "-fPIC", "-shared", *sources, "-o", "model.so"]
        failure = refusal(command, folder)
        if failure is not None:
            raise ArtifactError(f"{path}: {shlex.join(compiler)} does not compile it ({failure})")
        new = library.with_name(f"{library.name}.{os.getpid()}")
        shutil.copyfile(folder / "model.so", new)
        new.replace(library)
    return library


def tools() -> tuple[list[str], list[str]]:
    """The command of the compiler, and its options. Raises UnavailableError when it is not there."""
    compiler = shlex.split(os.environ.get("CC", "")) or [DEFAULT_COMPILER]
    if shutil.which(compiler[0]) is None:
        raise UnavailableError(
            f"there is no C compiler {compiler[0]!r}; run: apt-get install gcc libc6-dev, or name yours in $CC"
        )
    native = "-march=native" if platform.machine() in ("x86_64", "AMD64", "i686") else "-mcpu=native"
    return compiler, shlex.split(os.environ.get("FMNIST_EDGE_CFLAGS", f"-O3 {native}"))


def printed(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False).stdout
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise UnavailableError(f"the C compiler {shlex.join(command[:-1])} does not run ({error})") from None


def refusal(command: list[str], folder: Path) -> str | None:
    """The compiler's first error, one line; None when it succeeds."""
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if ended.returncode == 0:
        return None
    lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()] or [f"exit code {ended.returncode}"]
    return next((line for line in lines if "error" in line), lines[0])[:200]


def cpu() -> str:
    """What "native" options depend on."""
    try:
        text = Path("/proc/cpuinfo").read_text(errors="replace")
    except OSError:
        return platform.processor()
    found = re.findall(r"^(?:model name|flags|Features|CPU part)\s*:.*$", text, re.MULTILINE)
    return "\n".join(sorted(set(found)))


def cache() -> Path:
    """The folder of compiled libraries, which only this user can write to."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "fmnist-edge" / "c"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise UnavailableError(f"{folder}: cannot be made ({error.strerror}); set XDG_CACHE_HOME") from None
    if hasattr(os, "getuid") and (found.st_uid != os.getuid() or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        raise UnavailableError(f"{folder}: others can write to it, so its libraries are not loaded; remove it")
    return folder
