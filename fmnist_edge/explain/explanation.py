"""Explain an artifact: compare its layers with those of the Keras model it was made from, worst first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision, select
from fmnist_edge.checkpoints import Checkpoint
from fmnist_edge.errors import ArtifactError, FmnistEdgeError, InputError, one_line
from fmnist_edge.explain.graph import LayerGraph
from fmnist_edge.explain.layers import LayerReport, Progress, compare_layers
from fmnist_edge.explain.matching import Matching, match
from fmnist_edge.explain.probe import Probe
from fmnist_edge.exporters.batch_norm import fold_batch_norm
from fmnist_edge.exporters.exporter import check_room_for
from fmnist_edge.exporters.lowering import with_fits, with_lrn
from fmnist_edge.exporters.lrn import Fit
from fmnist_edge.exporters.recipe import precision_of
from fmnist_edge.parity.check import check_origin
from fmnist_edge.runtime.loading import check_hash, read_whole
from fmnist_edge.runtime.trial import try_load
from fmnist_edge.worker.temporary import temporary_file

if TYPE_CHECKING:
    import keras

__all__ = ["Explanation", "Remedy", "explain", "weakest_layers"]

SCHEMA = 1
MATCHING_IMAGES = 4  # images used to match tensors with layers


@dataclass(frozen=True)
class Remedy:
    """Layers to keep in float together, and the noise at the output, Σ (difference)², that this removes."""

    layers: tuple[str, ...]
    saved: float


@dataclass(frozen=True)
class ConversionSettings:
    """The settings of a conversion besides its precision: images per call (None: any number), LRN fits by layer."""

    batch: int | None
    lrn_fits: dict[str, Fit]


@dataclass(frozen=True)
class Explanation:
    """The result of `explain`.

    Attributes:
        reports: one per tensor of the artifact that is a layer's output, by its name in the graph, in graph order.
        untraced: layers whose output the artifact does not have; the report of a later layer covers them.
        images: number of images that were compared.
    """

    artifact: Artifact
    engine: str
    reports: dict[str, LayerReport]
    untraced: tuple[str, ...]
    images: int

    @property
    def output(self) -> LayerReport:
        return list(self.reports.values())[-1]

    @property
    def by_damage(self) -> list[LayerReport]:
        """The reports by the noise that the layer's own error causes at the output, largest first.

        Layers with values that are not finite come before them in graph order, as their noise is unknown.
        """
        return [report for _, report in self._worst_first]

    @property
    def _worst_first(self) -> list[tuple[str, LayerReport]]:
        return sorted(self.reports.items(), key=lambda item: (not item[1].error.non_finite, -item[1].noise))

    @property
    def remedies(self) -> list[Remedy]:
        """The remedies that remove noise, the most effective first."""
        computed = [name for name, report in self.reports.items() if report.inputs]
        found = [remedy(self.reports, name) for name in computed]
        return sorted((item for item in found if item.layers and item.saved > 0), key=lambda item: -item.saved)

    @property
    def weakest(self) -> list[str]:
        """The layers of all remedies, the most effective first."""
        return list(dict.fromkeys(layer for item in self.remedies for layer in item.layers))

    def share(self, noise: float) -> float:
        """`noise` as a share, 0..1, of the noise that all layers together cause at the output."""
        total = sum(report.noise for report in self.reports.values())
        return noise / total if total else 0.0

    def as_dict(self) -> JsonObject:
        manifest = self.artifact.manifest
        return {
            "schema": SCHEMA,
            "artifact": str(self.artifact.path),
            "sha256": manifest.sha256,
            "model": self.artifact.model,
            "model_sha256": self.artifact.model_sha256,
            "format": precision_of(manifest).format,
            "precision": self.artifact.precision,
            "kept_in_float": list(manifest.keep_float),
            "engine": self.engine,
            "images": self.images,
            "output": self.output.error.as_dict(),
            "remedies": [{"keep_float": list(r.layers), "saved_share": self.share(r.saved)} for r in self.remedies],
            "untraced": list(self.untraced),
            "order": list(self.reports),
            "layers": {
                name: {**r.as_dict(), "noise_share": self.share(r.noise), "saved_share": self.share(r.saved)}
                for name, r in self._worst_first
            },
        }


def remedy(reports: dict[str, LayerReport], name: str) -> Remedy:
    """The remedy for the noise of one layer: keep it in float.

    If most of the noise comes from rounding the layer's output, its readers are kept in float too. The remedy has no
    layers if the layer cannot be kept in float.
    """
    report = reports[name]
    others = readers(reports, name)
    if not report.keepable:
        return Remedy((), 0.0)
    if report.saved >= report.noise / 2 or not others or not all(reports[other].keepable for other in others):
        return Remedy((report.layer,), report.saved)
    return Remedy(
        (report.layer, *(reports[other].layer for other in others)),
        report.noise + sum(reports[other].saved for other in others),
    )


def readers(reports: dict[str, LayerReport], name: str) -> list[str]:
    """Names of the tensors that are computed from a tensor.

    A reader that adds no error, such as pooling, is followed by its own readers, which round its output.
    """
    found = []
    for other in (other for other, report in reports.items() if name in report.inputs):
        found += [other, *(readers(reports, other) if reports[other].own.exact else [])]
    return list(dict.fromkeys(found))


def check_loads(artifact: Artifact) -> None:
    """Raises ArtifactError when the file is not the manifest's, or does not load and run in a child process."""
    check_single(artifact)
    probe_class = FORMATS[recipe_of(artifact).format].probe_class()
    check_hash(artifact.path, read_whole(artifact.path), artifact.manifest.sha256)
    try_load(artifact.path, probe_class.engine)


