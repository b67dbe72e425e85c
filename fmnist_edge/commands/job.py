"""What `bench` and `bundle` measure: the options that say it, and the job that they make."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.project import IMAGES, by_project
from fmnist_edge.errors import ArtifactError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from fmnist_edge.artifact import Artifact
    from fmnist_edge.bench.job import Job

__all__ = ["add_job", "images_of_run", "job_of", "test_images"]

BENCH_IMAGES = 64  # real ones, cycled
PARITY = Path("reports/parity.json")


def add_job(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """Adds the options, and returns the group that says what is measured, for an option of the command's own."""
    what = parser.add_argument_group("What to measure")
    arguments.artifacts(what, absent=True)
    how = parser.add_argument_group("How to measure")
    how.add_argument(
        "--plan",
        metavar="NAME|FILE.toml",
        help="How long to measure: demo (8 s a cell), quick (30 s), standard (2 min) or mlperf-style (11 min) of "
        "benchmarks/plans, or a file of your own. Default: quick; with --ab the plan ab.",
    )
    how.add_argument(
        "--threads",
        type=arguments.whole_number,
        action="append",
        metavar="N",
        help="Threads of the engine. Default: what the plan says.",
    )
    how.add_argument(
        "--batch",
        type=arguments.whole_number,
        action="append",
        metavar="N",
        help="Images per call. Default: what the plan says.",
    )
    arguments.data(how)
    how.add_argument(
        "--parity",
        type=Path,
        metavar="FILE",
        help="Report of `check` whose accuracies are written beside the latencies. "
        f"Default: {PARITY} where there is one.",
    )
    return what


def job_of(options: argparse.Namespace, engines: Sequence[str], plan_name: str = "quick") -> Job:
    """What the options ask for; on `engines`; `plan_name` where they name no plan."""
    from fmnist_edge.artifact import collect
    from fmnist_edge.bench import cells, plan
    from fmnist_edge.bench.job import Job

    found = collect(options.artifacts or [arguments.EXPORTED])
    artifacts = tuple(artifact.path for artifact in found)
    chosen = plan.find(options.plan or plan_name)
    if options.threads:
        chosen = replace(chosen, threads=tuple(options.threads))
    if options.batch:
        chosen = replace(chosen, batches=tuple(options.batch))
    report = options.parity or (PARITY if PARITY.exists() else None)
    accuracies = cells.accuracies_of(report) if report else {}
    ab = two_of(options.artifacts) if getattr(options, "ab", False) else None
    return Job(artifacts, chosen, own_images(options, found), tuple(engines), accuracies, ab=ab)


def two_of(paths: Sequence[str]) -> tuple[Path, Path]:
    if len(paths) != 2:
        raise InputError(f"--ab with {len(paths)} paths; expected two, A and B: two artifacts or two folders")
    return Path(paths[0]), Path(paths[1])


def own_images(options: argparse.Namespace, artifacts: Sequence[Artifact]) -> np.ndarray:
    """The test images of the artifacts' project file, uint8 (n, ...), n at most BENCH_IMAGES; else `test_images`.

    A run has one set of images. Where several models have test images of their own, it says that they are not used.
    """
    from fmnist_edge.parity.evaluation import evaluation_for

    groups = by_project(options, artifacts, IMAGES)
    paths = {path for given, _ in groups if (path := getattr(given, "images", None)) is not None}
    if len(groups) > 1 and paths:
        print(
            f"fmnist-edge: note: not used, because the models differ in them: {', '.join(sorted(paths))}",
            file=sys.stderr,
        )
    if len(groups) > 1 or not paths:
        return test_images(options)
    path = paths.pop()
    images = evaluation_for(path, None, BENCH_IMAGES, None, artifacts[0].contract.input_shape).images
    if images.dtype != "uint8":
        print(
            f"fmnist-edge: note: not used, because they are {images.dtype}, not uint8: {path}",
            file=sys.stderr,
        )
        return test_images(options)
    return images


def images_of_run(options: argparse.Namespace, journal: Path) -> np.ndarray:
    """The images of an interrupted run, by the artifacts that its journal names. Raises what reading it raises."""
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.bench.journal import Journal

    _, header, _ = Journal.read(journal)
    try:
        paths = dict.fromkeys(str(cell["artifact"]) for cell in header["cells"])
        artifacts = [Artifact.open(path) for path in paths]
    except (KeyError, TypeError, ArtifactError):
        artifacts = []  # `suite.resume` says what is wrong
    return own_images(options, artifacts) if artifacts else test_images(options)


def test_images(options: argparse.Namespace) -> np.ndarray:
    """uint8 (BENCH_IMAGES, 28, 28)."""
    from fmnist_edge.data import fashion_mnist

    return fashion_mnist.load("test", options.data).images[:BENCH_IMAGES]
