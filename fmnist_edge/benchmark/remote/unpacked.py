"""Read an unpacked bundle on the device: the names of its files, its checksums and its job."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.errors import FileError
from fmnist_edge.files import sha256_of

if TYPE_CHECKING:
    from fmnist_edge.benchmark.job import Job

__all__ = [
    "CHECKSUMS",
    "CODE",
    "IMAGES",
    "JOB",
    "REQUIREMENTS",
    "RUN",
    "SCHEMA",
    "read",
    "read_engines",
    "read_requirements",
    "verify",
]

SCHEMA = 1  # of job.json
CODE, IMAGES, JOB, REQUIREMENTS, RUN, CHECKSUMS = (
    "fmnist_edge", "images.npy", "job.json", "requirements.txt", "run.py", "SHA256SUMS",
)  # fmt: skip


def verify(folder: Path) -> None:
    """Check all files that SHA256SUMS lists. Raises FileError, naming the file, when one is missing or changed."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
        for line in lines:
            digest, _, name = line.partition("  ")
            if sha256_of(folder / name) != digest:
                raise FileError(f"{folder / name}: its SHA-256 is not the bundle's; unpack the bundle again")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{folder}: the bundle is not complete ({error}); unpack it again") from None


def read_requirements(folder: Path) -> list[str]:
    return (folder / REQUIREMENTS).read_text(encoding="utf-8").split()


def read_engines(folder: Path) -> list[str]:
    """The job's engines, read without NumPy, which may be missing. Raises FileError when the job is damaged."""
    try:
        return list(json.loads((folder / JOB).read_bytes())["engines"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise no_job(folder / JOB, error) from None


def read(folder: Path) -> Job:
    """The job of an unpacked bundle. Raises FileError when it is damaged or of another version."""
    import numpy as np

    from fmnist_edge.benchmark.job import Job
    from fmnist_edge.benchmark.plan import from_dict

    where = folder / JOB
    try:
        value = json.loads(where.read_bytes())
        if value["schema"] != SCHEMA:
            raise FileError(f"{where}: schema is {value['schema']!r}, this version reads {SCHEMA}; bundle again")
        fields = {name: field for name, field in value["plan"].items() if name != "name"}
        return Job(
            artifacts=tuple(folder / name for name in value["artifacts"]),
            plan=from_dict(fields, value["plan"]["name"], str(where)),
            images=np.load(folder / IMAGES, allow_pickle=False),
            engines=tuple(value["engines"]),
            accuracies=value["accuracies"],
            seed=value["seed"],
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise no_job(where, error) from None


def no_job(where: Path, error: Exception) -> FileError:
    return FileError(f"{where}: not a bundle's job ({type(error).__name__}); unpack the bundle again")
