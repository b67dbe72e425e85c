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
from fmnist_edge.errors import InputError
from fmnist_edge.export.clone import Weights, clone_with
from fmnist_edge.export.equivalents import equivalents, formula_layer
from fmnist_edge.export.lrn import Fit, blocked_layer, fit_layers, fitted_layer, native_layer
from fmnist_edge.export.recurrent import unroll

if TYPE_CHECKING:
    import keras

__all__ = ["Lowered", "fold_batch_norm", "lower", "with_fits", "with_lrn"]

LRN_LAYERS = {"blocked": blocked_layer, "native": native_layer}


@dataclass(frozen=True)
class Lowered:
    """A model as the converter gets it, and the fits of its LRN layers by name, if any were fitted."""

    model: keras.Model
    lrn_fits: dict[str, Fit] = field(default_factory=dict)


def lower(
    model: keras.Model, precision: Precision, images: np.ndarray | None = None, keep_float: Collection[str] = ()
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
    return with_lrn(model, precision.lrn, images, keep_float)


def with_lrn(
    model: keras.Model, lrn: str, images: np.ndarray | None = None, keep_float: Collection[str] = ()
) -> Lowered:
    """Return `model` with every LRN layer in the form `lrn`; a model without LRN layers is returned unchanged.

    Args:
        lrn: "composed" (the layer's own ops), "blocked" (the same with fewer weights), "native" (one LRN op), or
            "fitted" (sigmoids, except for layers in `keep_float`). See `export.lrn`.
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


def fold_batch_norm(model: keras.Model) -> keras.Model:
    """Fold each BatchNorm between Dense(relu) and Dense into these two layers, its scale into the first.

    Converters fold the scale into the second layer. There each input's weights get their own range, and one int8 weight
    scale has to cover them all: measured on tiny_googlenet, that costs 0.5 pp. The first layer has a weight scale for
    each output, so |scale| costs nothing there. ReLU allows the move, as relu(a·x) = a·relu(x) for a > 0, and the
    activations between the layers get unit variance.
    Cf. cross-layer equalisation, Nagel et al. 2019 (arXiv:1906.04721).
    """
    identities: dict[str, keras.layers.Layer] = {}
    weights: Weights = {}
    for norm in model.layers:
        ends = adjacent_dense(norm)
        if ends is None:
            continue
        first, second = ends
        gamma, beta, mean, variance = batch_norm_parameters(norm)
        scale = gamma / np.sqrt(variance + norm.epsilon)
        shift = beta - mean * scale
        kernel1, bias1 = weights_of(first, weights)
        kernel2, bias2 = weights_of(second, weights)
        weights[first.name] = [kernel1 * np.abs(scale), bias1 * np.abs(scale)]
        # NumPy's sum, not BLAS: the last bit of a BLAS product depends on the arrays' memory addresses.
        shift_bias = (shift[:, None].astype(np.float64) * kernel2).sum(axis=0)
        weights[second.name] = [kernel2 * np.sign(scale)[:, None], (bias2 + shift_bias).astype(np.float32)]
        identities[norm.name] = formula_layer(norm.name, lambda x: x)
    return clone_with(model, identities, weights)


def adjacent_dense(norm: keras.layers.Layer) -> tuple[keras.layers.Layer, keras.layers.Layer] | None:
    """The Dense(relu) before and the Dense after a BatchNorm, with only dropout between; None for other patterns."""
    import keras

    layers = keras.layers
    if not isinstance(norm, layers.BatchNormalization):
        return None
    first: keras.layers.Layer = neighbour(norm, "parents")
    second: keras.layers.Layer = neighbour(norm, "children")
    while isinstance(second, layers.Dropout):
        second = neighbour(second, "children")
    if type(first) is not layers.Dense or type(second) is not layers.Dense:
        return None
    fits = first.activation is keras.activations.relu and first.use_bias and second.use_bias
    alone = neighbour(first, "children") is norm and len(second._inbound_nodes) == 1
    return (first, second) if fits and alone and normalizes_last_axis(norm) else None


def normalizes_last_axis(norm: keras.layers.Layer) -> bool:
    """Whether a BatchNormalization normalises the last axis, which holds a kernel's channels."""
    axes = len(norm.input.shape)
    return norm.axis % axes == axes - 1


def neighbour(layer: keras.layers.Layer, side: str) -> keras.layers.Layer | None:
    """The only layer that feeds `layer` (`side` "parents") or reads it ("children"); None for none or several."""
    if side == "parents":
        found = [parent.operation for node in layer._inbound_nodes for parent in node.parent_nodes]
    else:
        found = [node.operation for node in layer._outbound_nodes]
    return found[0] if len(found) == 1 and len(layer._inbound_nodes) == 1 else None


def batch_norm_parameters(norm: keras.layers.Layer) -> tuple[np.ndarray, ...]:
    """gamma, beta, moving mean and moving variance; gamma is 1 and beta is 0 if the layer has none."""
    mean, variance = np.asarray(norm.moving_mean), np.asarray(norm.moving_variance)
    gamma = np.asarray(norm.gamma) if norm.scale else np.ones_like(mean)
    beta = np.asarray(norm.beta) if norm.center else np.zeros_like(mean)
    return gamma, beta, mean, variance


def weights_of(layer: keras.layers.Layer, changed: Weights) -> list[np.ndarray]:
    return changed.get(layer.name) or layer.get_weights()
