"""`fmnist-edge bundle`: a job as one archive for a device."""

from __future__ import annotations

import argparse

from fmnist_edge.commands.bench import job_of

__all__ = ["run"]


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.bench.remote.bundle import DEFAULT_ENGINES, FOLDER, archive, engines_of
    from fmnist_edge.errors import InputError
    from fmnist_edge.files import write_atomic

    if not options.out.name.endswith(".tar.gz"):
        raise InputError(f"--out is {options.out}; expected a name that ends in .tar.gz")
    job = job_of(options, options.engine or DEFAULT_ENGINES)
    content = archive(job)
    write_atomic(options.out, content)
    engines = ", ".join(engines_of(job.artifacts, job.engines))
    print(f"{len(job.artifacts)} artifacts, engines {engines}, plan {job.plan.name}: {len(content) / 1e6:,.1f} MB")
    print(f"wrote {options.out}; on the device: tar xzf {options.out.name} && cat {FOLDER}-*/README.txt")
