"""Compile C to WebAssembly, with the clang and wasm-ld that are found: the system's, or those of PyPI's `ziglang`."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["Compiler", "find_compiler"]

TIMEOUT_S = 600
VERSIONS = range(22, 12, -1)  # of clang, as Debian names them; 13 is the first whose simd128 is the standard's
STACK = 64 * 1024  # bytes
COMMON = (
    "-std=c99", "-O3", "-ffp-contract=off", "-fvisibility=hidden", "-fno-ident", "-nostdlibinc", "-Wall", "-Wextra",
    "-Werror", "-I.",
)  # fmt: skip
# The options of each build, by the name of its file. Every browser with WebAssembly runs the first.
BUILDS = {
    "model.wasm": ("-mcpu=mvp",),
    "model.simd.wasm": ("-mcpu=mvp", "-msimd128", "-msign-ext", "-mbulk-memory", "-mnontrapping-fptoint"),
}


@dataclass(frozen=True)
class Compiler:
    """Commands that compile C to an object of WebAssembly, and that link it.

    Attributes:
        version: of the compiler, its first line.
    """

    compile: tuple[str, ...]
    link: tuple[str, ...]
    version: str

    def build(self, files: Mapping[str, str], build: str) -> bytes:
        """The module of the C `files`, with the options of `build`, one of BUILDS.

        Raises ExportError when the compiler refuses the sources.
        """
        sources = [name for name in files if name.endswith(".c")]
        with temporary_folder("web") as folder:
            for name, text in files.items():
                (folder / name).write_text(text, encoding="utf-8")
            for name in sources:
                called([*self.compile, *COMMON, *BUILDS[build], "-c", name, "-o", f"{name}.o"], folder)
            options = ["--no-entry", "--gc-sections", "--strip-all", "-z", f"stack-size={STACK}"]
            objects = [f"{name}.o" for name in sources]
            called([*self.link, *options, *objects, "-o", "model.wasm"], folder)
            return (folder / "model.wasm").read_bytes()


def called(command: list[str], folder: Path) -> None:
    try:
        ended = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ExportError(f"{command[0]} does not run ({error}); install clang and lld again") from None
    if ended.returncode:
        lines = [line.strip() for line in ended.stderr.splitlines() if line.strip()] or [f"code {ended.returncode}"]
        line = next((line for line in lines if "error" in line), lines[0])[:200]
        raise ExportError(f"{command[0]} does not compile the model to WebAssembly ({line}); please report it")


def find_compiler() -> Compiler:
    """The first that makes WebAssembly. Raises UnavailableError, which says what to install, without one."""
    for suffix in ("", *(f"-{number}" for number in VERSIONS)):
        clang, linker = shutil.which(f"clang{suffix}"), shutil.which(f"wasm-ld{suffix}") or shutil.which("wasm-ld")
        if clang and linker and "wasm32" in printed([clang, "--print-targets"]):
            return Compiler((clang, "--target=wasm32"), (linker,), printed([clang, "--version"]).partition("\n")[0])
    if importlib.util.find_spec("ziglang"):
        zig = (sys.executable, "-m", "ziglang")
        version = printed([*zig, "version"]).strip()
        return Compiler((*zig, "cc", "-target", "wasm32-freestanding"), (*zig, "wasm-ld"), f"zig {version}")
    raise UnavailableError(
        "web export compiles to WebAssembly, and there is no clang with wasm-ld; run: apt-get install clang lld, or "
        "pip install ziglang"
    )


def printed(command: list[str]) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""
