"""Run the scores of artifacts on images on a device by ssh: the bundle for it, and the result that comes back."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fmnist_edge.benchmark.remote import scores
from fmnist_edge.benchmark.remote.bundle import RUN_PY, artifact_files, pack, requirements, sealed
from fmnist_edge.benchmark.remote.ssh import SshTarget
from fmnist_edge.benchmark.remote.target import Progress
from fmnist_edge.benchmark.remote.unpacked import REQUIREMENTS, RUN
from fmnist_edge.errors import InputError
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["archive", "measure"]

README = "fmnist-edge: the scores of {artifacts} artifacts on {images:,} images, for `fmnist-edge check --on`.\n"


def measure(
    target: SshTarget, artifacts: Sequence[Path], images: np.ndarray, progress: Progress
) -> dict[str, scores.MachineScores]:
    """SHA-256 of each artifact -> its scores on all images, as the device computes them.

    Raises InputError for an engine that cannot be installed on a device, and what `SshTarget.measure` raises.
    """
    content, needs = archive(artifacts, images)
    wanted = [Manifest.read(path).sha256 for path in artifacts]
    return target.fetched(content, needs, progress, lambda result: scores.read(result, wanted, len(images)))


def archive(artifacts: Sequence[Path], images: np.ndarray) -> tuple[bytes, list[str]]:
    """The bundle, and the pip requirements of its engines: of each artifact the default one of its suffix."""
    engines = [engines_for(path)[0] for path in artifacts]
    for path, engine in zip(artifacts, engines):
        if ENGINES[engine].requirement is None:
            raise InputError(f"{path}: {ENGINES[engine].title}, which runs it, is not for a device; leave it out")
    files = artifact_files(artifacts)
    names = [name for name in files if f"{name}.json" in files]
    content = io.BytesIO()
    np.save(content, images)
    needs = requirements(engines)
    job = {
        "schema": scores.SCHEMA,
        "kind": scores.KIND,
        "artifacts": dict(zip(names, engines)),
        "engines": list(dict.fromkeys(engines)),  # `run.py check` reads these
    }
    files |= {
        scores.JOB: json.dumps(job, indent=1).encode() + b"\n",
        scores.IMAGES: content.getvalue(),
        REQUIREMENTS: "".join(f"{line}\n" for line in needs).encode(),
        RUN: RUN_PY.encode(),
        "README.txt": README.format(artifacts=len(names), images=len(images)).encode(),
    }
    return pack(sealed(files)), needs
