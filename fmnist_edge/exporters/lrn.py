"""The forms of local response normalisation (LRN): one native op, sums in blocks, and sigmoids for integer arithmetic.

LRN is y = x · (1 + s)^-β with s = Σ x² over neighbouring channels. int8 has no LRN kernel, and its RSQRT kernel is
scalar code. LOGISTIC is a table lookup wherever int8 runs. The fitted form therefore approximates

    (1 + s)^-β  ≈  c0 + Σ ck · sigmoid(ak · s + bk)

The convolution that sums the squares has ak in its weights and bk in its bias. The form only needs CONV_2D, LOGISTIC,
MUL and ADD.

The factor is multiplied by x, so its squared errors are weighted by x² in the least squares. The rounding of int8 (of
each sigmoid, its argument and the factor) is added to the error: the fit then prefers sigmoids that survive rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.aliases import JsonObject, Tensor

if TYPE_CHECKING:
    import keras

__all__ = ["Fit", "Term", "blocked_layer", "fit_inverse_power", "fit_layers", "fitted_layer", "native_layer"]

TOLERANCE = 0.03  # relative RMS error of the layer's output at which no further term is added
MAX_TERMS = 3
BINS = 200
MAX_SAMPLE = 200_000
DIGITS = 6  # significant digits of a fit's parameters: the last bits of a least squares solution do not repeat
ROUNDING = 1 / 256 / 12**0.5  # RMS error of rounding to 256 levels, relative to their range

# An int8 LOGISTIC has the fixed output scale 1/256. Unbounded fits magnify the sigmoid's tail, where int8 has only a
# few steps: good in float, useless in int8.
MAX_SHIFT = 2.0
MAX_HEIGHT = 4.0

# A band matrix of C x C weights sums the neighbours. From this many channels on, a convolution along blocks of BLOCK
# channels sums them with 3 x BLOCK x BLOCK weights: at 256 channels it takes a fifth of the multiplications.
MIN_BLOCKED_CHANNELS = 128
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
    """offset + the sum of `terms`, an approximation of (bias + s)^-β.

    Attributes:
        rms_error: RMS error of the layer's output in float on calibration images, relative to the output's RMS.
        max_energy: the largest s on these images.
    """

    offset: float
    terms: tuple[Term, ...]
    rms_error: float
    max_energy: float

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        return np.sum([term(energy) for term in self.terms], axis=0) + self.offset

    def as_dict(self) -> JsonObject:
        return {**asdict(self), "terms": [asdict(term) for term in self.terms]}

    @classmethod
    def from_dict(cls, value: Mapping[str, Any]) -> Fit:
        """Read the result of `as_dict`; raises KeyError, TypeError or ValueError for anything else."""
        terms = tuple(Term(*(float(term[name]) for name in ("height", "slope", "shift"))) for term in value["terms"])
        return cls(float(value["offset"]), terms, float(value["rms_error"]), float(value["max_energy"]))


def fit_layers(model: keras.Model, images: np.ndarray) -> dict[str, Fit]:
    """Fit every LRN layer of a Keras model to the energies that occur on `images`; returns the fits by layer name.

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
    """Make all shifts different, by changing repeated ones by about 1e-5 of their value. Many shifts are at the bound.

    TensorFlow's converter merges equal biases into one tensor with one scale. In int16x8 that scale is right for only
    one of the convolutions.
    """
    used: set[float] = set()

    def moved(term: Term) -> Term:
        while term.shift in used:
            term = replace(term, shift=round_digits(term.shift * (1 - 1e-5)) or -1e-5)
        used.add(term.shift)
        return term

    return {name: replace(fitted, terms=tuple(map(moved, fitted.terms))) for name, fitted in fits.items()}


def fit_inverse_power(energy: np.ndarray, squares: np.ndarray, *, bias: float = 1.0, beta: float = 0.5) -> Fit:
    """Fit (bias + s)^-beta by weighted least squares, with as few terms as TOLERANCE needs.

    Args:
        energy: a sample of s >= 0, float (n,).
        squares: x² for each of them, float (n,): the weights of the factor's squared errors.
    """
    values, weights = histogram(energy / bias, squares)
    found, least = Fit(0.0, (), np.inf, 0.0), np.inf
    for count in range(1, MAX_TERMS + 1):
        for slopes in initial_slopes(values, weights, count):
            candidate, cost = fit(values, weights, beta, slopes, float(energy.max()) / bias)
            found, least = (candidate, cost) if cost < least else (found, least)
        if found.rms_error <= TOLERANCE:
            break
    top = bias**-beta
    terms = [
        Term(round_digits(t.height * top), round_digits(t.slope / bias), round_digits(t.shift)) for t in found.terms
    ]
    return Fit(
        round_digits(found.offset * top), tuple(terms), round_digits(found.rms_error), round_digits(float(energy.max()))
    )


