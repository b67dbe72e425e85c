"""The contract of a finished `.tflite` file: the manifest's or the file's own, and what the user says otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fmnist_edge.errors import ExportError, InputError
from fmnist_edge.exporters.contracts import Decision, ends, formula
from fmnist_edge.exporters.given_preprocessing import given_preprocessing
from fmnist_edge.exporters.label_names import binary_names, class_names
from fmnist_edge.exporters.model_input import UNITS
from fmnist_edge.exporters.tasks import check_fits, one_score, thresholds_for
from fmnist_edge.exporters.tflite_input import ELSEWHERE, TFLiteInput, head_of
from fmnist_edge.exporters.tflite_sources import check_finite
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.images import Fill, ImageForm, check_fill
from fmnist_edge.runtime.preprocess import Levels
from fmnist_edge.runtime.presets import MODEL, PRESETS
from fmnist_edge.runtime.tasks import BINARY, CLASSIFICATION, MULTILABEL, TENSOR

__all__ = ["ContractOptions", "contract_of", "image_form_of", "preprocessing_of"]

MOST_APART = 0.25  # of the input tensor's range: calibration images need not be black and white


@dataclass(frozen=True)
class ContractOptions:
    """What the user says about a model's input and output, as in `ExportOptions`; None and () for what is not said."""

    labels: str | None = None
    task: str | None = None
    positive: str | None = None
    thresholds: tuple[float, ...] = ()
    polarity: str | None = None
    resize: str | None = None
    fit: str | None = None
    fill: Fill | None = None
    preprocess: str | None = None
    scale: float | None = None
    mean: Levels | None = None
    std: Levels | None = None
    channel_order: str | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> ContractOptions:
        """From the fields, after a way through JSON, which makes lists of tuples."""
        fields: dict[str, Any] = {name: tuple(item) if isinstance(item, list) else item for name, item in value.items()}
        return cls(**fields)


def image_form_of(file: TFLiteInput, options: ContractOptions) -> ImageForm:
    """How images of any size are brought to that of the model."""
    known = file.contract
    resize = options.resize or (known.resize if known else "bilinear")
    fit = options.fit or (known.fit if known else "stretch")
    fill: Fill = known.fill if known and known.fit == fit else 0
    fill = fill if options.fill is None else options.fill
    check_fill(fill, fit, file.shape)
    return file.shape, resize, fit, fill


def preprocessing_of(file: TFLiteInput, options: ContractOptions) -> Decision:
    """Decide how pixels become the input: as the user says, else by the known contract, else pixels / 255.

    Raises InputError for options that contradict each other or the file, and for a known contract that is not the
    file's; ExportError for one that C cannot have.
    """
    if file.contract is not None:
        check_known(file, file.contract)
    order = options.channel_order
    given = given_preprocessing(options.preprocess, order, options.scale, options.mean, options.std, file.shape)
    if given is not None:
        made, names = given
        decision = Decision(made, "options", f"input is {formula(made)}, given by {names}")
    elif options.preprocess == MODEL:
        raise InputError(
            f"--preprocess model reads the first layers of a Keras model, and {file.path} is a .tflite file; say how "
            f"it was trained: --preprocess {', '.join(PRESETS)}, or --scale, --mean and --std"
        )
    elif file.contract is not None:
        made = file.contract.preprocessing
        decision = Decision(made, "contract", f"input is {formula(made)}, by the contract {file.source}")
    else:
        usual = UNITS["unit"]
        reason = f"input is {usual.text}, the default: a .tflite file does not say how its input is scaled"
        reason += "; --preprocess, or --scale, --mean and --std, say otherwise"
        decision = Decision(usual.preprocessing, "default", reason)
    if given is None and order not in (None, decision.preprocessing.order):
        ordered = replace(decision.preprocessing, order=order)
        decision = replace(decision, preprocessing=ordered, reason=f"{decision.reason}; channels are {order}")
    decision.preprocessing.check_channels(file.shape)
    check_finite(decision.preprocessing, "C")
    doubt = None if decision.source == "contract" else range_doubt(file, decision)
    return decision if doubt is None else replace(decision, warnings=(doubt,))


