"""Scores that an exported folder of C gives on another machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.parity.c_form.run import run
from fmnist_edge.parity.c_form.targets import Target
from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.engines.c import check_manifest, name_of
from fmnist_edge.runtime.folder import read_folder, unpack
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.runtime.runner import Runner, model_input

__all__ = ["Prepared", "prepared", "scores_on", "tflite_beside"]

ENGINE = "c"  # compiles the same sources here: it has the scales, and prepares the images


@dataclass(frozen=True)
class Prepared:
    """A folder of C with images for it.

    Attributes:
        name: what the names of its functions begin with.
        inputs: int8 (n, ...).
        output: of the model; it has the scale of the scores.
    """

    files: dict[str, bytes]
    name: str
    inputs: np.ndarray
    output: TensorSpec
    classes: int


def prepared(path: str, images: np.ndarray) -> Prepared:
    """The folder at `path`, and its inputs for `images`, uint8 or float (n, *input_shape).

    Raises ArtifactError for a folder that is not as it was exported, UnavailableError without a compiler for this
    machine.
    """
    content = read_folder(path)
    check_manifest(path, content)
    files = unpack(content)
    with Classifier.load(path, engine=ENGINE) as classifier:
        engine, contract = classifier.engine, classifier.contract
        batch, _ = model_input(images, contract)
        inputs = Runner(engine, contract).prepare(batch)
        return Prepared(files, name_of(path, files), inputs, engine.output, contract.score_count)


def scores_on(target: Target, path: str, images: np.ndarray) -> tuple[np.ndarray, str]:
    """(scores, float32 (n, classes); what computed them) of `images`, uint8 or float (n, *input_shape).

    Raises UnavailableError for a compiler or an emulator that is not here, ArtifactError for a folder that is not as
    it was exported, and when compiling or running fails.
    """
    form = prepared(path, images)
    answers = run(target, form.files, form.name, form.inputs, form.classes)
    return form.output.dequantize(answers.scores), f"C for {answers.back_end}"


def tflite_beside(folder: Path, model_sha256: str) -> Path:
    """The `.tflite` file beside a folder of C, of the same name and from the same Keras model.

    It may have metadata for tools that the C was made without, so its hash tells nothing. Raises ArtifactError when it
    is missing or was exported from another model.
    """
    path = folder.with_suffix(".tflite")
    try:
        found = Manifest.read(path).require_model().sha256
    except ArtifactError:
        found = None
    if found != model_sha256 or not path.is_file():
        raise ArtifactError(
            f"there is no {path.name} from the same model beside the folder; run: fmnist-edge export MODEL --format "
            f"tflite --precision {path.stem}"
        )
    return path
