"""The engine for `.web` folders: it runs their WebAssembly module in Node, in a process of its own.

The module imports nothing, so it can do no more than compute; no other file of the folder runs.
"""

from __future__ import annotations

import json
import select
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line
from fmnist_edge.runtime.engine import Engine, TensorSpec

__all__ = ["WebEngine"]

RUNNER = Path(__file__).with_name("web_runner.mjs")
FILES = ("model.wasm", "model.simd.wasm", "weights.bin")
TIMEOUT_S = 60  # of a start, and of an image: a damaged module may never end
LONGEST_LINE = 1 << 16
# Without the first, V8 reserves 10 GB of addresses for each memory, which a child with limited memory does not get. A
# Node before 20.15 has no such option, and ends with the code 9.
OPTIONS = (("--disable-wasm-trap-handler",), ())
UNKNOWN_OPTION = 9


class NodeEndedError(ArtifactError):
    """Node ended before it answered, with this exit code."""

    def __init__(self, path: str, code: int) -> None:
        super().__init__(f"{path}: Node ended (code {code}); export it again")
        self.code = code


class WebEngine(Engine):
    """A folder that `export --format web` wrote. One image per call, one thread; it ignores `threads`."""

    def __init__(self, path: str, threads: int | None = None) -> None:
        missing = [name for name in FILES if not (Path(path) / name).is_file()]
        if missing:
            raise ArtifactError(f"{path}: has no {', '.join(missing)}; export it again with --format web")
        node = shutil.which("node") or shutil.which("nodejs")
        if node is None:
            raise UnavailableError("there is no Node to run WebAssembly; run: apt-get install nodejs")
        self._path = path
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._describe(self._first_line(node))
        except BaseException:
            self.close()
            raise

    def _start(self, node: str, options: tuple[str, ...]) -> None:
        self._process = subprocess.Popen(
            [node, *options, str(RUNNER), str(Path(self._path).resolve())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            bufsize=0,
        )

    def _describe(self, found: dict[str, Any]) -> None:
        if "error" in found:
            raise ArtifactError(
                f"{self._path}: Node refuses it ({one_line(Exception(str(found['error'])), 160)}); export it again"
            )
        (input_scale, input_zero), (output_scale, output_zero) = found["input"], found["output"]
        self.input = TensorSpec("input", (1, *found["shape"]), "int8", input_scale, input_zero)
        self.output = TensorSpec("output", (1, found["classes"]), "int8", output_scale, output_zero)
        self.version = str(found["version"])
        self._classes = int(found["classes"])

    def _first_line(self, node: str) -> dict[str, Any]:
        """Start Node, and read how it describes the module."""
        for options in OPTIONS:
            self._start(node, options)
            line = b""
            try:
                while not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                    line += self._read(1)
                break
            except NodeEndedError as ended:
                self.close()
                if ended.code != UNKNOWN_OPTION or not options:
                    raise
        try:
            found = json.loads(line)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise UnavailableError("this Node does not run the engine's program; install Node 18 or later")
        return found

    def _read(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises ArtifactError when the process ends or hangs."""
        process, found = self._process, b""
        if process is None or process.stdout is None:
            raise ArtifactError("the engine is closed; load the folder again")
        while len(found) < size:
            if not select.select([process.stdout], [], [], TIMEOUT_S)[0]:
                raise ArtifactError(f"{self._path}: Node gave no answer within {TIMEOUT_S} s; export it again")
            piece = process.stdout.read(size - len(found))
            if not piece:
                raise NodeEndedError(self._path, process.wait())
            found += piece
        return found

    def run(self, batch: np.ndarray) -> np.ndarray:
        process = self._process
        if process is None or process.stdin is None:
            raise ArtifactError("the engine is closed; load the folder again")
        if batch.dtype != np.int8 or batch.shape[1:] != self.input.shape[1:]:
            raise ArtifactError(f"an input of {batch.dtype} {batch.shape}; expected int8 {self.input.shape}")
        answers = []
        for image in np.ascontiguousarray(batch):
            write_all(process, image.tobytes())
            answers.append(self._read(self._classes))
        return np.frombuffer(b"".join(answers), np.int8).reshape(len(batch), self._classes).copy()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in filter(None, (process.stdin, process.stdout)):
                pipe.close()


def write_all(process: subprocess.Popen[bytes], content: bytes) -> None:
    """An unbuffered pipe may take a part of what is written."""
    stdin = process.stdin
    view = memoryview(content)
    while stdin is not None and len(view):
        view = view[stdin.write(view) or 0 :]
