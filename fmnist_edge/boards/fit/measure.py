"""Measure or estimate what an artifact needs on a board: one function per form in which a model can run there.

Files are run in child processes, because a damaged file can crash an engine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.boards.fit.needs import Needs, Origin, Part
from fmnist_edge.catalog.board_memory import LINUX, MICROCONTROLLER
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Ending, Status

__all__ = ["FORMS", "Form", "needs_of"]

TIMEOUT_S = 120
MICRO, MICRO_ENGINE = "TensorFlow Lite Micro", "tflite-micro"
# Code of TensorFlow Lite Micro. Its own size profiles (tensorflow/tflite-micro, data/continuous_builds/size_profiling,
# x86-64 release builds of 2022) have 27,240 bytes for the interpreter, and 85,357 for a program with 4 kinds of ops, of
# which the model is about 16,000. Code for Cortex-M is usually smaller, so this errs on the safe side.
INTERPRETER_BYTES = 28_000
KERNEL_BYTES = 10_500  # for each kind of op
# Code of the C form. clang 14 -Os for Cortex-M4 makes 3,458 bytes of compact_cnn's 9 ops, GCC 12 makes 8,300 of
# tiny_resnet's 174, of which many are one step; for Cortex-M0+ about as many. So this errs on the safe side.
C_BYTES, C_OP_BYTES = 3_000, 80
STACK_BYTES = 8 << 10  # an assumption: stack and the interpreter's own objects, which are outside the arena
SYSTEM_BYTES = 256 << 20  # an assumption: what Linux and its services take


@dataclass(frozen=True)
class Form:
    """A way to run a model on a kind of board.

    Attributes:
        kind: the kind of board, see `catalog.board_memory`.
        accepts: whether it is the form for an artifact.
        measure: finds the needs. Raises UnavailableError where what it measures with is not installed.
    """

    kind: str
    accepts: Callable[[Artifact], bool]
    measure: Callable[[Artifact], Needs]


def needs_of(artifact: Artifact, kind: str) -> Needs:
    """What `artifact` needs on boards of this kind, in the first form that accepts it."""
    return next(form for form in FORMS if form.kind == kind and form.accepts(artifact)).measure(artifact)


def micro(artifact: Artifact) -> Needs:
    """A `.tflite` file in TensorFlow Lite Micro, whose arena is measured here."""
    end = call("fmnist_edge.boards.fit.measure:run_in_micro", str(artifact.path), timeout_s=TIMEOUT_S)
    try:
        reply = result(end, artifact.path)
    except ArtifactError as error:
        reason = str(error).removeprefix(f"{artifact.path}: ")
        return Needs(MICRO, missing=f"{MICRO} cannot run it: {reason}")
    require(artifact.manifest, artifact.path, "op_census")
    arena = Part(
        "tensor arena", reply["arena"], Origin.MEASURED, f"{reply['version']}, reference kernels, 64-bit pointers", True
    )
    return micro_needs(artifact.size_bytes, arena, len(artifact.manifest.op_census))


def micro_sources(artifact: Artifact) -> Needs:
    """A c-array folder, whose arena was measured at export."""
    manifest = artifact.manifest
    require(manifest, artifact.path, "size_bytes", "arena_bytes", "ops")
    arena = Part("tensor arena", manifest.arena_bytes or 0, Origin.MEASURED, "at export, rounded up", True)
    return micro_needs(manifest.size_bytes or 0, arena, len(manifest.ops))


def micro_needs(model_bytes: int, arena: Part, kinds_of_ops: int) -> Needs:
    code = INTERPRETER_BYTES + KERNEL_BYTES * kinds_of_ops
    note = f"{INTERPRETER_BYTES:,} for the interpreter, {KERNEL_BYTES:,} for each kind of op"
    return Needs(
        MICRO,
        flash=(
            Part("model", model_bytes, Origin.FILE),
            Part("code", code, Origin.ESTIMATED, note),
        ),
        ram=(arena, Part("stack", STACK_BYTES, Origin.ESTIMATED, "an assumption")),
    )


def in_a_browser(artifact: Artifact) -> Needs:
    return Needs("browser", missing="this is for a browser, whose memory is not known; use the .tflite file")


def c_sources(artifact: Artifact) -> Needs:
    """A folder of plain C. Its constants and its arena are known exactly from the export."""
    manifest = artifact.manifest
    require(manifest, artifact.path, "size_bytes", "arena_bytes", "op_census")
    ops = sum(manifest.op_census.values())
    code = Part("code", C_BYTES + C_OP_BYTES * ops, Origin.ESTIMATED, f"{C_BYTES:,}, and {C_OP_BYTES} for each op")
    return Needs(
        "C",
        flash=(Part("constants", manifest.size_bytes or 0, Origin.PLANNED, "at export"), code),
        ram=(
            Part("arena", manifest.arena_bytes or 0, Origin.PLANNED, "at export", contiguous=True),
            Part("stack", STACK_BYTES, Origin.ESTIMATED, "an assumption"),
        ),
    )


def other_file(artifact: Artifact) -> Needs:
    """Any other file: no microcontroller runs it."""
    advice = "export the Keras model with --format c-array"
    return Needs(MICRO, missing=f"{MICRO} does not run {artifact.path.suffix} files; {advice}")


def process(artifact: Artifact) -> Needs:
    """Any file in a Python process with the default engine of its suffix, which is measured here."""
    engine = engines_for(artifact.path)[0]
    request = [engine, str(artifact.path)]
    reply = result(call("fmnist_edge.boards.fit.measure:run_in_process", request, timeout_s=TIMEOUT_S), artifact.path)
    return Needs(
        ENGINES[engine].title,
        ram=(
            Part("Python process", reply["peak"], Origin.ESTIMATED, "peak resident size, measured on this machine"),
            Part("system", SYSTEM_BYTES, Origin.ESTIMATED, "an assumption"),
        ),
    )


def sources_on_linux(artifact: Artifact) -> Needs:
    return Needs("Python", missing="these are sources for a microcontroller; use the .tflite file")


def require(manifest: Manifest, path: Path, *sections: str) -> None:
    try:
        manifest.require(*sections)
    except ArtifactError as error:
        raise ArtifactError(f"{path}: {error}") from None


def result(end: Ending, path: Path) -> JsonObject:
    """The child's reply. Raises ArtifactError where the engine refuses the file or does not survive it."""
    if end.status is Status.CRASHED:
        raise ArtifactError(f"{path}: the engine crashed on it ({end.signal}); the file is damaged or hostile")
    if end.status is Status.TIMED_OUT:
        raise ArtifactError(f"{path}: the engine did not finish within {TIMEOUT_S} s")
    if end.status is Status.NOT_STARTED:
        raise UnavailableError(f"{path}: cannot be run in a child process: {end.reason}")
    reply: JsonObject = end.result(ArtifactError, f"{path}: ")
    return reply


