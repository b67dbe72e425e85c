"""What an artifact's own way from an image file to the model costs: its decoder and its resize, each against Python's.

The web form brings images to the model's size by its own code, and a browser decodes them. Here the module gets the
pixels that Pillow decodes, so what differs is the resize. The golden photos have the pixels of the export: where those
differ from what Python reads from the same file now, this Pillow decodes or resizes otherwise than the export's.
"""

from __future__ import annotations

import hashlib
import shutil
import struct
import subprocess
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.errors import ArtifactError, FmnistEdgeError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.images import AspectWarning, eight_bits, read_image
from fmnist_edge.runtime.polarity import Polarity
from fmnist_edge.runtime.tasks import MULTILABEL, decide, probabilities

__all__ = ["FilesReport", "compare_files"]

RUNNER = Path(__file__).with_name("image_runner.mjs")
MOST_FILES = 100  # of the evaluation images
MOST_PIXELS = 1 << 22  # of a file; larger ones are left out
TIMEOUT_S = 120


@dataclass(frozen=True)
class FilesReport:
    """The artifact's answers from image files against Python's from the same files.

    Attributes:
        files: how many were compared: the golden photos and the evaluation images that are files.
        left_out: files that are too large, or have transparent pixels, which a page asks about.
        resize_differs: files whose pixels are not the same after the artifact's own resize.
        largest_difference: of a pixel, in levels of 255.
        scores_differ, classes_differ: files whose scores, and whose top class, are not the same.
        export_differs: golden photos whose pixels Python now reads otherwise than at the export: another decoder or
            another resize of Pillow.
    """

    files: int
    left_out: int
    resize_differs: int
    largest_difference: int
    scores_differ: int
    classes_differ: int
    export_differs: int

    @property
    def line(self) -> str:
        """One line for a reader."""
        told = f"from {self.files} image files"
        if not (self.resize_differs or self.export_differs):
            told += ", its resize gives Python's pixels and scores in all"
        else:
            told += (
                f", its resize gives other pixels in {self.resize_differs} (by up to {self.largest_difference}), other "
                f"scores in {self.scores_differ}, another class in {self.classes_differ}; this Pillow reads "
                f"{self.export_differs} golden photos otherwise than the export's"
            )
        return told + (f"; {self.left_out} left out, too large or transparent" if self.left_out else "")

    def as_dict(self) -> JsonObject:
        return asdict(self)


def compare_files(artifact: Artifact, classifier: Classifier, files: Sequence[Path]) -> FilesReport | None:
    """Compare on the artifact's golden photos and on up to MOST_FILES of `files`, evenly spaced.

    None for an artifact that has no resize of its own, and where there is no file. Raises ArtifactError when the module
    fails.
    """
    node = shutil.which("node") or shutil.which("nodejs")
    if artifact.format != "web" or node is None:
        return None
    photos = photos_of(artifact)
    chosen = [files[i] for i in np.unique(np.linspace(0, len(files) - 1, MOST_FILES).astype(int))] if files else []
    taken: list[tuple[Path, np.ndarray]] = []
    paths = [*photos, *chosen]
    for path in paths:
        pixels = decoded(path)
        if pixels is not None:
            taken.append((path, pixels))
    if not taken:
        return None
    expected = np.stack([read_pixels(path, artifact) for path, _ in taken])
    found = resized_by_module(node, artifact, [pixels for _, pixels in taken])
    differ = (found != expected).reshape(len(taken), -1)
    ours, theirs = classifier.scores(expected), classifier.scores(found)
    polarity = Polarity(artifact.contract)
    pairs = [(photos[path], image) for (path, _), image in zip(taken, expected, strict=True) if path in photos]
    return FilesReport(
        files=len(taken),
        left_out=len(paths) - len(taken),
        resize_differs=int(differ.any(axis=1).sum()),
        largest_difference=int(np.abs(found.astype(int) - expected).max()),
        scores_differ=int((ours != theirs).any(axis=1).sum()),
        classes_differ=int((answers(ours, artifact) != answers(theirs, artifact)).any(axis=1).sum()),
        export_differs=sum(then != sha256(polarity.apply(image[None], "auto", 1)) for then, image in pairs),
    )


def answers(scores: np.ndarray, artifact: Artifact) -> np.ndarray:
    """The answer to each image: (n, 1) indices, or for a multilabel model (n, labels), whether each label is there."""
    contract = artifact.contract
    rows = probabilities(scores, contract)
    return rows > np.asarray(contract.thresholds) if contract.task == MULTILABEL else decide(rows, contract)[:, None]


def photos_of(artifact: Artifact) -> dict[Path, str]:
    """Golden photo -> the SHA-256 of its pixels at the export. Raises ArtifactError for a damaged section."""
    try:
        section: Any = artifact.manifest.document.get("photos") or {"images": []}
        names = {entry["file"]: str(entry["pixels_sha256"]) for entry in section["images"]}
        if not all(name == Path(name).name for name in names):
            raise ValueError("a file outside the folder")
    except (TypeError, KeyError, ValueError, AttributeError):
        raise ArtifactError(f"{artifact.path}: its manifest's photos are damaged; export it again") from None
    return {artifact.path / name: digest for name, digest in names.items()}


def decoded(path: Path) -> np.ndarray | None:
    """Pillow's pixels of a file, uint8 (height, width, 4), upright; None for one that is not compared."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            picture = eight_bits(ImageOps.exif_transpose(image)).convert("RGBA")
    except Exception as error:  # Pillow raises anything
        raise ArtifactError(f"{path}: not a readable image ({type(error).__name__}); export the model again") from None
    return np.asarray(picture) if picture.getchannel("A").getextrema() == (255, 255) else None


def read_pixels(path: Path, artifact: Artifact) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AspectWarning)
        return read_image(path, *artifact.contract.image_form)


def resized_by_module(node: str, artifact: Artifact, images: Sequence[np.ndarray]) -> np.ndarray:
    """What the folder's WebAssembly makes of RGBA images: uint8 (n, *input_shape)."""
    request = b"".join(struct.pack("<2i", image.shape[1], image.shape[0]) + image.tobytes() for image in images)
    shape = (len(images), *artifact.contract.input_shape)
    command = [node, str(RUNNER), str(artifact.path.resolve())]
    try:
        ended = subprocess.run(command, input=request, capture_output=True, timeout=TIMEOUT_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise FmnistEdgeError(f"{artifact.path}: its resize does not run ({type(error).__name__})") from None
    if ended.returncode or len(ended.stdout) != np.prod(shape):
        raise ArtifactError(f"{artifact.path}: its resize fails in Node (code {ended.returncode}); export it again")
    return np.frombuffer(ended.stdout, np.uint8).reshape(shape)


def sha256(pixels: np.ndarray) -> str:
    return hashlib.sha256(pixels.tobytes()).hexdigest()
