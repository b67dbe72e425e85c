"""`fmnist-edge bundle`: a job as one archive for a device."""

from __future__ import annotations

import argparse
from pathlib import Path

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.commands.job import add_job
from fmnist_edge.console import warn
from fmnist_edge.jobs.bench import job_of
from fmnist_edge.runtime.engine_catalog import CPU, engines_on, shipped

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=4,
    summary="pack a measurement as an archive for a device",
    description="""
        Packs artifacts, images, a plan and the code that measures into one small archive, without TensorFlow. It runs
        on a Raspberry Pi with its 64-bit system, and on any machine with Python 3.9 or later.

        On the device, unpack the archive with tar, then run one line to install and one to measure; README.txt in the
        archive has both. The folder results/ then holds a file that `compare` and `report` read. The same job always
        gives the same bytes.

        Where the device can be reached by ssh, `bench --on user@host` does all of this by itself.
        """,
    examples=(("What is in exported/, by the quick plan", "bundle exported --plan quick --out pi.tar.gz"),),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = add_job(parser)
    arguments.engines(
        what,
        engines_on(CPU),
        f"What runs the files on the device. Default: those of {', '.join(shipped())} that run any of the artifacts.",
    )
    parser.add_argument_group("Output").add_argument(
        "--out", type=Path, default=Path("build/bundle.tar.gz"), metavar="FILE.tar.gz", help="The archive to write."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.benchmark.remote.bundle import FOLDER, archive, engines_of
    from fmnist_edge.errors import InputError
    from fmnist_edge.files import write_atomic

    if not options.out.name.endswith(".tar.gz"):
        raise InputError(f"--out is {options.out}; expected a name that ends with .tar.gz")
    job, notes = job_of(options, options.engine or shipped(), for_devices=True)
    warn(notes)
    content = archive(job)
    write_atomic(options.out, content)
    engines = ", ".join(engines_of(job.artifacts, job.engines))
    print(f"{len(job.artifacts)} artifacts, engines {engines}, plan {job.plan.name}: {len(content) / 1e6:,.1f} MB")
    print(f"wrote {options.out}; on the device: tar xzf {options.out.name} && cat {FOLDER}-*/README.txt")
