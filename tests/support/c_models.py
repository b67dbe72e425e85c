"""Models as C: generated, compiled with any options, and called."""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.artifact import Artifact
from fmnist_edge.exporters.c.exporter import EXPORTER
from fmnist_edge.exporters.c.make import c_model
from fmnist_edge.exporters.c.source import CModel
from fmnist_edge.runtime import Contract
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from support.c_compiler import c_compiler

__all__ = ["STRICT", "TARGETS", "altered_copy", "c_folder", "compiled", "generated", "numpy_answers", "runs_here"]

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror")
# Options of every back end for x86-64, with what the CPU must have.
TARGETS = {
    "AVX-512 VNNI": ("-mavx512f -mavx512bw -mavx512vl -mavx512vnni -mavx2", "avx512_vnni"),
    "AVX-VNNI": ("-mavx2 -mavxvnni", "avx_vnni"),
    "AVX2": ("-mavx2", "avx2"),
    "any C99 compiler": ("-DFE_PORTABLE", ""),
}


@functools.cache
def runs_here(flag: str) -> bool:
    try:
        return flag in Path("/proc/cpuinfo").read_text()
    except OSError:
        return not flag


def c_folder(tflite: Path, out: Path) -> Artifact:
    """`out/<model>/int8_only.c` of an exported `.tflite` file, with its manifest, as `export` writes it."""
    path = out / tflite.parent.name / "int8_only.c"
    manifest = Manifest.read(tflite)
    golden = manifest.golden_vectors()
    assert golden is not None
    sources = EXPORTER.sources(tflite.read_bytes(), manifest, golden.images[0])
    names = {"artifact": path.name, "format": "c", "precision": "int8_only"}
    return Artifact.write_folder(path, sources.files, manifest.with_sections({**names, **sources.facts}))


def altered_copy(made: Artifact, to: Path) -> Path:
    """A copy of a folder of C with its manifest, that a test may alter."""
    shutil.copytree(made.path, to / made.path.name)
    shutil.copy(manifest_path(made.path), to)
    return to / made.path.name


def generated(content: bytes, folder: Path, contract: Contract, images: np.ndarray) -> CModel:
    """Write the files of a model called "net" into `folder`."""
    model = c_model(content, "net", contract, images)
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in model.files().items():
        (folder / name).write_text(text)
    return model


def compiled(model: CModel, folder: Path, *options: str, compiler: str | None = None) -> Callable[..., np.ndarray]:
    """A function: int8 images (n, ...) -> int8 scores (n, classes)."""
    compiler = compiler or c_compiler()
    if compiler is None:
        pytest.skip("no C compiler that works; run: apt-get install gcc libc6-dev")
    library = folder / f"net{abs(hash((compiler, options)))}.so"
    sources = [folder / name for name in ("net.c", "net_weights.c", "golden.c")]
    with tempfile.TemporaryDirectory() as objects:
        subprocess.run([compiler, *STRICT, *options, "-fPIC", "-c", *sources], cwd=objects, check=True)
        # Linked without `options`: -ffast-math there adds start-up code that takes subnormals from the whole process.
        subprocess.run([compiler, "-shared", *Path(objects).glob("*.o"), "-o", library], check=True)
    run = ctypes.CDLL(str(library)).net_run
    run.argtypes, run.restype = [ctypes.c_void_p] * 3, None
    arena = ctypes.create_string_buffer(model.arena_bytes)
    classes = len(model.contract.labels)

    def answers(images: np.ndarray) -> np.ndarray:
        images = np.ascontiguousarray(images)
        found = np.empty((len(images), classes), np.int8)
        for image, scores in zip(images, found, strict=True):
            run(image.ctypes.data, scores.ctypes.data, arena)
        return found

    return answers


def numpy_answers(path: Path, images: np.ndarray) -> np.ndarray:
    return ENGINES["numpy"].load(path).run(images).reshape(len(images), -1)