def check_known(file: TFLiteInput, known: Contract) -> None:
    if known.task == TENSOR or known.dtype != "uint8" or known.layout != "NHWC":
        raise ExportError(
            f"{file.path}: C and web take pixels (height, width, channels) and have labels; the contract {file.source} "
            f"says task {known.task}, {known.dtype}, {known.layout}; {ELSEWHERE}"
        )
    if (known.input_shape, known.score_count) != (file.shape, file.scores):
        raise InputError(
            f"{file.path} takes {file.shape} and answers with {file.scores} scores, but the contract {file.source} "
            f"says {known.input_shape} and {known.score_count}; it is not this file's"
        )


def range_doubt(file: TFLiteInput, decision: Decision) -> str | None:
    """One line if the input tensor was made for other numbers than the preprocessing makes of pixels; None if not."""
    low, high = file.input_range
    made = ends(decision.preprocessing)
    least, most = float(made.min()), float(made.max())
    if max(abs(least - low), abs(most - high)) <= MOST_APART * (high - low):
        return None
    return (
        f"the input of {file.path.name} holds {low:.4g} to {high:.4g}, and {formula(decision.preprocessing)} makes "
        f"{least:.4g} to {most:.4g} of pixels 0 to 255; say how the model was trained, with --preprocess, or with "
        "--scale, --mean and --std"
    )


def task_of_file(file: TFLiteInput, asked: str | None) -> str:
    """The task that was asked for, else the known contract's, else the one that the last op shows.

    Raises InputError when the scores cannot have that task, ExportError for one that C does not have.
    """
    head, scores = head_of(file.model), file.scores
    what = f"{file.path.name} answers with {'one' if scores == 1 else scores} {head} output{'s' * (scores != 1)}"
    if asked not in (None, TENSOR):
        check_fits(str(asked), scores, head, what)
    task = asked or (file.contract.task if file.contract else None)
    if task is None:
        default = MULTILABEL if head == "sigmoid" else CLASSIFICATION
        task = one_score(head, what).task if scores == 1 else default
    if task == TENSOR:
        raise ExportError(f"{what}, as task {TENSOR}; C and web have labels and scores; {ELSEWHERE}")
    return task


def labels_of(
    file: TFLiteInput, task: str, options: ContractOptions, folders: tuple[str, ...] | None
) -> tuple[str, ...]:
    """The names of the classes. `folders`: of the user's class folders, for a file without a contract."""
    path = None if options.labels is None else Path(options.labels)
    if options.positive is not None and task != BINARY:
        raise InputError(f"--positive is for the task binary, and the task is {task}; leave it out")
    known = file.contract
    if known is not None and known.task == task:
        folders = known.labels
        if path is None and options.positive is None:
            return known.labels
    return binary_names(path, folders, options.positive) if task == BINARY else class_names(path, folders, file.scores)


def contract_of(
    file: TFLiteInput, options: ContractOptions, decision: Decision, folders: tuple[str, ...] | None = None
) -> Contract:
    """Build the contract: what the known one says and the options do not.

    Raises FileError for an unreadable labels file, InputError for options that do not fit the file, ArtifactError for
    labels that no contract can have.
    """
    known = file.contract
    task = task_of_file(file, options.task)
    labels = labels_of(file, task, options, folders)
    shape, resize, fit, fill = image_form_of(file, options)
    polarity = options.polarity or (known.polarity if known else None)
    output = "probabilities" if head_of(file.model) in ("softmax", "sigmoid") else "logits"
    same_task = known is not None and known.task == task and len(known.labels) == len(labels)
    thresholds = thresholds_for(task, labels, options.thresholds)
    return Contract(
        shape,
        known.output if known else output,
        labels,
        decision.preprocessing,
        polarity=None if polarity == "either" else polarity,
        resize=resize,
        fit=fit,
        fill=fill,
        task=task,
        thresholds=thresholds or (known.thresholds if known and same_task else ()),
    )
