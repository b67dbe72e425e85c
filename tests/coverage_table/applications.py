"""keras.applications, the smallest of each family: float parity, and how often int8 agrees.

Weights are random: nothing has been trained to stand rounding, and a deep network amplifies it. So int8 is held to what
the network keeps when Keras simulates int8. What is reported is the share of images with the same top class, and the
correlation of the scores over all images and classes.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from coverage_table.case import Case, images_for
from coverage_table.judge import Bound, Rounded, Verdict, judged, refusal
from coverage_table.run import Row, compiled, in_child
from fmnist_edge.catalog.precisions import Precision, select
from fmnist_edge.exporters.recovery.simulate import activation_ranges, simulate_int8
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = ["APPLICATIONS", "Application", "application_precisions", "run_application"]

CLASSES = 7
BOUND_S = 1200  # for one precision of one network
FLOAT = Bound(1e-3, 1e-3)  # a hundred layers add up what float32 rounds
MARGIN = 0.2  # by how much scores may correlate less with Keras's than those of int8 simulated in Keras
FAMILIES = {
    "ConvNeXtTiny": 32, "DenseNet121": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "InceptionResNetV2": 75,
    "InceptionV3": 75, "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Large": 32, "MobileNetV3Small": 32,
    "NASNetMobile": 32, "ResNet50": 32, "ResNet50V2": 32, "VGG16": 32, "Xception": 71,
}  # fmt: skip


@dataclass(frozen=True)
class Application:
    """A network of keras.applications, and the side of its smallest square image."""

    name: str
    size: int

    @property
    def id(self) -> str:
        return f"applications/{self.name}/{self.size}x{self.size}"


APPLICATIONS = [Application(name, size) for name, size in FAMILIES.items()]


def application_precisions() -> list[Precision]:
    return [item for item in select("all") if item.name in ("float32", "int8")]


def run_application(application: Application, wanted: Sequence[Precision]) -> list[Row]:
    """A row for each precision, each in a child of its own: the networks are large."""
    rows = []
    for precision in wanted:
        found, ending = in_child(lambda write, item=precision: attempt(application, item, write), BOUND_S)
        rows += found or [row_of(application, precision, ending)]
    return rows


def row_of(application: Application, precision: Precision, verdict: Verdict) -> Row:
    return {"case": application.id, "format": precision.format, "precision": precision.name, **asdict(verdict)}


def attempt(application: Application, precision: Precision, write: Callable[[Row], None]) -> None:
    import keras

    from fmnist_edge import checkpoints

    keras.utils.set_random_seed(0)
    shape = (application.size, application.size, 3)
    build = getattr(keras.applications, application.name)
    model = build(input_shape=shape, weights=None, classes=CLASSES, classifier_activation=None)
    pixels = images_for(Case("applications", application.name, "", lambda x: x, shape))
    normalise(model, pixels)
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-coverage-") as folder:
        model.save(Path(folder) / "model.keras")
        checkpoint = checkpoints.load(Path(folder) / "model.keras")
        write(row_of(application, precision, compared(checkpoint, precision, pixels, Path(folder))))


def normalise(model: Any, pixels: np.ndarray) -> None:
    """Give each BatchNormalization the statistics of these images. As built, MobileNet's answers are 1e-20."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.momentum = 0.0
    model(pixels.astype(np.float32), training=True)


def compared(checkpoint: Any, precision: Precision, pixels: np.ndarray, folder: Path) -> Verdict:
    from fmnist_edge.exporters.calibration_images import Calibration
    from fmnist_edge.exporters.contracts import contract_for
    from fmnist_edge.exporters.pipeline import export
    from fmnist_edge.runtime.classifier import Classifier

    preprocessing = Preprocessing(1.0)  # most of these networks take 0..255 and scale it themselves
    expected = compiled(checkpoint.model, pixels.shape[1:])(preprocessing.apply(pixels, pixels.shape[1:]))
    try:
        contract = contract_for(checkpoint, preprocessing, None, "either")
        calibration = Calibration(pixels, "images of the case")
        artifact = export(checkpoint, precision, contract, folder, calibration=calibration, golden_images=pixels[:2])
        with Classifier.load(artifact.path, threads=1) as classify:
            scores = classify.scores(pixels)
    except Exception as error:
        return refusal(error)
    if precision.name == "float32":
        nothing = np.zeros_like(expected)
        return judged(scores, Rounded(expected, nothing, nothing, nothing), FLOAT)
    agreement = float((scores.argmax(1) == expected.argmax(1)).mean())
    found, simulated = correlation(scores, expected), correlation(rounded(checkpoint.model, pixels), expected)
    detail = f"{agreement:.0%} agree, correlation {found:.2f} (simulated {simulated:.2f})"
    return Verdict("within" if found >= simulated - MARGIN else "wrong", detail)


def rounded(model: Any, pixels: np.ndarray) -> np.ndarray:
    """The scores of int8 simulated in Keras."""
    images = pixels.astype(np.float32)
    return np.asarray(simulate_int8(model, activation_ranges(model, images))(images, training=False))


def correlation(scores: np.ndarray, expected: np.ndarray) -> float:
    return float(np.corrcoef(scores.ravel(), expected.ravel())[0, 1])
