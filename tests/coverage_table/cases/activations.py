"""Activations, by name and as layers."""

from __future__ import annotations

from coverage_table.case import IMAGE, SIGNED, activation, custom, layer, words

__all__ = ["CASES"]

NAMES = words("""
    celu elu exponential gelu glu hard_shrink hard_sigmoid hard_silu hard_swish hard_tanh leaky_relu linear
    log_sigmoid log_softmax mish relu relu6 selu sigmoid silu soft_shrink softmax softplus softsign sparse_plus
    sparse_sigmoid sparsemax squareplus swish tanh tanh_shrink threshold
    """)

CASES = [
    *(case for name in NAMES if name not in ("threshold", "sparsemax") for case in activation(name)),
    *activation("sparsemax", jumps=0.15),  # Keras's jumps where the number of values above 0 changes
    *layer("Activation", {"activation": "relu"}, {"activation": "softmax"}, {"activation": "gelu"}, domain=SIGNED),
    *layer("ReLU", {}, {"max_value": 6.0}, {"negative_slope": 0.1}, {"threshold": 0.5},
           {"max_value": 2.0, "negative_slope": 0.1, "threshold": 0.25}, domain=SIGNED),
    *layer("LeakyReLU", {}, {"negative_slope": 0.01}, domain=SIGNED),
    *layer("ELU", {}, {"alpha": 0.5}, domain=SIGNED),
    *layer("PReLU", {}, {"shared_axes": [1, 2]}, {"shared_axes": [1, 2, 3]}, domain=SIGNED),
    *layer("PReLU", {}, domain=SIGNED, shape=(24,), of="vector"),
    custom("PReLU", "behind Conv2D", lambda k, x: k.PReLU(shared_axes=[1, 2])(k.Conv2D(4, 3)(x)), rounds=2),
    *layer("Softmax", {}, {"axis": 1}, domain=SIGNED, shape=IMAGE),
    *layer("Softmax", {}, domain=SIGNED, shape=(24,), of="vector"),
    custom("Softmax", "inside", lambda k, x: k.Dense(4)(k.Softmax()(k.Dense(8)(x))), shape=(24,), rounds=3),
]  # fmt: skip
