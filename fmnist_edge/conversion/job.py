"""What to export, as JSON that a child process receives, and what became of each precision."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import Precision, get_precision
from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.exporters.findings import Findings
from fmnist_edge.exporters.options import Options
from fmnist_edge.exporters.tasks import TaskOptions
from fmnist_edge.runtime.images import Fill
from fmnist_edge.runtime.preprocess import Levels

__all__ = ["Job", "Outcome", "Tuning"]

BY_CHANNEL = ("mean", "std", "fill")  # fields that may be tuples, which JSON makes lists


@dataclass(frozen=True)
class Job:
    """One model and all that `export` needs to know. Every field is JSON, or a dataclass of such fields.

    Attributes:
        model: name in the zoo, or path.
        trained: folder of the zoo's trained models.
        out: the folder that gets a folder with the model's name.
        precisions: (format, name) of each.
        todo: which of them a child makes, by their index; None for all. The others count too: an export is the same
            whether one child makes all precisions or several share them.
        locks: whether the child locks the folder that it writes to. Children that share one cannot.
        batch: images per call; None leaves the batch axis open.
        data: folder of Fashion-MNIST; None for the usual places.
        calibration: path of the user's images; None for Fashion-MNIST's.
        skip_bad: whether to leave out images that cannot be read.
        keep_float: layers that compute in float, by their names in the model file.
        tune_accuracy: percentage points that calibrated precisions may lose; None tries no remedy.
        budget_min: minutes after which no further remedy is tried.
        labels: path of the class names; None for the defaults.
        polarity, resize, fit, fill: of the contract.
        preprocess, channel_order, scale, mean, std: see `contracts.preprocessing_for`; None for those that the user did
            not give.
        strict: whether a warning about the contract or the calibration images refuses the model.
        task: what the user says about the task and the input.
        options: interface, scales, opset and oldest runtime of the files.
    """

    model: str
    trained: str
    out: str
    precisions: list[list[str]]
    todo: list[int] | None = None
    locks: bool = True
    batch: int | None = 1
    data: str | None = None
    calibration: str | None = None
    skip_bad: bool = False
    keep_float: list[str] = field(default_factory=list)
    tune_accuracy: float | None = None
    budget_min: float = 10.0
    labels: str | None = None
    polarity: str | None = None
    resize: str = "bilinear"
    fit: str = "stretch"
    fill: Fill = 0
    preprocess: str | None = None
    channel_order: str | None = None
    scale: float | None = None
    mean: Levels | None = None
    std: Levels | None = None
    strict: bool = False
    task: TaskOptions = field(default_factory=TaskOptions)
    options: Options = field(default_factory=Options)

    @classmethod
    def from_json(cls, value: JsonObject) -> Job:
        """From the fields (`dataclasses.asdict`), after a way through JSON."""
        task = {**value["task"], "thresholds": tuple(value["task"]["thresholds"])}
        tuples = {name: tuple(value[name]) for name in BY_CHANNEL if isinstance(value.get(name), list)}
        settings = {"task": TaskOptions(**task), "options": Options.from_json(value["options"])}
        return cls(**{**value, **tuples, **settings})

    def selected(self) -> list[Precision]:
        """The precisions, without the options."""
        return [get_precision(format, name) for format, name in self.precisions]

    def indices(self) -> list[int]:
        """Of the precisions that are to be made."""
        return list(range(len(self.precisions))) if self.todo is None else self.todo


@dataclass(frozen=True)
class Tuning:
    """The remedies that --tune-accuracy tried for one precision.

    Attributes:
        images, source: how many validation images judged, and where they come from.
        steps: (remedy, percentage points lost, whether that was enough, seconds) of each. A remedy for which there was
            no time has None for the points.
    """

    images: int
    source: str
    steps: list[tuple[str, float | None, bool, float]]

    @property
    def untried(self) -> list[str]:
        """The remedies for which there was no time."""
        return [remedy for remedy, drop, _, _ in self.steps if drop is None]


@dataclass(frozen=True)
class Outcome:
    """What became of one precision: exactly one of `artifact`, `error` and `same_as` is set.

    Attributes:
        path: where the artifact is, or would be.
        error: why it was refused.
        same_as: path of the artifact that has the same bytes and names this precision, too. No file is at `path` then.
        whole_model: whether it was not tried, because of an error that is not about this precision.
        findings: about the model's input, the same for all of its precisions; None if it was not reached.
    """

    path: Path
    artifact: Artifact | None = None
    error: FmnistEdgeError | None = None
    same_as: Path | None = None
    tuning: Tuning | None = None
    whole_model: bool = False
    findings: Findings | None = None
