"""What a user gives the commands beside a model: images, labels, calibration; with Fashion-MNIST as the default.

A model that takes (28, 28, 1) and answers 10 classes is taken for a Fashion-MNIST model unless told otherwise.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge import data
from fmnist_edge.check import Evaluation
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.export.pipeline import Calibration
from fmnist_edge.recovery.tuned import Judge
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.images import read_image
from fmnist_edge.runtime.preprocess import Preprocessing, as_batch

__all__ = ["calibration_for", "contract_for", "evaluation_for", "judge_for"]

CALIBRATION_IMAGES = 500
SEED = 0  # of their selection
JUDGES = 5000
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg")


def contract_for(
    checkpoint: Checkpoint,
    preprocessing: Preprocessing,
    labels: Path | None,
    polarity: str | None = None,
    resize: str = "bilinear",
) -> Contract:
    """The contract of an export: shapes from the model, labels from a text file or the default.

    `polarity`: of the images it was trained on, "either" for none; None takes Fashion-MNIST's for its models.
    """
    shape = tuple(checkpoint.model.input_shape[1:])
    classes = checkpoint.model.output_shape[-1]
    if polarity is None:
        polarity = data.POLARITY if labels is None and is_fashion_mnist(shape, classes) else "either"
    return Contract(
        shape,
        checkpoint.output,
        class_names(labels, shape, classes),
        preprocessing,
        polarity=None if polarity == "either" else polarity,
        resize=resize,
    )


def class_names(file: Path | None, shape: tuple[int, ...], classes: int) -> tuple[str, ...]:
    if file is None:
        return data.LABELS if is_fashion_mnist(shape, classes) else tuple(f"class {i}" for i in range(classes))
    try:
        names = tuple(line.strip() for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    except (OSError, ValueError) as error:
        raise FileError(f"{file}: not a readable text file ({one_line(error, 80)})") from None
    if len(names) != classes:
        raise InputError(f"{file}: {len(names)} labels for a model of {classes} classes; expected one a line")
    return names


def is_fashion_mnist(shape: tuple[int, ...], classes: int) -> bool:
    return (shape, classes) == ((28, 28, 1), len(data.LABELS))


def calibration_for(
    contract: Contract, images: str | None, folder: str | None, *, count: int = CALIBRATION_IMAGES, seed: int = SEED
) -> Calibration | None:
    """The user's `.npy` or folder of images, or `count` of Fashion-MNIST's training split; None where neither fits."""
    if images is not None:
        shape = contract.input_shape
        array = read_folder(images, shape) if Path(images).is_dir() else read_images(images, shape)
        return Calibration(array, Path(images).name)
    if not is_fashion_mnist(contract.input_shape, len(contract.labels)):
        return None
    source = f"Fashion-MNIST training split, {count} class-balanced images, seed {seed}"
    return Calibration(data.calibration_images(count, folder, seed), source, seed)


def evaluation_for(
    images: str | None, labels: str | None, limit: int | None, folder: str | None, shape: tuple[int, ...]
) -> Evaluation:
    """The user's `.npy` images and labels, or the 10,000 test images; the first `limit` of them.

    `shape`: of one image, as the first artifact takes it.
    """
    if images is None:
        if labels is not None:
            raise InputError("--labels needs --images: it names the classes of those images")
        test = data.load("test", folder)
        # The first few images may well be harder than all of them, about which the published accuracy is.
        whole = limit is None or limit >= len(test)
        return Evaluation(test.images[:limit], test.labels[:limit], "the Fashion-MNIST test set", published=whole)
    array = read_images(images, shape)
    classes = None if labels is None else read_array(labels)
    if classes is not None and classes.dtype.kind not in "iu":
        raise InputError(f"{labels}: dtype is {classes.dtype}; expected integer class indices")
    if classes is not None and classes.shape != array.shape[:1]:
        raise InputError(f"{labels}: shape is {classes.shape} for {len(array):,} images; expected ({len(array)},)")
    return Evaluation(array[:limit], None if classes is None else classes[:limit], Path(images).name, published=False)


def judge_for(contract: Contract, calibration: Calibration, folder: str | None, *, own: bool) -> Judge:
    """What decides about a remedy for lost accuracy: validation images for a Fashion-MNIST model, which are no test
    images; of the user's `own`, every other calibration image, with the Keras model's answers for labels."""
    if not own and is_fashion_mnist(contract.input_shape, len(contract.labels)):
        fitted, validation = data.train_and_validation(60_000, JUDGES, folder)
        source = f"the last {JUDGES:,} images of Fashion-MNIST's training set"
        return Judge(validation.images, validation.labels, fitted.images[:JUDGES], source)
    images = calibration.images
    if len(images) < 4:
        raise InputError(f"{calibration.source}: {len(images)} images; winning accuracy back takes some hundred")
    return Judge(images[1::2], None, images[::2], f"every other of {calibration.source}, as the Keras model answers")


def read_folder(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """Every PNG and JPEG in a folder and below it, by name: uint8 (n, *shape), resized where need be."""
    files = [file for file in sorted(Path(path).rglob("*")) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise FileError(f"{path}: no {', '.join(IMAGE_SUFFIXES)} file in it; expected calibration images")
    return np.stack([read_image(file, shape) for file in files])


def read_images(path: str, shape: tuple[int, ...]) -> np.ndarray:
    """A `.npy` file of images as (n, *shape), n = 1 for a single one."""
    try:
        return as_batch(read_array(path), shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def read_array(path: str) -> np.ndarray:
    """A `.npy` file of at least one axis, never unpickled."""
    try:
        with open(path, "rb") as file:
            array = np.load(file, allow_pickle=False)
    except Exception as error:  # a damaged file makes it raise BadZipFile, TokenError, MemoryError and more
        raise FileError(f"{path}: not a readable .npy file ({one_line(error, 100)})") from None
    if not isinstance(array, np.ndarray):
        raise FileError(f"{path}: an archive of arrays; expected one array saved with numpy.save")
    if not array.ndim:
        raise FileError(f"{path}: a single {array.dtype}; expected an array of several")
    return array
