"""Decide a model's task: it is read from the model's head where that is plain, and asked for where it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import InputError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.tasks import BINARY, CLASSIFICATION, MULTILABEL, TENSOR, THRESHOLD
from fmnist_edge.runtime.tensors import NamedTensor

if TYPE_CHECKING:
    import keras

__all__ = ["IMAGE", "NUMBERS", "TaskDecision", "TaskOptions", "is_image", "task_of", "tensors_of", "thresholds_for"]

IMAGE, NUMBERS = "image", "numbers"  # what an input is
COUNTS = ("relu", "relu6", "softplus", "exponential")  # heads of one output that are neither a probability nor a logit


@dataclass(frozen=True)
class TaskOptions:
    """What the user says about task and input; None and () for what was not given.

    Attributes:
        positive: the label of the positive class, of a binary model.
        thresholds: one for all labels, or one for each.
        input: IMAGE or NUMBERS.
    """

    task: str | None = None
    positive: str | None = None
    thresholds: tuple[float, ...] = ()
    input: str | None = None


@dataclass(frozen=True)
class TaskDecision:
    """A model's task, and how it was decided: one line; empty for a classification, which needs no word."""

    task: str
    reason: str = ""


def task_of(checkpoint: Checkpoint, asked: str | None = None) -> TaskDecision:
    """The task that was asked for, or else the one that the model's head shows.

    Raises InputError when the head cannot have that task, and when it does not show which one it has.
    """
    model = checkpoint.model
    several = len(model.inputs) > 1 or len(model.outputs) > 1
    shape = tuple(model.outputs[0].shape)[1:]
    scores = shape[0] if len(shape) == 1 and not several else None
    what = described(model, shape, scores, checkpoint.head)
    if asked == TENSOR:
        return TaskDecision(TENSOR, f"task tensor, given by --task: {what}")
    if asked is not None:
        check_fits(asked, scores, checkpoint.head, what)
        return TaskDecision(asked, "" if asked == CLASSIFICATION else f"task {asked}, given by --task: {what}")
    if scores is None:
        return TaskDecision(TENSOR, f"task tensor: {what}")
    if scores == 1:
        return one_score(checkpoint.head, what)
    if checkpoint.head == "sigmoid":
        return TaskDecision(MULTILABEL, f"task multilabel: {what}; --task classification if only one of them is true")
    return TaskDecision(CLASSIFICATION)


def one_score(head: str, what: str) -> TaskDecision:
    if head == "sigmoid":
        return TaskDecision(BINARY, f"task binary: {what}")
    if head in COUNTS:
        return TaskDecision(TENSOR, f"task tensor: {what}")
    if head == "softmax":
        raise InputError(
            f"{what}, which is always 1; end the model in Dense(1, activation='sigmoid') and train it again"
        )
    raise InputError(
        f"{what}, which does not show what it means; say --task binary if it is the logit of two classes, or "
        "--task tensor if it is a number, as of a regression"
    )


def check_fits(task: str, scores: int | None, head: str, what: str) -> None:
    """Raises InputError when a model with `scores` outputs cannot have this task."""
    if scores is None:
        raise InputError(
            f"--task {task}: {what}; expected one input, and one output of shape (batch, n); say --task tensor"
        )
    if task == BINARY and scores != 1:
        raise InputError(f"--task binary: {what}; expected one output; with two, say --task classification")
    if task == CLASSIFICATION and scores == 1:
        raise InputError(
            f"--task classification: {what}, so that it would answer with the same class for ever; say --task binary "
            "for two classes, or --task tensor for a number"
        )
    if task != CLASSIFICATION and head == "softmax":
        raise InputError(f"--task {task}: {what}, whose probabilities sum to 1; say --task classification")


def described(model: keras.Model, shape: tuple[int, ...], scores: int | None, head: str) -> str:
    if len(model.inputs) > 1 or len(model.outputs) > 1:
        return f"the model has {len(model.inputs)} inputs and {len(model.outputs)} outputs"
    if scores is None:
        return f"the model answers with an array of shape {shape}"
    kind = "linear outputs" if head == "linear" else f"{head} outputs"
    return f"the model ends in {'one' if scores == 1 else scores} {kind[:-1] if scores == 1 else kind}"


def thresholds_for(task: str, labels: Sequence[str], given: tuple[float, ...]) -> tuple[float, ...]:
    """The thresholds of a contract; empty for the defaults. Raises InputError for others than fit the task."""
    wanted = {BINARY: 1, MULTILABEL: len(labels)}.get(task, 0)
    if given and not wanted:
        raise InputError(f"--threshold is for the tasks binary and multilabel, and the task is {task}; leave it out")
    if len(given) not in (0, 1, wanted):
        raise InputError(f"--threshold has {len(given)} values for {wanted} labels; give one for all, or one for each")
    if not all(0 < value < 1 for value in given):
        raise InputError(
            f"--threshold is {', '.join(f'{value:g}' for value in given)}; expected values between 0 and 1"
        )
    return given * wanted if len(given) == 1 else given


def is_image(model: keras.Model, asked: str | None) -> bool:
    """Whether the model takes an image: three axes, or two of the same length, unless the user says what it is.

    Raises InputError when it cannot be an image.
    """
    shape = tuple(model.inputs[0].shape)[1:]
    able = len(model.inputs) == 1 and len(shape) in (1, 2, 3)
    if asked == IMAGE and not able:
        found = f"{len(model.inputs)} inputs" if len(model.inputs) > 1 else f"an input of shape {shape}"
        raise InputError(f"--input image: the model has {found}; expected one of shape (height, width, channels)")
    if asked is not None:
        return asked == IMAGE
    return able and looks_like_image(shape)


def looks_like_image(shape: tuple[int, ...]) -> bool:
    return len(shape) == 3 or (len(shape) == 2 and shape[0] == shape[1])


def options_of(contract: Contract) -> dict[str, str]:
    """The options by which another export gets the task and the input of this contract: name -> value."""
    found = {"task": contract.task} if contract.task != CLASSIFICATION else {}
    if any(value != THRESHOLD for value in contract.thresholds):
        found["threshold"] = ",".join(map(repr, contract.thresholds))
    image = contract.dtype == "uint8"
    if len(contract.inputs) < 2 and looks_like_image(contract.input_shape) != image:
        found["input"] = IMAGE if image else NUMBERS
    return found


def tensors_of(checkpoint: Checkpoint) -> tuple[tuple[NamedTensor, ...], tuple[NamedTensor, ...]]:
    """The model's inputs and outputs, in its order, by the names that their layers have in its file."""
    model = checkpoint.model
    return tuple(named(tensors, checkpoint) for tensors in (model.inputs, model.outputs))  # type: ignore[return-value]


def named(tensors: Sequence[keras.KerasTensor], checkpoint: Checkpoint) -> tuple[NamedTensor, ...]:
    found: dict[str, NamedTensor] = {}
    for tensor in tensors:
        name = checkpoint.shown_name(tensor._keras_history.operation.name)
        count = 1
        while name in found:  # a layer with several outputs
            name = f"{name.removesuffix(f'_{count - 1}')}_{count}"
            count += 1
        found[name] = NamedTensor(name, tuple(tensor.shape)[1:])
    return tuple(found.values())