def run_in_micro(path: str, progress: object) -> JsonObject:
    """Runs in the child: the bytes of tensor arena after one inference."""
    engine = ENGINES[MICRO_ENGINE].load(path)
    run_once(engine)
    return {"arena": (engine.arena or {})["total"], "version": engine.version}


def run_in_process(request: list[str], progress: object) -> dict[str, int]:
    """Runs in the child: its peak resident size after one inference, in bytes."""
    from fmnist_edge.benchmark.loop import peak_rss_bytes

    name, path = request
    run_once(ENGINES[name].load(path))
    peak = peak_rss_bytes()
    if peak is None:
        raise UnavailableError("this system does not tell the peak resident size of a process; it is read on Linux")
    return {"peak": peak}


def run_once(engine: Engine) -> None:
    """One inference on an image of zeros."""
    engine.run(np.zeros([1 if size is None else size for size in engine.input.shape], engine.input.dtype))


def is_c(artifact: Artifact) -> bool:
    return artifact.path.is_dir() and artifact.manifest.format == "c"


def is_web(artifact: Artifact) -> bool:
    return artifact.path.is_dir() and artifact.manifest.format == "web"


def is_sources(artifact: Artifact) -> bool:
    return artifact.path.is_dir() and not is_c(artifact) and not is_web(artifact)


FORMS = (
    Form(MICROCONTROLLER, is_c, c_sources),
    Form(MICROCONTROLLER, is_sources, micro_sources),
    Form(MICROCONTROLLER, lambda artifact: artifact.path.suffix == ".tflite", micro),
    Form(MICROCONTROLLER, lambda artifact: True, other_file),
    Form(LINUX, is_sources, sources_on_linux),
    Form(LINUX, is_web, in_a_browser),
    Form(LINUX, lambda artifact: True, process),
)
