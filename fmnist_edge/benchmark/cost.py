"""Measure what the runtime costs an app beyond NumPy and the engine: import time, call, memory, package size."""

from __future__ import annotations

import io
import json
import statistics
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

import fmnist_edge
from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.overhead import Overhead, measure_overhead
from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.worker.calls import call, child_environment, program

__all__ = ["LIMITS", "Figure", "artifact_figures", "package_figures"]

# The runtime's requirements. The units are in the names.
LIMITS = {"import s": 0.1, "modules": 0, "call µs": 15, "memory MB": 10, "package kB": 200}
IMPORTS, MEMORY_ROUNDS = 11, 5
CALLS = 200
TIMEOUT_S = 120
RUNTIME = ("runtime", "worker", "errors.py", "lookup.py", "__init__.py")
# This program must import nothing that hides the cost of the measured import.
IMPORT_PROGRAM = """
import sys, time
start = time.perf_counter()
import numpy
between, before = time.perf_counter(), set(sys.modules)
import fmnist_edge.runtime
end = time.perf_counter()
foreign = sorted({name.partition('.')[0] for name in set(sys.modules) - before}
                 - sys.stdlib_module_names - {'numpy', 'fmnist_edge'})
import json
print(json.dumps({'all_s': end - start, 'ours_s': end - between, 'foreign': foreign}))
"""


@dataclass(frozen=True)
class Figure:
    """One measured cost.

    Attributes:
        kind: a key of LIMITS; it names the unit of `value`.
        note: what the value contains.
    """

    kind: str
    value: float
    note: str

    @property
    def passed(self) -> bool:
        return self.value <= LIMITS[self.kind]

    def as_dict(self) -> JsonObject:
        return {**vars(self), "limit": LIMITS[self.kind], "passed": self.passed}


def package_figures() -> list[Figure]:
    """The costs that do not depend on an artifact. Raises ArtifactError when a child fails."""
    found = [measure_import() for _ in range(IMPORTS)]
    total, ours = (statistics.median(item[name] for item in found) for name in ("all_s", "ours_s"))
    foreign = found[0]["foreign"]
    everything = compressed_bytes() / 1000
    return [
        Figure("import s", total, f"median of {IMPORTS} processes; {ours:.3f} s of it after NumPy"),
        Figure("modules", len(foreign), ", ".join(foreign) or "beyond NumPy and Python's, before an engine is chosen"),
        Figure("package kB", compressed_bytes(RUNTIME) / 1000, f"the runtime; {everything:.0f} kB with all the tools"),
    ]


def measure_import() -> JsonObject:
    """Run IMPORT_PROGRAM once, and return what it prints."""
    command = [sys.executable, "-c", IMPORT_PROGRAM]
    end = program(command, timeout_s=TIMEOUT_S, environment=child_environment())
    return json.loads(end.result(ArtifactError, "the runtime cannot be imported: ").splitlines()[-1])


def artifact_figures(artifact: Path, engine: str, tensor: TensorSpec, images: Path) -> list[Figure]:
    """The costs of a call and of a loaded file, beyond those of the bare `engine`, which is one of BARE_LOOPS.

    Args:
        tensor: shape and dtype of the input.
        images: a .npy file, uint8 (n, height, width).

    Raises ArtifactError when a child fails.
    """
    name = f"{artifact.parent.name}/{artifact.name} on {engine}"
    call = measure_overhead(artifact, engine, images, whole=True)
    if not isinstance(call, Overhead):
        raise ArtifactError(f"{name}: {call}")
    shape = [size or 1 for size in tensor.shape]
    question = {"artifact": str(artifact), "engine": engine, "shape": shape, "dtype": tensor.dtype, "calls": CALLS}
    bare, ours = (resident_bytes_of(question | {"ours": ours}) for ours in (False, True))
    interval = f"{call.lower_ns / 1000:.1f} to {call.upper_ns / 1000:.1f}"
    return [
        Figure("call µs", call.upper_ns / 1000, f"{name}: {interval} beyond {call.bare_ns / 1000:.1f}, uint8 to label"),
        Figure("memory MB", (ours - bare) / 1e6, f"{name}: {ours / 1e6:.0f}, the bare engine {bare / 1e6:.0f}"),
    ]


def resident_bytes_of(question: JsonObject) -> float:
    """Resident bytes of a process that runs the file; the median of MEMORY_ROUNDS processes."""
    ends = [call("fmnist_edge.benchmark.bare:memory", question, timeout_s=TIMEOUT_S) for _ in range(MEMORY_ROUNDS)]
    found = [end.result(ArtifactError, f"{question['engine']}: ") for end in ends]
    if None in found:
        raise ArtifactError("this system does not report a process's memory; expected Linux's /proc/self/statm")
    return statistics.median(found)


def compressed_bytes(parts: tuple[str, ...] = ()) -> int:
    """Size in a wheel of the package's modules, or of those in `parts`. A wheel compresses each file by itself."""
    folder = Path(fmnist_edge.__file__).parent
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(folder.rglob("*.py")):
            inside = path.relative_to(folder)
            if not parts or inside.parts[0] in parts:
                archive.write(path, Path(folder.name) / inside)
    return len(packed.getvalue())
