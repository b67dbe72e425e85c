"""The confidence of a C model: calibrated probabilities, and which answers are unknown, without libm.

An int8 score has 256 values, so every exponential that can occur is in a table. What it computes is in
`fmnist_edge.runtime.confidence`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from fmnist_edge.artifact import Artifact
from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.c.files import fill, template
from fmnist_edge.exporters.c.source import c_name
from fmnist_edge.exporters.c_source import float_literal
from fmnist_edge.files import locked
from fmnist_edge.runtime.confidence import Confidence, logits_of
from fmnist_edge.runtime.folder import read_folder, sha256_of_files, unpack
from fmnist_edge.runtime.manifest import Manifest

__all__ = ["with_confidence"]

LARGEST_POWER = 80.0  # e to this power, and to its negative, are float32


def with_confidence(artifact: Artifact, confidence: Confidence) -> Artifact:
    """Write `<name>_confidence.h` and `.c` into the folder, and the confidence into its manifest.

    The folder has another SHA-256 then. Raises ArtifactError for a folder that is not its manifest's, ExportError for
    scores too far apart for float32.
    """
    added = {name: text.encode() for name, text in confidence_files(artifact.manifest, confidence).items()}
    with locked(artifact.path.parent, wait=True):
        files = unpack(read_folder(artifact.path))
        if sha256_of_files(files) != artifact.manifest.sha256:
            raise ArtifactError(f"{artifact.path}: differs from its manifest; export the model again")
        files |= added
        sections = {"sha256": sha256_of_files(files), "confidence": confidence.as_dict()}
        return Artifact.write_folder(artifact.path, files, artifact.manifest.with_sections(sections))


def confidence_files(manifest: Manifest, confidence: Confidence) -> dict[str, str]:
    """File name -> text."""
    contract, (output,) = manifest.contract, manifest.outputs
    name = c_name(manifest.require_model().name)
    classes, pixels = len(contract.labels), math.prod(contract.input_shape)
    scores = (np.arange(-128, 128) - (output.zero_point or 0)) * np.float64(output.scale or 1)
    logits = logits_of(scores, contract.output) / confidence.temperature
    if contract.output == "logits":
        powers = logits[0] - logits
        least = np.asarray(confidence.energies or ()) / confidence.temperature - logits[-1]
    else:
        powers, least = logits, np.asarray(())
    if np.abs(powers).max() > LARGEST_POWER or np.abs(least).max(initial=0) > LARGEST_POWER:
        raise ExportError(f"{name}: its scores, by its temperature, are too far apart for float32 in C")
    values = {
        "NAME": name.upper(),
        "name": name,
        "classes": classes,
        "images": confidence.images,
        "powers": float_rows(np.exp(powers)),
        "least_sums": float_rows(np.exp(least) if least.size else np.zeros(classes)),
        "threshold": float_literal(confidence.threshold),
        "least_spread": math.ceil((confidence.contrast * pixels) ** 2),
    }
    return {f"{name}_confidence.{suffix}": fill(template(f"confidence.{suffix}"), **values) for suffix in ("h", "c")}


def float_rows(values: Sequence[float] | np.ndarray) -> str:
    words = [float_literal(float(np.float32(value))) for value in values]
    return "\n".join(f"    {', '.join(words[start : start + 8])}," for start in range(0, len(words), 8))
