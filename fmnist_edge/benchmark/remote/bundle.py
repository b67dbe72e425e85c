"""Pack a job into one archive for a device: code, artifacts, plan, images, checksums, requirements. No TensorFlow.

The same job gives the same bytes, so the archive's digest identifies the job.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import re
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np

import fmnist_edge
from fmnist_edge.benchmark.cells import ALL, cells_for, size_and_sha256
from fmnist_edge.benchmark.job import Job
from fmnist_edge.benchmark.remote.unpacked import CHECKSUMS, CODE, IMAGES, JOB, REQUIREMENTS, RUN, SCHEMA
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.engine_catalog import CPU, ENGINES, engines_on
from fmnist_edge.runtime.manifest import manifest_path

__all__ = ["FOLDER", "RUN_PY", "archive", "artifact_files", "contents", "engines_of", "pack", "requirements", "sealed"]

FOLDER = "fmnist-edge-bench"  # the archive's folder has this name and the start of a digest
# The part of the package that runs on the device: single files and whole folders.
DEVICE_SIDE = (
    "__init__.py", "aliases.py", "artifact.py", "console.py", "errors.py", "files.py", "lookup.py",
    "benchmark", "runtime", "worker",
)  # fmt: skip

RUN_PY = """\
# Measures the bundle in this folder on this machine; see README.txt. No f-strings, so that old Pythons reach the error.
import sys

if sys.version_info < (3, 9):
    sys.stderr.write("fmnist-edge: error: Python 3.9 or later is needed, this is %s\\n" % sys.version.split()[0])
    sys.exit(3)

from fmnist_edge.benchmark.remote.device import main

sys.exit(main(sys.argv[1:]))
"""
README = """\
fmnist-edge: {cells}, plan {plan!r}, about {minutes:.0f} min for each number of threads.

On a Raspberry Pi with its 64-bit system, or any machine with Python 3.9 or later:
  1. in this folder:  python3 -m venv .venv && .venv/bin/python -m pip install --only-binary :all: -r requirements.txt
  2. then:            .venv/bin/python run.py
Before that, close other programs and plug in a proper power supply: the result says whether it is VALID.
After Ctrl-C or a power cut, give the second command again: it continues. The result is results/<device>/*.json.gz;
`fmnist-edge compare A B` on your computer reads it. run.py checks SHA256SUMS, as `sha256sum -c SHA256SUMS` does.
Without venv: sudo apt install python3-venv. This software is under the Apache License 2.0; Fashion-MNIST is MIT.
"""


def archive(job: Job) -> bytes:
    """`contents` as .tar.gz, sorted, in one folder. It has no times, owners or names from this machine.

    Each bundle's folder has another name. In a shared folder Python could run compiled code of an older bundle, because
    it compares only time and size.
    """
    return pack(contents(job))


def pack(files: Mapping[str, bytes]) -> bytes:
    """Files as .tar.gz in one folder; see `archive`. `files` must be complete, see `sealed`."""
    folder = f"{FOLDER}-{hashlib.sha256(files[CHECKSUMS]).hexdigest()[:8]}"
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in sorted(files.items()):
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(content), 0o644
            tar.addfile(entry, io.BytesIO(content))
    return gzip.compress(raw.getvalue(), mtime=0)


def contents(job: Job) -> dict[str, bytes]:
    """Path -> content of every file in the bundle. Raises what `engines_of` and `artifact_files` raise."""
    engines = engines_of(job.artifacts, job.engines)
    files = artifact_files(job.artifacts)
    artifacts = [name for name in files if f"{name}.json" in files]
    images = io.BytesIO()
    np.save(images, job.images)
    known = {sha256 for _, sha256 in map(size_and_sha256, job.artifacts)}
    description = {
        "schema": SCHEMA,
        "plan": asdict(job.plan),
        "engines": engines,
        "artifacts": artifacts,
        "accuracies": {digest: value for digest, value in job.accuracies.items() if digest in known},
        "seed": job.seed,
    }
    files[JOB] = json.dumps(description, indent=1, sort_keys=True, ensure_ascii=False).encode() + b"\n"
    files[IMAGES] = images.getvalue()
    files[REQUIREMENTS] = "".join(f"{line}\n" for line in requirements(engines)).encode()
    files[RUN] = RUN_PY.encode()
    files["README.txt"] = readme(job, engines).encode()
    return sealed(files)


def sealed(files: dict[str, bytes]) -> dict[str, bytes]:
    """The files with this package's code and the checksums of all."""
    whole = {**files, **code()}
    sums = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(whole.items()))
    return {**whole, CHECKSUMS: "".join(sums).encode()}


def engines_of(artifacts: Sequence[Path], engines: Iterable[str]) -> list[str]:
    """Those of `engines` that can run at least one of `artifacts`, in the given order.

    "all" means every engine that can be installed on a device. Raises InputError on an engine that cannot, and when no
    engine is left.
    """
    fit = [name for name in engines_on(CPU) if ENGINES[name].requirement]
    asked = list(dict.fromkeys(engines))
    asked = fit if ALL in asked else asked
    unfit = [name for name in asked if name in ENGINES and name not in fit]
    if unfit:
        raise InputError(f"engine {unfit[0]!r} is not for a device; choose from: {', '.join(fit)}")
    used = {cell.engine for cell in cells_for(artifacts, (1,), asked)}
    return [name for name in asked if name in used]


def requirements(engines: Iterable[str]) -> list[str]:
    """pip requirements, as version ranges: NumPy and the engines' own.

    >>> requirements(["litert", "litert-builtin"])
    ['numpy>=1.24,<3', 'ai-edge-litert>=2.1,<3']
    """
    wanted = (ENGINES[name].requirement for name in ("numpy", *engines))
    return list(dict.fromkeys(requirement for requirement in wanted if requirement is not None))


def artifact_files(artifacts: Sequence[Path]) -> dict[str, bytes]:
    """artifacts/<model>/<file> -> content, of artifacts and manifests.

    Raises InputError when two artifacts would have the same name, ArtifactError when a file cannot be read.
    """
    files: dict[str, bytes] = {}
    for path in artifacts:
        name = "/".join(["artifacts", *(safe(part) for part in path.resolve().parts[-2:])])
        if name in files:
            raise InputError(f"{path}: another artifact is also called {name}; bundle one of the two")
        if path.is_dir():
            raise InputError(
                f"{path}: a bundle cannot hold a folder of sources; copy it to the device, compile it there, and run "
                "its main.c"
            )
        for suffix, file in (("", path), (".json", manifest_path(path))):
            try:
                files[name + suffix] = file.read_bytes()
            except OSError as error:
                raise ArtifactError(f"{file}: cannot be read ({error.strerror}); export the model again") from None
    return files


def safe(part: str) -> str:
    """A file name that is valid on every device's file system."""
    return re.sub(r"[^\w.+-]", "_", part, flags=re.ASCII)


def readme(job: Job, engines: Sequence[str]) -> str:
    count = len(cells_for(job.artifacts, (1,), engines, job.plan.batches))
    cells = f"{count} pair{'s' * (count > 1)} of artifact and engine"
    return README.format(cells=cells, plan=job.plan.name, minutes=max(1, job.plan.estimate_s(count) / 60))


def code() -> Mapping[str, bytes]:
    package = Path(fmnist_edge.__file__).parent
    found = [
        file
        for name in DEVICE_SIDE
        for file in (sorted((package / name).rglob("*.py")) if (package / name).is_dir() else [package / name])
        if "-" not in file.name  # PyInstaller's hook, which is no module
    ]
    return {f"{CODE}/{file.relative_to(package).as_posix()}": file.read_bytes() for file in found}
