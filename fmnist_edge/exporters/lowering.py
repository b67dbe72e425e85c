"""Lower a Keras model: rewrite it into the form that converts best.

In float the model computes the same up to rounding, except for LRN in its fitted form.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ExportError, InputError
from fmnist_edge.exporters.batch_norm import as_depthwise, fold_batch_norm
from fmnist_edge.exporters.clipped_relu import with_plain_clips
from fmnist_edge.exporters.clone import clone_with
from fmnist_edge.exporters.equivalents import equivalents
from fmnist_edge.exporters.lrn import Fit, blocked_layer, fit_layers, fitted_layer, native_layer
from fmnist_edge.exporters.recurrent import unroll
from fmnist_edge.exporters.several import Samples

if TYPE_CHECKING:
    import keras

__all__ = ["Lowered", "lower", "with_fits", "with_lrn"]

LRN_LAYERS = {"blocked": blocked_layer, "native": native_layer}


@dataclass(frozen=True)
class Lowered:
    """A model as the converter gets it, and the fits of its LRN layers by name, if any were fitted."""

    model: keras.Model
    lrn_fits: dict[str, Fit] = field(default_factory=dict)


def lower(
    model: keras.Model, precision: Precision, images: Samples | None = None, keep_float: Collection[str] = ()
) -> Lowered:
    """Prepare a Keras model for the converter; `model` itself does not change.

    Args:
        images: preprocessed calibration images, float32 (n, *input_shape), for precisions that fit LRN.
        keep_float: layers that will compute in float; LRN layers among them are not fitted.
    """
    if not precision.stock:
        found = equivalents(model, FORMATS[precision.format].file.name, precision.calibrated)
        same = [layer for layer in model.layers if isinstance(found.get(layer.name), type(layer))]
        model = clone_with(model, found, {layer.name: layer.get_weights() for layer in same})
        model = fold_batch_norm(unroll(model, precision) if precision.calibrated else model)
        if precision.calibrated:
            model = with_plain_clips(as_depthwise(model))
    if isinstance(images, tuple):
        return several_with_lrn(model, precision)
    return with_lrn(model, precision.lrn, images, keep_float)


def several_with_lrn(model: keras.Model, precision: Precision) -> Lowered:
    """Raises ExportError for an LRN that would be fitted: fits are measured on images, and there are several inputs."""
    from fmnist_edge.models.layers import LocalResponseNormalization

    if precision.lrn != "fitted":
        return with_lrn(model, precision.lrn)
    found = [layer.name for layer in model.layers if isinstance(layer, LocalResponseNormalization)]
    if found:
        raise ExportError(
            f"{precision.format} {precision.name} fits {', '.join(found)} to the images of a model with one input, and "
            f"this one has {len(model.inputs)}; choose another precision"
        )
    return Lowered(model)


def with_lrn(
    model: keras.Model, lrn: str, images: np.ndarray | None = None, keep_float: Collection[str] = ()
) -> Lowered:
    """Return `model` with every LRN layer in the form `lrn`; a model without LRN layers is returned unchanged.

    Args:
        lrn: "composed" (the layer's own ops), "blocked" (the same with fewer weights), "native" (one LRN op), or
            "fitted" (sigmoids, except for layers in `keep_float`). See `exporters.lrn`.
        images: preprocessed, float32 (n, *input_shape); "fitted" needs them.

    Raises InputError for another form, and for "fitted" without images.
    """
    from fmnist_edge.models.layers import LocalResponseNormalization

    layers = [layer for layer in model.layers if isinstance(layer, LocalResponseNormalization)]
    if lrn == "composed":
        return Lowered(model)
    if lrn in LRN_LAYERS:
        return Lowered(clone_with(model, {layer.name: LRN_LAYERS[lrn](layer) for layer in layers}, {}))
    if lrn != "fitted" or images is None:
        raise InputError(f"LRN form is {lrn!r}; expected 'composed', 'blocked', 'native', or 'fitted' with images")
    fits = {name: fit for name, fit in fit_layers(model, images).items() if name not in keep_float}
    return Lowered(with_fits(model, fits), fits)


def with_fits(model: keras.Model, fits: dict[str, Fit]) -> keras.Model:
    """`model` with the LRN layers named in `fits` replaced by their "fitted" form."""
    return clone_with(model, {name: fitted_layer(model.get_layer(name), fit) for name, fit in fits.items()}, {})
