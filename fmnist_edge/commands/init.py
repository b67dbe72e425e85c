"""`fmnist-edge init`: look at a model and its data, say what that tells, and write a project file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands.command import Group, Help
from fmnist_edge.commands.export_input import add_data
from fmnist_edge.errors import InputError
from fmnist_edge.jobs import project

if TYPE_CHECKING:
    from fmnist_edge.checkpoints import Checkpoint

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.EXPORT,
    order=0,
    summary="look at a model and its images, and write a project file",
    description="""
        Reads a Keras model and the names of its training images, and prints what they tell: how pixels become the
        model's input, what its output is, and what the classes are called. What they do not tell is printed as a
        question, with the option of `export` that answers it. Nothing is converted, and nothing from the model file is
        executed.

        Then it writes a project file, which `export` takes in place of a model: `export mine.toml`. `export` keeps such
        a file beside the artifacts, too. `check`, `explain`, `matrix` and `bench` read it there. It can be edited by
        hand.
        """,
    examples=(
        ("A model, and its images in a folder per class", "init mine.keras --train data/train --test data/test"),
        ("What an array of images and names of your own make", "init mine.keras --train x.npy --labels names.txt"),
    ),
    extra="export",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to look at")
    what.add_argument("model", metavar="MODEL", help="A .keras, .h5 or SavedModel.")
    what.add_argument("--train", dest="calibration", metavar="PATH", help="Training images, as `export` takes.")
    what.add_argument(
        "--labels", type=Path, metavar="FILE.txt", help="Names of the classes. Default: those of the training folders."
    )
    add_data(what)
    parser.add_argument_group("Output").add_argument(
        "--out", type=Path, metavar="FILE.toml", help="Default: <model>.toml. A file that is there is left alone."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge import checkpoints

    name, path = checkpoints.find(Path(options.model))
    out = options.out or Path(f"{name}.toml")
    labels = out.with_name(f"{out.stem}_labels.txt")
    for file in (out, labels):
        if file.exists():
            raise InputError(f"{file}: is there already, and is left alone; remove it, or name another with --out")
    for option, given in (("--train", options.calibration), ("--labels", options.labels)):
        if given is not None and not Path(given).exists():
            raise InputError(f"{option} {given}: no such file; expected a file or folder of your own")
    project.facts_in(options, path, out)  # refuses what cannot be written, before the model is loaded
    checkpoint = checkpoints.load(path)
    known, questions = look_at(checkpoint, options)
    print(f"{path}: {shape_text(checkpoint)}")
    for line in known:
        print(f"- {line}")
    for question in questions:
        print(f"? {question}")
    write(options, path, out, labels, classes_of(checkpoint))


def write(options: argparse.Namespace, model: Path, out: Path, labels: Path, classes: int) -> None:
    """Write the project file, and the names of the training folders if they are the classes."""
    from fmnist_edge.files import write_atomic

    names = folders_in(options.calibration)
    written = str(out)
    if options.labels is None and names is not None and len(names) == classes:
        write_atomic(labels, "".join(f"{name}\n" for name in names))
        options.labels, written = labels, f"{out} and {labels}"
    project.facts_in(options, model, out).write()
    print(f"\nwrote {written}; next: fmnist-edge export {out}")


def look_at(checkpoint: Checkpoint, options: argparse.Namespace) -> tuple[list[str], list[str]]:
    """What model and images tell, and what they leave open, one line each."""
    from fmnist_edge.exporters.contracts import preprocessing_for

    decision = preprocessing_for(checkpoint)
    known, questions = output_of(checkpoint)
    known.insert(0, decision.reason)
    if decision.source == "default" and not decision.warnings:
        questions.insert(0, "Was it trained on pixels / 255? Else say --preprocess, or --scale, --mean and --std.")
    questions = [f"Is that right? {warning}" for warning in decision.warnings] + questions
    classes, names = classes_of(checkpoint), folders_in(options.calibration)
    if options.labels is None and names is not None and len(names) == classes:
        known.append(
            f"its classes are called {', '.join(names)}: the {classes} folders in {options.calibration}, sorted"
        )
        questions.append("Is that the order of the outputs? Keras's image_dataset_from_directory sorts so.")
    return known, questions + about_data(options, names, classes)


def classes_of(checkpoint: Checkpoint) -> int:
    """How many labels the model chooses among; 0 if its outputs are numbers."""
    from fmnist_edge.exporters.tasks import task_of
    from fmnist_edge.runtime.tasks import BINARY, TENSOR

    try:
        task = task_of(checkpoint).task
    except InputError:
        return 2  # a logit, if it is none of a number
    if task == TENSOR:
        return 0
    return 2 if task == BINARY else int(checkpoint.model.outputs[0].shape[-1])


def shape_text(checkpoint: Checkpoint) -> str:
    if len(checkpoint.model.inputs) > 1:
        shapes = " and ".join(str(tuple(tensor.shape)[1:]) for tensor in checkpoint.model.inputs)
        return f"inputs {shapes}, {checkpoint.model.count_params():,} parameters"
    shape = checkpoint.model.inputs[0].shape[1:]
    kind = {1: " (grey)", 3: " (RGB)"}.get(shape[-1], "") if len(shape) == 3 else ""
    return f"input {' x '.join(map(str, shape))}{kind}, {checkpoint.model.count_params():,} parameters"


def output_of(checkpoint: Checkpoint) -> tuple[list[str], list[str]]:
    """What the model's head tells, and what it leaves open."""
    from fmnist_edge.exporters.tasks import task_of
    from fmnist_edge.runtime.tasks import BINARY

    try:
        found = task_of(checkpoint)
    except InputError as error:
        return [], [f"What is the output? {error}"]
    if found.task == BINARY:
        return [found.reason], [
            "Which of the two classes does an output near 1 mean? --positive NAME; else the second."
        ]
    if found.reason:
        return [found.reason], []
    classes = classes_of(checkpoint)
    if checkpoint.output == "probabilities":
        return [f"output is {classes} probabilities: the model ends in a softmax or sigmoid"], []
    return (
        [f"output is {classes} logits: the model does not end in a softmax"],
        ["Does it tell classes apart? Its answers are read as logits, of which the largest wins."],
    )


def folders_in(train: str | None) -> tuple[str, ...] | None:
    """Names of the folders in a folder of images; None for a flat folder or a file."""
    from fmnist_edge.data.files import class_folders

    return class_folders(Path(train)) or None if train is not None and Path(train).is_dir() else None


def about_data(options: argparse.Namespace, names: tuple[str, ...] | None, classes: int) -> list[str]:
    """Questions about images and labels."""
    questions = []
    if options.calibration is None:
        questions.append("Which images was it trained on? int8 needs some: --train DIR.")
    if options.test is None:
        questions.append("Which images test it? `check` needs them: --test DIR.")
    if classes and options.labels is None and names is None:
        questions.append("What are the classes called? --labels FILE.txt, one a line, in the order of the output.")
    if classes and options.labels is None and names is not None and len(names) != classes:
        questions.append(
            f"Why are there {len(names)} folders in {options.calibration} ({', '.join(names[:5])}"
            f"{', …' * (len(names) > 5)}) for {classes} outputs? Their names are not taken as labels; give --labels."
        )
    tests = folders_in(options.test)
    if names is not None and tests is not None and tests != names:
        apart = sorted(set(names) ^ set(tests))
        questions.append(f"Why are these classes only in one of --train and --test: {', '.join(apart[:5])}?")
    return questions
