"""Export: what was asked for becomes a job for the process that converts, and facts for the other commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.data.project import KEYS
from fmnist_edge.errors import FmnistEdgeError, InputError, UnknownNameError
from fmnist_edge.jobs.from_tflite import tflite_job
from fmnist_edge.jobs.project import facts_for, of_model

if TYPE_CHECKING:
    from fmnist_edge.catalog.precisions import Precision
    from fmnist_edge.conversion.from_tflite import TFLiteJob
    from fmnist_edge.conversion.job import Job, Outcome
    from fmnist_edge.data.project import Project
    from fmnist_edge.exporters.options import Options
    from fmnist_edge.runtime.images import Fill
    from fmnist_edge.runtime.preprocess import Levels

__all__ = ["ExportOptions", "Request", "requests", "run", "settings_of"]

BUDGET_MIN = 10.0
Progress = Callable[[int, int, str], None]


@dataclass
class ExportOptions:
    """The options of `export`, named as on the command line, which describes them: `fmnist-edge export --help`.

    Paths are text or Path. None is what was not given.
    """

    format: str = "all"
    precision: Sequence[str] | None = None
    batch: int | None = 1
    trained: str | Path = Path("trained_model")
    data: str | None = None
    calibration: str | None = None
    skip_bad: bool = False
    keep_float: Sequence[str] = ()
    tune_accuracy: float | None = None
    budget: float | None = None
    io: str | None = None
    per_tensor: bool = False
    opset: int | None = None
    oldest: Sequence[str] = ()
    labels: str | Path | None = None
    task: str | None = None
    positive: str | None = None
    threshold: Sequence[float] | float | None = None
    input: str | None = None
    polarity: str | None = None
    resize: str | None = None
    fit: str | None = None
    fill: Fill | None = None
    preprocess: str | None = None
    scale: float | None = None
    mean: Levels | None = None
    std: Levels | None = None
    channel_order: str | None = None
    test: str | None = None
    test_labels: str | None = None
    out: Path = Path("exported")
    name: str | None = None
    strict: bool = False

    def check_choices(self) -> None:
        """What the command line's parser checks, for callers that have none.

        Raises UnknownNameError for a word that is none of an option's, InputError for a value of another type.
        """
        for name, choices in {"format": (*FORMATS, "all"), "io": ("int8", "uint8", "float32")}.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise UnknownNameError(f"{name} is {value!r}; choose from: {', '.join(choices)}")
        for name, key in KEYS.items():
            value = getattr(self, name, None)
            if value is None or key.kind == "path":
                continue
            if not key.accepts(list(value) if isinstance(value, tuple) else value):
                kind = UnknownNameError if key.choices else InputError
                raise kind(f"{name} is {value!r:.80}; expected {key.expected}")
        if self.batch is not None and not (type(self.batch) is int and self.batch > 0):
            raise InputError(f"batch is {self.batch!r}; expected a whole number of at least 1, or None")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ExportOptions:
        """Those of `values` that are options of `export`, such as the parsed command line."""
        return cls(**{field.name: values[field.name] for field in fields(cls)})


@dataclass(frozen=True)
class Request:
    """One model and all that is to be made of it.

    Attributes:
        model: as it was named.
        facts: what to keep for other commands beside the files; None for a model of the zoo and for a `.tflite` file.
    """

    model: str
    job: Job | TFLiteJob
    facts: Project | None

    def without(self, scratch: Path) -> Request:
        """The same without facts about files in `scratch`, which are there for a moment: no facts for such a model."""
        if self.facts is None:
            return self
        values = {name: value for name, value in self.facts.values.items() if scratch not in Path(str(value)).parents}
        return replace(self, facts=replace(self.facts, values=values) if "model" in values else None)

    def keep_facts(self, outcomes: Sequence[Outcome]) -> Path | None:
        """Write the project file, if an artifact was written; returns its path. Raises FileError."""
        if self.facts is None or not any(outcome.artifact for outcome in outcomes):
            return None
        self.facts.write()
        return self.facts.path


def requests(options: ExportOptions, models: Sequence[str]) -> list[Request]:
    """What to run for each model: a name of the zoo, a path, or a project file.

    Raises InputError for options that contradict each other or cannot apply to a `.tflite` file, UnknownNameError for a
    precision that there is not, and what reading a project file raises.
    """
    from fmnist_edge.exporters.tflite_input import is_tflite

    found = [of_model(options, model) for model in models]
    finished = [model not in MODELS and is_tflite(model) for model, _ in found]
    if options.name is not None and finished != [True]:
        raise InputError("--name is for one .tflite file; another model has the name of its file, so rename that")
    keras = None if all(finished) else checked(options)
    return [
        Request(model, finished_job(given, model), None)
        if keras is None or is_finished
        else Request(model, job_for(given, model, *keras), facts_for(given, model))
        for (model, given), is_finished in zip(found, finished)
    ]


def checked(options: ExportOptions) -> tuple[Sequence[Precision], Options]:
    """The precisions and settings for Keras models. Raises as `requests` says."""
    from fmnist_edge.catalog.precisions import by_default, select

    precisions = select(options.format, options.precision) if options.precision else by_default(options.format)
    check_tuning(options, precisions)
    settings = settings_of(options)
    settings.check(precisions)
    return precisions, settings


def finished_job(options: ExportOptions, path: str) -> TFLiteJob:
    fill = None if options.fill is None else as_colour(options.fill)
    return tflite_job(options, ExportOptions(), path, several(options.threshold), fill)


def run(request: Request, progress: Progress = lambda done, total, text: None) -> list[Outcome]:
    """Export one model; a model that cannot be exported at all is one Outcome.

    `progress(done, total, text)` is called from several threads, one at a time.
    """
    from fmnist_edge.conversion.from_tflite import TFLiteJob, export_file
    from fmnist_edge.conversion.job import Outcome
    from fmnist_edge.conversion.parent import export_model

    try:
        if isinstance(request.job, TFLiteJob):
            return export_file(request.job, progress)
        return export_model(request.job, progress)
    except FmnistEdgeError as error:
        return [Outcome(Path(request.job.model), error=error, whole_model=True)]


def check_tuning(options: ExportOptions, precisions: Sequence[Precision]) -> None:
    """Raises InputError for options that contradict --tune-accuracy."""
    if options.tune_accuracy is None:
        return
    if options.keep_float:
        raise InputError("--tune-accuracy itself chooses the layers to keep in float; leave --keep-float out")
    if not any(precision.calibrated for precision in precisions):
        names = ", ".join(precision.filename for precision in precisions)
        raise InputError(f"--tune-accuracy is for calibrated precisions, such as int8, and not for {names}")
    if options.format in FORMATS and FORMATS[options.format].contains:
        raise InputError(f"--tune-accuracy has to run the files, and {options.format} is sources; use --format tflite")


def settings_of(options: Any) -> Options:
    from fmnist_edge.exporters.options import Options

    return Options(options.io, options.per_tensor, options.opset, tuple(options.oldest))


def several(value: Sequence[float] | float | None) -> tuple[float, ...]:
    """A project file has one number where the command line has a list of one."""
    return () if value is None else (value,) if isinstance(value, (int, float)) else tuple(value)


def as_colour(value: Fill | tuple[float, ...] | float) -> Fill:
    """The numbers of a project file are floats. What is no whole number stays, and is refused as a colour."""
    whole = [int(item) if item == int(item) else item for item in several(value)]
    return tuple(whole) if isinstance(value, tuple) else whole[0]  # type: ignore[return-value]


def job_for(options: ExportOptions, model: str, precisions: Sequence[Precision], settings: Options) -> Job:
    from fmnist_edge.conversion.job import Job
    from fmnist_edge.exporters.tasks import TaskOptions

    return Job(
        model=model,
        trained=str(options.trained),
        out=str(options.out),
        precisions=[[precision.format, precision.name] for precision in precisions],
        batch=options.batch,
        data=options.data,
        calibration=options.calibration,
        skip_bad=options.skip_bad,
        keep_float=list(options.keep_float),
        tune_accuracy=options.tune_accuracy,
        budget_min=BUDGET_MIN if options.budget is None else options.budget,
        labels=None if options.labels is None else str(options.labels),
        polarity=options.polarity,
        resize=options.resize or "bilinear",
        fit=options.fit or "stretch",
        fill=as_colour(options.fill or 0),
        preprocess=options.preprocess,
        channel_order=options.channel_order,
        scale=options.scale,
        mean=options.mean,
        std=options.std,
        strict=options.strict,
        task=TaskOptions(options.task, options.positive, several(options.threshold), options.input),
        options=settings,
    )
