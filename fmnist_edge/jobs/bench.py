"""Bench: which artifacts are measured, on which engines and images, and by which plan."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.jobs.project import IMAGES, by_project
from fmnist_edge.runtime.engine_catalog import BROWSER, GPU
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.tasks import TENSOR

if TYPE_CHECKING:
    import numpy as np

    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.job import Job

__all__ = ["PARITY", "BenchOptions", "Given", "images_of", "images_of_run", "job_of", "local_job", "own_images"]

BENCH_IMAGES = 64  # cycled
EXPORTED = "exported"
PARITY = Path("reports/parity.json")


@dataclass
class BenchOptions:
    """The options of `bench`, named as on the command line. None, and empty lists, are what was not given."""

    artifacts: Sequence[str | Path] = ()
    plan: str | None = None
    threads: Sequence[int] | None = None
    batch: Sequence[int] | None = None
    images: str | None = None
    skip_bad: bool = False
    parity: Path | None = None
    engine: Sequence[str] | None = None
    target: str | None = None
    ab: bool = False


@dataclass(frozen=True)
class Given:
    """The images of a run.

    Attributes:
        images: (n, *shape), or records of named arrays (n,) for models of tensors; n is 0 for each artifact's golden
            images.
        notes: one line each about what was left out or is not used.
    """

    images: np.ndarray
    notes: tuple[str, ...] = ()


def local_job(options: Any, python: str | None = None) -> tuple[Job, tuple[str, ...]]:
    """A job for this machine, on the engines that fit it, and notes about its images.

    `options`: with the fields of BenchOptions; `python`: one that has tflite-runtime. Raises what `job_of` raises, and
    InputError for an engine of another target.
    """
    from fmnist_edge.benchmark import cells

    if options.target == BROWSER:
        refuse_more_than_one(options)
    if options.target:
        engines = cells.engines_timed_on(options.target, options.engine)
    else:
        engines = tuple(options.engine or (*cells.default_engines(), *(["tflite-runtime"] if python else [])))
    return job_of(options, engines, "ab" if options.ab else "gpu" if options.target == GPU else "quick")


def refuse_more_than_one(options: Any) -> None:
    """Raises InputError for threads and batches that a browser does not have."""
    for name, given in (("threads", options.threads), ("batch", options.batch)):
        if given and set(given) != {1}:
            raise InputError(
                f"--{name} {given[0]}: in a browser a model runs in one thread, one image per call; leave --{name} out"
            )


def job_of(
    options: Any, engines: Sequence[str], plan_name: str = "quick", *, for_devices: bool = False
) -> tuple[Job, tuple[str, ...]]:
    """What the options ask for, on `engines`, and notes about the images; `plan_name` where they name no plan.

    `for_devices`: see `artifact.collect`.

    Raises ArtifactError for files that are no artifacts, and what reading the plan, the report and the images raises.
    """
    from fmnist_edge.artifact import collect
    from fmnist_edge.benchmark import cells, plan
    from fmnist_edge.benchmark.job import Job

    found = collect(options.artifacts or [EXPORTED], for_devices=for_devices)
    artifacts = tuple(artifact.path for artifact in found)
    chosen = plan.find(options.plan or plan_name)
    if options.threads:
        chosen = replace(chosen, threads=tuple(options.threads))
    if options.batch:
        chosen = replace(chosen, batches=tuple(options.batch))
    report = options.parity or (PARITY if PARITY.exists() else None)
    accuracies = cells.accuracies_of(report) if report else {}
    ab = two_of(options.artifacts) if getattr(options, "ab", False) else None
    given = own_images(options, found)
    return Job(artifacts, chosen, given.images, tuple(engines), accuracies, ab=ab), given.notes


def two_of(paths: Sequence[str | Path]) -> tuple[Path, Path]:
    if len(paths) != 2:
        raise InputError(f"--ab with {len(paths)} paths; expected two, A and B: two artifacts or two folders")
    return Path(paths[0]), Path(paths[1])


def own_images(options: Any, artifacts: Sequence[Artifact]) -> Given:
    """The user's images, or the test images of the artifacts' project file, else none; see `images_of`.

    A run has one set of images. Where several models have test images of their own, a note says that they are not used.
    """
    groups = by_project(options, artifacts, IMAGES)
    if len(groups) == 1:
        given = groups[0][0]
        found = images_of(given, artifacts[0].path)
        if options.images is None and found.images.dtype != "uint8" and found.images.dtype.names is None:
            return Given(no_images(), (f"not used, because they are {found.images.dtype}, not uint8: {given.images}",))
        return found
    if options.images is None:
        paths = sorted({given.images for given, _ in groups if given.images is not None})
        notes = (f"not used, because the models differ in them: {', '.join(paths)}",) if paths else ()
        return Given(no_images(), notes)
    return images_of(options, artifacts[0].path)


def images_of_run(options: Any, journal: Path) -> Given:
    """The images of an interrupted run, by the artifacts that its journal names. Raises what reading it raises."""
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.journal import artifacts_of

    try:
        artifacts = [Artifact.open(path) for path in artifacts_of(journal)]
    except ArtifactError:
        return Given(no_images())  # `suite.resume` says what is wrong
    return own_images(options, artifacts)


def images_of(options: Any, artifact: Path) -> Given:
    """The user's images in the shape of `artifact`, at most BENCH_IMAGES; none for each artifact's golden images."""
    if options.images is None:
        return Given(no_images())
    from fmnist_edge.data.labelled import read_labelled

    contract = Manifest.read(artifact).contract
    if contract.task == TENSOR:
        from fmnist_edge.benchmark.tensors import packed
        from fmnist_edge.parity.tensors import read_inputs

        return Given(packed(read_inputs(options.images, contract, BENCH_IMAGES)))
    found = read_labelled(options.images, contract.image_form, skip_bad=options.skip_bad).first(BENCH_IMAGES)
    return Given(found.images, found.notes)


def no_images() -> np.ndarray:
    import numpy as np

    return np.zeros((0, 1, 1), np.uint8)
