"""What the tests of bundles and of ssh share: a short job on a real artifact, and a Python as a device has it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.benchmark.job import Job
from fmnist_edge.benchmark.plan import Plan
from fmnist_edge.benchmark.remote.bundle import archive
from support import ROOT

ARTIFACT = ROOT / "exported/compact_cnn/int8.tflite"
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
SHORT = Plan("short", 2, 0, 0, min_queries=6, warm_up_runs=2, warm_up_seconds=0, threads=(1,))
OLDEST = "FMNIST_EDGE_PYTHON39"


def job(plan: Plan = SHORT, engines: tuple[str, ...] = ("litert",), artifacts: tuple[Path, ...] = (ARTIFACT,)) -> Job:
    return Job(artifacts, plan, IMAGES, engines)


def unpack(content: bytes, folder: Path) -> Path:
    """As `tar x` does; the folder it makes."""
    (folder / "bundle.tar.gz").write_bytes(content)
    subprocess.run(["tar", "xzf", "bundle.tar.gz"], cwd=folder, check=True)
    (made,) = folder.glob("fmnist-edge-bench-*")
    return made


def members(content: bytes, folder: Path) -> list[tarfile.TarInfo]:
    (folder / "listed.tar.gz").write_bytes(content)
    with tarfile.open(folder / "listed.tar.gz") as tar:
        return tar.getmembers()


def oldest_python() -> str:
    """Python 3.9 where there is one, else ours: what the device runs must do in both."""
    for found in (os.environ.get(OLDEST), shutil.which("python3.9")):
        if found and subprocess.run([found, "-c", ""], capture_output=True, check=False).returncode == 0:
            return found
    return sys.executable


@pytest.fixture(scope="session")
def device_python(tmp_path_factory) -> Path:
    """An environment with what a bundle for LiteRT asks for and nothing else, by the bundle's own installer."""
    folder = tmp_path_factory.mktemp("device")
    bundle = unpack(archive(job()), folder)
    command = [oldest_python(), "run.py", "install", str(folder / "venv")]
    done = subprocess.run(command, cwd=bundle, capture_output=True, text=True, check=False)
    if "no network" in done.stdout:
        pytest.skip("no network: pip cannot install an engine for the device")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "venv/bin/python"
