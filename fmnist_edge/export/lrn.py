"""The forms of local response normalisation: an op of its own, and one fitted by sigmoids for integer arithmetic.

LRN is y = x · (1 + s)^-β with s = Σ x² over neighbouring channels. In int8 there is no LRN kernel, and that of
RSQRT is scalar code. LOGISTIC is a table lookup wherever int8 runs, hence

    (1 + s)^-β  ≈  c0 + Σ ck · sigmoid(ak · s + bk)

with ak in the weights and bk in the bias of the convolution that sums the squares: nothing but CONV_2D, LOGISTIC, MUL
and ADD is left.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Fit", "Term", "fit_inverse_power", "fits_of", "fitted_layer", "native_layer"]

TOLERANCE = 0.005  # RMS error at which no further term is added
MOST_TERMS = 3
BINS = 200
LARGEST_SAMPLE = 200_000
DIGITS = 6  # significant, of a fit's parameters: the last bits of a least squares are not the same every time

# An int8 LOGISTIC has the fixed output scale 1/256. Unbounded fits live in the sigmoid's tail and magnify it, where
# it has hardly a step left: as good in float, useless in int8.
LARGEST_SHIFT = 2.0
LARGEST_HEIGHT = 4.0


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
        rms_error: over the energies s that calibration images have, relative to bias^-β, the largest value.
        max_energy: the largest s among them.
    """

    offset: float
    terms: tuple[Term, ...]
    rms_error: float
    max_energy: float

    def __call__(self, energy: np.ndarray) -> np.ndarray:
        return np.sum([term(energy) for term in self.terms], axis=0) + self.offset

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, value: dict[str, Any]) -> Fit:
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
        energy = layer.alpha * np.square(x) @ band_matrix(x.shape[-1], layer.radius)
        fits[layer.name] = fit_inverse_power(energy.ravel(), bias=layer.bias, beta=layer.beta)
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


def fit_inverse_power(energy: np.ndarray, *, bias: float = 1.0, beta: float = 0.5) -> Fit:
    """Least squares over a sample of energies s >= 0, float (n,), with as few terms as TOLERANCE needs."""
    values, weights = histogram(energy / bias)
    found = Fit(0.0, (), np.inf, 0.0)
    for count in range(1, MOST_TERMS + 1):
        candidates = [fit(values, weights, beta, slopes) for slopes in starts(values, weights, count)]
        found = min(found, *candidates, key=rms)
        if found.rms_error <= TOLERANCE:
            break
    top = bias**-beta
    terms = [Term(rounded(t.height * top), rounded(t.slope / bias), rounded(t.shift)) for t in found.terms]
    return Fit(rounded(found.offset * top), tuple(terms), rounded(found.rms_error), rounded(float(energy.max())))


def histogram(sample: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mean, share) of at most BINS equally frequent classes of the sample."""
    # Odd: channels come last and are mostly a power of two, of which an even step would only ever meet some.
    step = (len(sample) // LARGEST_SAMPLE) | 1
    ordered = np.sort(sample[::step].astype(np.float64))
    classes = np.array_split(ordered, min(BINS, len(ordered)))
    shares = np.array([len(part) for part in classes]) / len(ordered)
    return np.array([part.mean() for part in classes]), shares


def starts(values: np.ndarray, weights: np.ndarray, count: int) -> list[np.ndarray]:
    """Slopes to start from: spread around that of the mean energy."""
    spread = 4.0 ** (np.arange(count) - (count - 1) / 2)
    mean = max(float(values @ weights), 1e-6)
    return [-middle / mean * spread for middle in (0.3, 1.0, 3.0)]


def fit(values: np.ndarray, weights: np.ndarray, beta: float, slopes: np.ndarray) -> Fit:
    """Bounded least squares from `slopes` on; parameters are offset, heights, log(-slopes), shifts."""
    from scipy.optimize import least_squares

    count, logs = len(slopes), np.log(-slopes)
    target, root = (1 + values) ** -beta, np.sqrt(weights)

    def sigmoids(parameters: np.ndarray) -> tuple[np.ndarray, ...]:
        """heights (k,), slopes (k,), shifts (k,) and the sigmoids' values (n, k)."""
        heights, logs, shifts = parameters[1:].reshape(3, count)
        return heights, -np.exp(logs), shifts, sigmoid(shifts - np.outer(values, np.exp(logs)))

    def residuals(parameters: np.ndarray) -> np.ndarray:
        heights, _, _, curves = sigmoids(parameters)
        return root * (parameters[0] + curves @ heights - target)

    def jacobian(parameters: np.ndarray) -> np.ndarray:
        heights, slopes, _, curves = sigmoids(parameters)
        steepness = heights * curves * (1 - curves)
        columns = (np.ones((len(values), 1)), curves, steepness * slopes * values[:, None], steepness)
        return root[:, None] * np.concatenate(columns, axis=1)

    start = np.concatenate([[0.2], np.ones(count), logs, np.zeros(count)])
    low = np.concatenate([[-2.0], np.zeros(count), logs - 5, np.full(count, -LARGEST_SHIFT)])
    high = np.concatenate([[2.0], np.full(count, LARGEST_HEIGHT), logs + 5, np.full(count, LARGEST_SHIFT)])
    solution = least_squares(residuals, start, jacobian, bounds=(low, high), max_nfev=200)
    heights, found, shifts, _ = sigmoids(solution.x)
    terms = tuple(Term(*map(float, term)) for term in zip(heights, found, shifts, strict=True))
    return Fit(float(solution.x[0]), terms, float(np.sqrt(2 * solution.cost)), 0.0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):  # far out, exp(-x) is infinity and the answer 0
        return 1 / (1 + np.exp(-x))


def rms(fitted: Fit) -> float:
    return fitted.rms_error


def rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def fitted_layer(layer: Any, fitted: Fit) -> Any:
    """A layer that computes `fitted` in the place of an LRN layer."""
    import keras
    from keras import ops

    from fmnist_edge.models.layers import band_matrix

    class FittedLRN(keras.layers.Layer):
        def call(self, x):
            channels = x.shape[-1]
            band = layer.alpha * band_matrix(channels, layer.radius).reshape(1, 1, channels, channels)
            squares = x * x  # ops.square would become SQUARE, of which there is no int8 kernel
            factor: Any = np.float32(fitted.offset)
            for term in fitted.terms:
                kernel = ops.convert_to_tensor((term.slope * band).astype("float32"))
                energy = ops.conv(squares, kernel, padding="valid") + np.full(channels, term.shift, "float32")
                factor = factor + ops.sigmoid(energy) * np.float32(term.height)
            return x * factor

    return FittedLRN(name=layer.name)


def native_layer(layer: Any) -> Any:
    """The LRN layer computed by TensorFlow's own kernel, which converts to a single op."""
    import tensorflow as tf

    from fmnist_edge.models.layers import LocalResponseNormalization

    class NativeLRN(LocalResponseNormalization):
        def call(self, x):
            return tf.nn.local_response_normalization(x, self.radius, self.bias, self.alpha, self.beta)

    return NativeLRN.from_config(layer.get_config())
