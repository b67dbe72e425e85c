"""The Python API: `fmnist_edge.export`, `fmnist_edge.check` and `fmnist_edge.bench`.

They do what the commands of these names do, with the same code, for models and data in memory as well as in files. They
print nothing, and raise the errors of `fmnist_edge.errors`. A model is converted in a child process, and nothing from a
model file is executed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fmnist_edge.errors import InputError, UnknownNameError
from fmnist_edge.jobs.results import BenchResult, CheckResult, ExportResult

__all__ = ["bench", "check", "export"]

Progress = Callable[[int, int, str], None]
CALIBRATION_IMAGES = 500  # that an iterable is asked for
BENCH_IMAGES = 64


def export(
    model: Any,
    images: Any = None,
    *,
    precision: str | Sequence[str] | None = None,
    labels: Any = None,
    out: str | Path = "exported",
    name: str | None = None,
    progress: bool | Progress = False,
    **options: Any,
) -> ExportResult:
    """Convert a model, and write each file with its manifest to `out/<model>/<precision>.<format>`.

    Args:
        model: a Keras model, the path of a `.keras`, `.h5` or SavedModel, a name of the zoo, or the path of a project
            file (`.toml`); for the formats c and web, also the path of a `.tflite` file.
        images: calibration images, which integer precisions need: a path, as `--calibration` takes it; an array, uint8
            or float (n, *shape), before any scaling; a pair of arrays (images, class indices); for several inputs
            {name: array}; an iterable of images, batches or pairs, of which the first 500 images count. Default: for
            models of the zoo Fashion-MNIST's.
        precision: names such as "int8", or "all". Default: float32 and int8.
        labels: names of the classes in the order of the output, or the path of a file with one per line.
        out: the folder.
        name: of a model in memory or a `.tflite` file, and of the folder of its files. Default: `model.name`, or the
            name in the manifest, or of the file.
        progress: True for a progress bar on stderr, or a function that is called with (done, total, what is next); it
            is called from several threads, one at a time.
        options: those of `fmnist-edge export`, with `_` for `-`: format, batch (None leaves it open), task, positive,
            threshold, input, preprocess, scale, mean, std, channel_order, resize, fit, fill, polarity, keep_float,
            tune_accuracy (percentage points), budget (minutes), io, per_tensor, opset, oldest, strict, skip_bad,
            trained, data, test, test_labels (paths). See ExportOptions.

    A precision that the model or the format cannot have is in the result's `refused`; the others are written. A model
    that is a file gets a project file beside its artifacts, with the options, for `check`, `bench` and the commands.

    Raises InputError for images, labels or options that are wrong, and when `strict` refuses the model;
    UnknownNameError for a name that there is not; CheckpointError for a model that cannot be loaded safely (a Lambda
    layer or custom class is named); ExportError when no precision can be written; UnavailableError where the extra
    `export` is not installed; FileError when a file cannot be read or written.
    """
    from fmnist_edge.jobs import export as job
    from fmnist_edge.jobs import given
    from fmnist_edge.worker.temporary import temporary_folder

    names = (precision,) if isinstance(precision, str) else precision
    finished = given.is_tflite_path(model)
    name_of_file = name if finished else None
    told = with_options(job.ExportOptions(precision=names, out=Path(out), name=name_of_file), options, "export")
    told.check_choices()
    with temporary_folder("python") as scratch:
        path = given.as_model(model, scratch, None if finished else name)
        shape = shape_of(model, path, told.trained) if given.is_iterable(images) else None
        told = replace(
            told,
            calibration=given.as_images(images, scratch, shape, CALIBRATION_IMAGES),
            labels=given.as_names(labels, scratch),
        )
        (request,) = job.requests(told, [path])
        request = request.without(scratch)
        with shown_by(progress, f"exporting {request.model}") as show:
            outcomes = job.run(request, show)
        return ExportResult.of(request, outcomes)


def check(
    artifacts: Any = "exported",
    images: Any = None,
    labels: Any = None,
    *,
    reference: Any = None,
    record: bool = False,
    report: str | Path | None = None,
    progress: bool | Progress = False,
    **options: Any,
) -> CheckResult:
    """Compare artifacts with their Keras model on the same images, and judge whether they are still the same model.

    Args:
        artifacts: a path, several, or an ExportResult. A folder is searched.
        images: as `export` takes them, or {name: array} for a model with several inputs. Default: the test images of
            the project file beside the artifacts; for the zoo Fashion-MNIST's.
        labels: classes of the images: indices (n,); for a multilabel model 0 or 1, (n, labels); names (n,); or a path.
        reference: the Keras model, a path or in memory, that the artifacts were made from. Default: the one in the
            project file, or of the zoo.
        record: write the verdicts into the manifests, where `doctor` reads them.
        report: a path to write the JSON report of `fmnist-edge check` to. Results of other files in it stay.
        progress: see `export`; the function is called with (images done, of how many, what runs).
        options: limit (use the first N images), skip_bad, data, trained; see CheckOptions.

    A missed gate is no exception: see `CheckResult.passed` and `verdicts`.

    Raises InputError for images or labels that do not fit, ArtifactError for files that are no artifacts, were changed,
    or were made from another model than `reference`, CheckpointError for a Keras model that cannot be loaded,
    FileError, and UnavailableError for an engine that is not installed.
    """
    from fmnist_edge.artifact import collect
    from fmnist_edge.jobs import check as job
    from fmnist_edge.jobs import given
    from fmnist_edge.worker.temporary import temporary_folder

    found = collect(paths_of(artifacts))
    told = with_options(job.CheckOptions(), options, "check")
    with temporary_folder("python") as scratch:
        told = replace(
            told,
            images=given.as_images(images, scratch, found[0].contract.input_shape),
            labels=given.as_labels(labels, scratch),
            reference=None if reference is None else given.as_model(reference, scratch),
        )
        with shown_by(progress, "checking") as show:
            groups = job.checked_groups(told, found, tracked(show))
        if report is not None:
            job.write_report(Path(report), job.as_report(groups))
        if record:
            job.record(groups)
        return CheckResult.of(groups)


def bench(
    artifacts: Any = "exported",
    images: Any = None,
    *,
    plan: str | Path = "quick",
    out: str | Path = "benchmarks/results",
    progress: bool | Progress = False,
    **options: Any,
) -> BenchResult:
    """Measure latency, memory and load time on this machine, by a plan, and write every sample into a results file.

    It takes what the plan says for each artifact, engine, number of threads and batch: with "demo" 8 s, with "quick" 30
    s, with "standard" 2 min. Nothing else should run meanwhile: else the result says INVALID, and why.

    Args:
        artifacts: as in `check`.
        images: as in `export`; the first 64 are cycled. Default: the test images of the project file, else each
            artifact's golden images.
        plan: a name, or the path of a .toml file.
        out: folder of the results.
        progress: see `export`.
        options: engine, threads, batch (one or several), target ("cpu" or "gpu"), parity (report of `check`, whose
            accuracies are written beside the latencies), skip_bad; see BenchOptions.

    Raises InputError and UnknownNameError for options that are wrong, ArtifactError for files that are no artifacts,
    FileError when `out` cannot be written, and KeyboardInterrupt after Ctrl-C, with the journal kept for
    `fmnist-edge bench --resume`. An artifact that fails is a cell with that status.
    """
    from fmnist_edge.artifact import collect
    from fmnist_edge.benchmark import suite
    from fmnist_edge.files import locked
    from fmnist_edge.jobs import bench as job
    from fmnist_edge.jobs import given
    from fmnist_edge.worker.temporary import temporary_folder

    found = paths_of(artifacts)
    lists = {key: listed(options[key]) for key in ("engine", "threads", "batch") if options.get(key) is not None}
    told = with_options(job.BenchOptions(artifacts=found, plan=str(plan)), {**options, **lists}, "bench")
    with temporary_folder("python") as scratch:
        shape = collect(found)[0].contract.input_shape if given.is_iterable(images) else None
        told = replace(told, images=given.as_images(images, scratch, shape, BENCH_IMAGES))
        work, notes = job.local_job(told)
        with locked(Path(out)), shown_by(progress, "measuring") as show:
            session = work.begin(Path(out))
            result = suite.run(session, show)
    if result["interrupted"]:
        raise KeyboardInterrupt
    return BenchResult.of(result, session.path, notes)


def with_options(told: Any, options: dict[str, Any], function: str) -> Any:
    """`told` with the options. Raises UnknownNameError, which lists the options, for one that there is not."""
    known = [field.name for field in fields(told)]
    unknown = [name for name in options if name not in known]
    if unknown:
        raise UnknownNameError(f"{function}() has no option {unknown[0]!r}; choose from: {', '.join(known)}")
    return replace(told, **options)


def listed(value: Any) -> list[Any]:
    return [value] if isinstance(value, (str, int)) else list(value)


def paths_of(artifacts: Any) -> list[str | Path]:
    """Raises InputError for what is no path, no list of paths and no result of `export`."""
    if isinstance(artifacts, ExportResult):
        return [file.path for file in artifacts.files]
    found = [artifacts] if isinstance(artifacts, (str, Path)) else artifacts
    if not isinstance(found, Sequence) or not found or not all(isinstance(item, (str, Path)) for item in found):
        raise InputError(
            f"artifacts are {artifacts!r:.80}; expected a path, a list of paths, or what export() returned"
        )
    return list(found)


def shape_of(model: Any, path: str, trained: str | Path) -> tuple[int, ...]:
    """Shape of an image of the model, without the batch axis. Raises what loading the file raises."""
    from fmnist_edge import checkpoints
    from fmnist_edge.jobs.given import is_keras_model, is_tflite_path

    if is_tflite_path(model):
        from fmnist_edge.exporters.tflite_input import TFLiteInput

        return TFLiteInput.read(Path(path), "C").shape
    loaded = model if is_keras_model(model) else checkpoints.load(path, folder=Path(trained)).model
    return tuple(loaded.inputs[0].shape)[1:]


@contextmanager
def shown_by(progress: bool | Progress, label: str) -> Iterator[Progress]:
    """The function that shows the progress: the caller's, a bar's, or one that does nothing."""
    from fmnist_edge.console import progress_bar

    if progress is True:
        with progress_bar(label) as bar:
            yield bar
    else:
        yield progress or (lambda done, total, text: None)


def tracked(show: Progress) -> Callable[[Sequence[Any], str], Iterator[Any]]:
    """A `track` that calls `show` for each item."""

    def track(items: Sequence[Any], label: str) -> Iterator[Any]:
        for index, item in enumerate(items):
            show(index, len(items), label)
            yield item
        show(len(items), len(items), label)

    return track