def histogram(sample: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bin the sample into at most BINS bins of about equal weight; returns each bin's mean and share of the weight.

    A sample whose weights are all zero gets equal weights.
    """
    # Odd, so that all channels are sampled: they are the last axis, and their number is mostly a power of two.
    step = (len(sample) // MAX_SAMPLE) | 1
    sample, squares = sample[::step].astype(np.float64), squares[::step].astype(np.float64)
    weights = squares if squares.any() else np.ones_like(squares)
    order = np.argsort(sample, kind="stable")
    cumulative = np.cumsum(weights[order])
    classes = np.minimum((cumulative / cumulative[-1] * BINS).astype(int), BINS - 1)
    shares = np.bincount(classes, weights[order], BINS)
    sums = np.bincount(classes, weights[order] * sample[order], BINS)
    filled = shares > 0
    return sums[filled] / shares[filled], shares[filled] / cumulative[-1]


def initial_slopes(values: np.ndarray, weights: np.ndarray, count: int) -> list[np.ndarray]:
    """Initial values of the slopes, spread around the one that suits the mean energy."""
    spread = 4.0 ** (np.arange(count) - (count - 1) / 2)
    mean = max(float(values @ weights), 1e-6)
    return [-middle / mean * spread for middle in (0.1, 0.3, 1.0, 3.0)]


def fit(values: np.ndarray, weights: np.ndarray, beta: float, slopes: np.ndarray, largest: float) -> tuple[Fit, float]:
    """Bounded least squares that starts at `slopes`; returns the fit and its cost.

    The parameters are offset, heights, log(-slopes) and shifts.
    """
    from scipy.optimize import least_squares

    count, logs = len(slopes), np.log(-slopes)
    target, root = (1 + values) ** -beta, np.sqrt(weights)

    def parts(parameters: np.ndarray) -> tuple[np.ndarray, ...]:
        """heights (k,), slopes (k,), shifts (k,) and the values of the sigmoids (n, k)."""
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
    low = np.concatenate([[-2.0], np.zeros(count), logs - 5, np.full(count, -MAX_SHIFT)])
    high = np.concatenate([[2.0], np.full(count, MAX_HEIGHT), logs + 5, np.full(count, MAX_SHIFT)])
    solution = least_squares(residuals, start, bounds=(low, high), x_scale="jac", max_nfev=200)
    heights, found, shifts, _ = parts(solution.x)
    terms = tuple(Term(*map(float, term)) for term in zip(heights, found, shifts, strict=True))
    relative = np.linalg.norm(errors(solution.x)) / np.linalg.norm(root * target)
    return Fit(float(solution.x[0]), terms, float(relative), 0.0), float(solution.cost)


def sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # for very negative x, exp(-x) is infinite and the result 0
        return 1 / (1 + np.exp(-x))


def round_digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def fitted_layer(layer: keras.layers.Layer, fitted: Fit) -> keras.layers.Layer:
    """A layer of the same name as an LRN layer that computes `fitted` instead."""
    import keras
    from keras import ops

    class FittedLRN(keras.layers.Layer):
        def call(self, x: Tensor) -> Tensor:
            parts, kernel = split_channels(x, layer)
            squares = parts * parts  # ops.square would become SQUARE, which has no int8 kernel
            factor: Tensor = np.float32(fitted.offset)
            for term in fitted.terms:
                energy = window_sums(squares, term.slope * kernel, term.shift)
                factor = factor + ops.sigmoid(energy) * np.float32(term.height)
            return reshape_like(parts * factor, x)

    return FittedLRN(name=layer.name)


def blocked_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The LRN layer; many channels are summed in blocks."""
    import keras
    from keras import ops

    class BlockedLRN(keras.layers.Layer):
        def call(self, x: Tensor) -> Tensor:
            parts, kernel = split_channels(x, layer)
            energy = window_sums(ops.square(parts), kernel, layer.bias)
            factor = ops.rsqrt(energy) if layer.beta == 0.5 else ops.power(energy, -layer.beta)
            return reshape_like(parts * factor, x)

    return BlockedLRN(name=layer.name)


def split_channels(x: Tensor, layer: keras.layers.Layer) -> tuple[Tensor, np.ndarray]:
    """Reshape `x` for the convolution over channels, and make the kernel that turns squares into alpha · Σ x².

    Args:
        x: float (n, height, width, channels); returned unchanged, or as (n, pixels, channels / BLOCK, BLOCK).
        layer: the LRN layer, with the window's radius.
    """
    from keras import ops

    from fmnist_edge.models.layers import band_matrix

    _, height, width, channels = x.shape
    if channels >= MIN_BLOCKED_CHANNELS and channels % BLOCK == 0 and layer.radius <= BLOCK:
        return ops.reshape(x, (-1, height * width, channels // BLOCK, BLOCK)), layer.alpha * block_kernel(layer.radius)
    return x, layer.alpha * band_matrix(channels, layer.radius).reshape(1, 1, channels, channels)


def block_kernel(radius: int) -> np.ndarray:
    """0/1 weights (1, 3, BLOCK, BLOCK) that sum channels at most `radius` apart: in a channel's block and both next."""
    channels, window = np.arange(BLOCK), np.arange(-BLOCK, 2 * BLOCK)
    near = np.abs(window[:, None] - channels[None, :]) <= radius
    return near.astype("float32").reshape(1, 3, BLOCK, BLOCK)


def window_sums(squares: Tensor, kernel: np.ndarray, shift: float) -> Tensor:
    """Convolve, and add `shift` as a vector. Converters fold a vector, unlike a scalar, into the convolution's bias."""
    from keras import ops

    weights = ops.convert_to_tensor(kernel.astype("float32"))
    return ops.conv(squares, weights, padding="same") + np.full(kernel.shape[-1], shift, "float32")


def reshape_like(y: Tensor, x: Tensor) -> Tensor:
    """`y` in the shape of `x`."""
    from keras import ops

    return y if y.shape == x.shape else ops.reshape(y, (-1, *x.shape[1:]))


def native_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """The LRN layer, computed by TensorFlow's own kernel, which converts to a single op."""
    import tensorflow as tf

    from fmnist_edge.models.layers import LocalResponseNormalization

    class NativeLRN(LocalResponseNormalization):
        def call(self, x: Tensor) -> Tensor:
            return tf.nn.local_response_normalization(x, self.radius, self.bias, self.alpha, self.beta)

    return NativeLRN.from_config(layer.get_config())
