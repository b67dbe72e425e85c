"""The forms of local response normalisation: an op of its own, one with fewer weights, and one fitted by sigmoids for
integer arithmetic.

LRN is y = x · (1 + s)^-β with s = Σ x² over neighbouring channels. In int8 there is no LRN kernel, and that of
RSQRT is scalar code. LOGISTIC is a table lookup wherever int8 runs, hence

    (1 + s)^-β  ≈  c0 + Σ ck · sigmoid(ak · s + bk)

with ak in the weights and bk in the bias of the convolution that sums the squares: nothing but CONV_2D, LOGISTIC, MUL
and ADD is left.

An error of that factor counts as much as the x² that it meets, so x² is the weight of the least squares. What int8 will
round (each sigmoid, its argument, the factor) is added to the error, so that the fit prefers sigmoids that survive it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Fit", "Term", "blocked_layer", "fit_inverse_power", "fits_of", "fitted_layer", "native_layer"]

TOLERANCE = 0.03  # relative RMS error of the layer's output at which no further term is added
MOST_TERMS = 3
BINS = 200
LARGEST_SAMPLE = 200_000
DIGITS = 6  # significant, of a fit's parameters: the last bits of a least squares are not the same every time
ROUNDING = 1 / 256 / 12**0.5  # RMS error of rounding to one of 256 levels, in the range that they cover

# An int8 LOGISTIC has the fixed output scale 1/256. Unbounded fits live in the sigmoid's tail and magnify it, where
# it has hardly a step left: as good in float, useless in int8.
LARGEST_SHIFT = 2.0
LARGEST_HEIGHT = 4.0

# Neighbours are summed by a band matrix of C x C weights, or from this many channels on in blocks of BLOCK, by a
# convolution along the channels that has 3 x BLOCK x BLOCK: at 256 channels a fifth of the multiplications.
FEWEST_BLOCKED = 128
BLOCK = 16


@dataclass(frozen=True)
class Term:
    """height · sigmoid(slope · s + shift)"""

    height: float
    slope: float
    shift: float

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        return self.height * sigmoid(self.slope * energy + self.shift)


@dataclass(frozen=True)
class Fit:
    """offset + the sum of `terms`, in place of (bias + s)^-β.

    Attributes:
        rms_error: of the layer's output in float, over calibration images, relative to the RMS of that output.
        max_energy: the largest s among them.
    """

    offset: float
    terms: tuple[Term, ...]
    rms_error: float
    max_energy: float

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        return np.sum([term(energy) for term in self.terms], axis=0) + self.offset

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "terms": [asdict(term) for term in self.terms]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Fit:
        """From what `as_dict` makes; raises KeyError, TypeError or ValueError for anything else."""
        terms = tuple(Term(*(float(term[name]) for name in ("height", "slope", "shift"))) for term in value["terms"])
        return cls(float(value["offset"]), terms, float(value["rms_error"]), float(value["max_energy"]))


def fits_of(model: Any, images: np.ndarray) -> dict[str, Fit]:
    """One fit per LRN layer of a Keras model, by name, for the energies that `images` cause in it.

    Args:
        images: preprocessed, float32 (n, *input_shape).
    """
    import keras

    from fmnist_edge.models.layers import LocalResponseNormalization, band_matrix

    layers = [layer for layer in model.layers if isinstance(layer, LocalResponseNormalization)]
    if not layers:
        return {}
    inputs = keras.Model(model.inputs, [layer.input for layer in layers]).predict(images, batch_size=100, verbose=0)
    inputs = [inputs] if len(layers) == 1 else inputs  # Keras unwraps a list of one
    fits = {}
    for layer, x in zip(layers, inputs, strict=True):
        squares = np.square(x)
        energy = layer.alpha * squares @ band_matrix(x.shape[-1], layer.radius)
        fits[layer.name] = fit_inverse_power(energy.ravel(), squares.ravel(), bias=layer.bias, beta=layer.beta)
    return with_distinct_shifts(fits)


def with_distinct_shifts(fits: dict[str, Fit]) -> dict[str, Fit]:
    """`fits`, where a shift that another term has is moved by some 1e-5 of itself, and there are many at the bound.

    TensorFlow's converter makes one tensor of equal biases, with one scale. For int16x8 that is only one convolution's.
    """
    taken: set[float] = set()

    def moved(term: Term) -> Term:
        while term.shift in taken:
            term = replace(term, shift=rounded(term.shift * (1 - 1e-5)) or -1e-5)
        taken.add(term.shift)
        return term

    return {name: replace(fitted, terms=tuple(map(moved, fitted.terms))) for name, fitted in fits.items()}


def fit_inverse_power(energy: np.ndarray, squares: np.ndarray, *, bias: float = 1.0, beta: float = 0.5) -> Fit:
    """Weighted least squares with as few terms as TOLERANCE needs.

    Args:
        energy: a sample of s >= 0, float (n,).
        squares: x² of each, float (n,): what the factor's error is multiplied by.
    """
    values, weights = histogram(energy / bias, squares)
    found, least = Fit(0.0, (), np.inf, 0.0), np.inf
    for count in range(1, MOST_TERMS + 1):
        for slopes in starts(values, weights, count):
            candidate, cost = fit(values, weights, beta, slopes, float(energy.max()) / bias)
            found, least = (candidate, cost) if cost < least else (found, least)
        if found.rms_error <= TOLERANCE:
            break
    top = bias**-beta
    terms = [Term(rounded(t.height * top), rounded(t.slope / bias), rounded(t.shift)) for t in found.terms]
    return Fit(rounded(found.offset * top), tuple(terms), rounded(found.rms_error), rounded(float(energy.max())))


def histogram(sample: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, share of the weight) of at most BINS classes of the sample with about the same weight each.

    A sample without weight, all of it zero, gets equal weights.
    """
    # Odd: channels come last and are mostly a power of two, of which an even step would only ever meet some.
    step = (len(sample) // LARGEST_SAMPLE) | 1
    sample, squares = sample[::step].astype(np.float64), squares[::step].astype(np.float64)
    weights = squares if squares.any() else np.ones_like(squares)
    order = np.argsort(sample, kind="stable")
    upto = np.cumsum(weights[order])
    classes = np.minimum((upto / upto[-1] * BINS).astype(int), BINS - 1)
    shares = np.bincount(classes, weights[order], BINS)
    sums = np.bincount(classes, weights[order] * sample[order], BINS)
    filled = shares > 0
    return sums[filled] / shares[filled], shares[filled] / upto[-1]


def starts(values: np.ndarray, weights: np.ndarray, count: int) -> list[np.ndarray]:
    """Slopes to start from: spread around that of the mean energy."""
    spread = 4.0 ** (np.arange(count) - (count - 1) / 2)
    mean = max(float(values @ weights), 1e-6)
    return [-middle / mean * spread for middle in (0.1, 0.3, 1.0, 3.0)]


def fit(values: np.ndarray, weights: np.ndarray, beta: float, slopes: np.ndarray, largest: float) -> tuple[Fit, float]:
    """Bounded least squares from `slopes` on, and its cost; parameters are offset, heights, log(-slopes), shifts."""
    from scipy.optimize import least_squares

    count, logs = len(slopes), np.log(-slopes)
    target, root = (1 + values) ** -beta, np.sqrt(weights)

    def parts(parameters: np.ndarray) -> tuple[np.ndarray, ...]:
        """heights (k,), slopes (k,), shifts (k,) and the sigmoids' values (n, k)."""
        heights, logs, shifts = parameters[1:].reshape(3, count)
        return heights, -np.exp(logs), shifts, sigmoid(shifts - np.outer(values, np.exp(logs)))

    def errors(parameters: np.ndarray) -> np.ndarray:
        return root * (parameters[0] + parts(parameters)[3] @ parameters[1 : 1 + count] - target)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        heights, slopes, shifts, curves = parts(parameters)
        steepness = np.sqrt(weights @ np.square(heights * curves * (1 - curves)))
        rounding = [heights, slopes * largest * steepness, [heights @ sigmoid(shifts)]]
        return np.concatenate([errors(parameters), ROUNDING * np.concatenate(rounding)])

    start = np.concatenate([[0.05], np.full(count, target.max()), logs, np.zeros(count)])
    low = np.concatenate([[-2.0], np.zeros(count), logs - 5, np.full(count, -LARGEST_SHIFT)])
    high = np.concatenate([[2.0], np.full(count, LARGEST_HEIGHT), logs + 5, np.full(count, LARGEST_SHIFT)])
    solution = least_squares(residuals, start, bounds=(low, high), x_scale="jac", max_nfev=200)
    heights, found, shifts, _ = parts(solution.x)
    terms = tuple(Term(*map(float, term)) for term in zip(heights, found, shifts, strict=True))
    relative = np.linalg.norm(errors(solution.x)) / np.linalg.norm(root * target)
    return Fit(float(solution.x[0]), terms, float(relative), 0.0), float(solution.cost)


def sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # far out, exp(-x) is infinity and the answer 0
        return 1 / (1 + np.exp(-x))


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def fitted_layer(layer: Any, fitted: Fit) -> Any:
    """A layer that computes `fitted` in the place of an LRN layer."""
    import keras
    from keras import ops

    class FittedLRN(keras.layers.Layer):
        def call(self, x):
            parts, kernel = in_parts(x, layer)
            squares = parts * parts  # ops.square would become SQUARE, of which there is no int8 kernel
            factor: Any = np.float32(fitted.offset)
            for term in fitted.terms:
                energy = summed(squares, term.slope * kernel, term.shift)
                factor = factor + ops.sigmoid(energy) * np.float32(term.height)
            return shaped(parts * factor, x)

    return FittedLRN(name=layer.name)


def blocked_layer(layer: Any) -> Any:
    """The LRN layer, with the sums of many channels in blocks."""
    import keras
    from keras import ops

    class BlockedLRN(keras.layers.Layer):
        def call(self, x):
            parts, kernel = in_parts(x, layer)
            energy = summed(ops.square(parts), kernel, layer.bias)
            factor = ops.rsqrt(energy) if layer.beta == 0.5 else ops.power(energy, -layer.beta)
            return shaped(parts * factor, x)

    return BlockedLRN(name=layer.name)


def in_parts(x: Any, layer: Any) -> tuple[Any, np.ndarray]:
    """`x` in the shape that is convolved, and the kernel that makes of its squares alpha · Σ x² over an LRN's window.

    Args:
        x: float (n, height, width, channels); it comes back as it is, or as (n, pixels, channels / BLOCK, BLOCK).
    """
    from keras import ops

    from fmnist_edge.models.layers import band_matrix

    _, height, width, channels = x.shape
    if channels >= FEWEST_BLOCKED and channels % BLOCK == 0 and layer.radius <= BLOCK:
        return ops.reshape(x, (-1, height * width, channels // BLOCK, BLOCK)), layer.alpha * block_kernel(layer.radius)
    return x, layer.alpha * band_matrix(channels, layer.radius).reshape(1, 1, channels, channels)


def block_kernel(radius: int) -> np.ndarray:
    """0/1 weights (1, 3, BLOCK, BLOCK) that sum the channels at most `radius` apart: in the block before, in the
    channel's own and in the one behind it."""
    channels, window = np.arange(BLOCK), np.arange(-BLOCK, 2 * BLOCK)
    near = np.abs(window[:, None] - channels[None, :]) <= radius
    return near.astype("float32").reshape(1, 3, BLOCK, BLOCK)


def summed(squares: Any, kernel: np.ndarray, shift: float) -> Any:
    """The convolution, plus a vector and not a scalar: converters fold it into the convolution as its bias."""
    from keras import ops

    weights = ops.convert_to_tensor(kernel.astype("float32"))
    return ops.conv(squares, weights, padding="same") + np.full(kernel.shape[-1], shift, "float32")


def shaped(y: Any, x: Any) -> Any:
    """`y` in the shape of `x`."""
    from keras import ops

    return y if y.shape == x.shape else ops.reshape(y, (-1, *x.shape[1:]))


def native_layer(layer: Any) -> Any:
    """The LRN layer computed by TensorFlow's own kernel, which converts to a single op."""
    import tensorflow as tf

    from fmnist_edge.models.layers import LocalResponseNormalization

    class NativeLRN(LocalResponseNormalization):
        def call(self, x):
            return tf.nn.local_response_normalization(x, self.radius, self.bias, self.alpha, self.beta)

    return NativeLRN.from_config(layer.get_config())
