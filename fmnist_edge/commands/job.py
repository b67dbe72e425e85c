"""What `bench` and `bundle` measure: the options that say it, and the job that they make."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.project import IMAGES, by_project
from fmnist_edge.console import warn
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.manifest import Manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.job import Job

__all__ = ["add_job", "images_of", "images_of_run", "job_of"]

BENCH_IMAGES = 64  # cycled
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
    arguments.images(how, "Default: each artifact's own golden images.")
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
    from fmnist_edge.benchmark import cells, plan
    from fmnist_edge.benchmark.job import Job

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
    """The user's images, or the test images of the artifacts' project file, else none; see `images_of`.

    A run has one set of images. Where several models have test images of their own, it says that they are not used.
    """
    groups = by_project(options, artifacts, IMAGES)
    if len(groups) == 1:
        given = groups[0][0]
        found = images_of(given, artifacts[0].path)
        if options.images is None and found.dtype != "uint8":
            warn([f"not used, because they are {found.dtype}, not uint8: {given.images}"])
            return no_images()
        return found
    if options.images is None:
        paths = sorted({given.images for given, _ in groups if given.images is not None})
        warn([f"not used, because the models differ in them: {', '.join(paths)}"] if paths else [])
    return images_of(options, artifacts[0].path)


def images_of_run(options: argparse.Namespace, journal: Path) -> np.ndarray:
    """The images of an interrupted run, by the artifacts that its journal names. Raises what reading it raises."""
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.journal import artifacts_of

    try:
        artifacts = [Artifact.open(path) for path in artifacts_of(journal)]
    except ArtifactError:
        return no_images()  # `suite.resume` says what is wrong
    return own_images(options, artifacts)


def images_of(options: argparse.Namespace, artifact: Path) -> np.ndarray:
    """The user's images in the shape of `artifact`, at most BENCH_IMAGES; none for each artifact's golden images."""
    if options.images is None:
        return no_images()
    from fmnist_edge.data.labelled import read_labelled

    contract = Manifest.read(artifact).contract
    found = read_labelled(options.images, contract.image_form, skip_bad=options.skip_bad).first(BENCH_IMAGES)
    warn(found.notes)
    return found.images


def no_images() -> np.ndarray:
    import numpy as np

    return np.zeros((0, 1, 1), np.uint8)