def check_single(artifact: Artifact) -> None:
    """Raises InputError for a model with several inputs or outputs: noise is followed from one to the other."""
    counts = len(artifact.contract.inputs), len(artifact.contract.outputs)
    if max(counts) > 1:
        raise InputError(
            f"{artifact.path}: it has {counts[0]} inputs and {counts[1]} outputs, and `explain` follows the noise of "
            "layers from one input to one output; `check` shows the error of each output"
        )


@contextmanager
def reading_errors(artifact: Artifact) -> Iterator[None]:
    """Raise ArtifactError for any exception of a library that reads the file.

    Engines can run files that `export` did not write; the layers of such a file may be unreadable.
    """
    try:
        yield
    except FmnistEdgeError:
        raise
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(error, 120)}"
        raise ArtifactError(f"{artifact.path}: its layers cannot be read ({reason}); export the model again") from error


def weakest_layers(artifact: Artifact, checkpoint: Checkpoint, images: np.ndarray) -> list[str]:
    """Names of the layers that rounding hurts most, worst first. Arguments and errors: see `explain`."""
    return explain(artifact, checkpoint, images, progress=lambda *_: None).weakest


def explain(artifact: Artifact, checkpoint: Checkpoint, images: np.ndarray, *, progress: Progress) -> Explanation:
    """Compare `artifact` with the model it was made from, layer by layer.

    Args:
        images: uint8 or float (n, *input_shape), like the calibration images; not those that its accuracy is judged on.
        progress: called with (done, total, what is next).

    Raises ArtifactError when the file does not match its manifest, when the manifest is not one that `export` writes,
    and when the file was made from another model or other weights; InputError when the images do not fit.
    """
    check_single(artifact)
    check_origin(artifact, checkpoint)
    check_weights(artifact)
    check_hash(artifact.path, read_whole(artifact.path), artifact.manifest.sha256)
    prepared = artifact.contract.preprocessing.apply(images, artifact.contract.input_shape)
    recipe, settings = recipe_of(artifact), settings_of(artifact, checkpoint)
    reference = checkpoint.model if recipe.stock else fold_batch_norm(checkpoint.model)
    progress(0, 1, "float32 twin")
    with reading_errors(artifact):
        probe: Probe = FORMATS[recipe.format].probe_class()(str(artifact.path))
    try:
        matching = match_layers(settings, recipe, reference, probe, prepared[:MATCHING_IMAGES])
        graph = LayerGraph(reference)
        with reading_errors(artifact):
            op_layers = FORMATS[recipe.format].exporter().op_layers(artifact.path.read_bytes(), reference)
        reports = compare_layers(graph, probe, matching, op_layers, prepared, progress)
    finally:
        probe.close()
    traced = {*matching.found, *matching.pass_through}
    untraced = tuple(step.layer for name, step in graph.steps.items() if name not in traced)
    return Explanation(artifact, probe.version, reports, untraced, len(prepared))


def match_layers(
    settings: ConversionSettings, recipe: Precision, reference: keras.Model, probe: Probe, sample: np.ndarray
) -> Matching:
    """Find the layers' outputs in the artifact by converting the same model again, to float32."""
    lowered = lower_reference(settings, recipe, reference)
    exporter = FORMATS[recipe.format].exporter()
    check_room_for(lowered)
    content = exporter.convert(lowered, select(recipe.format, ["float32"])[0], settings.batch, None)
    with temporary_file(f"twin.{recipe.format}", content) as path:
        float_twin: Probe = FORMATS[recipe.format].probe_class()(str(path))
    try:
        return match(LayerGraph(lowered), float_twin, probe, sample)
    finally:
        float_twin.close()


def lower_reference(settings: ConversionSettings, recipe: Precision, reference: keras.Model) -> keras.Model:
    """The model in the form that was converted."""
    if recipe.lrn == "fitted":
        return with_fits(reference, settings.lrn_fits)
    return with_lrn(reference, recipe.lrn).model


def check_weights(artifact: Artifact) -> None:
    """Raises ArtifactError when accuracy recovery changed the weights.

    The file's channels are then scaled differently from the model's, so its layers cannot be compared.
    """
    recovery = artifact.manifest.recovery
    if recovery is not None and recovery.weights_changed:
        raise ArtifactError(
            f"{artifact.path}: `export --tune-accuracy` changed its weights ({recovery.rung}), so its "
            "layers cannot be compared with the model's; explain an export without --tune-accuracy"
        )


def recipe_of(artifact: Artifact) -> Precision:
    try:
        return precision_of(artifact.manifest)
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error}") from None


def settings_of(artifact: Artifact, checkpoint: Checkpoint) -> ConversionSettings:
    """Read the conversion settings from the manifest. Raises ArtifactError when they do not fit the model."""
    from fmnist_edge.models.layers import LocalResponseNormalization

    manifest, layers = artifact.manifest, checkpoint.model.layers
    try:
        manifest.require("batch")
        fits = {layer: Fit.from_dict(fit) for layer, fit in manifest.lrn_fits.items()}
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error}") from None
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise damaged_manifest(artifact, f"lrn_fits: {type(error).__name__} at {one_line(error, 80)}") from None
    if not {layer.name for layer in layers}.issuperset(manifest.keep_float):
        raise damaged_manifest(artifact, f"keep_float is {list(manifest.keep_float)!r}, expected layers of the model")
    foreign = fits.keys() - {layer.name for layer in layers if isinstance(layer, LocalResponseNormalization)}
    if foreign:
        raise damaged_manifest(artifact, f"lrn_fits has {', '.join(sorted(foreign))}, not an LRN layer of the model")
    return ConversionSettings(manifest.batch, fits)


def damaged_manifest(artifact: Artifact, what: str) -> ArtifactError:
    return ArtifactError(f"{artifact.path}: its manifest is damaged ({what}); export the model again")
