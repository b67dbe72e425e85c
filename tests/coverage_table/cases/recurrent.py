"""Recurrent layers, and layers that run over time."""

from __future__ import annotations

from coverage_table.case import Case, custom, layer

__all__ = ["CASES"]

SHAPE = (6, 4)
ROUNDS = 12  # six steps of two rounded states
CELLS = ("GRUCell", "LSTMCell", "SimpleRNNCell")


def recurrent(name: str, *more: dict[str, object]) -> list[Case]:
    variants = ({}, {"return_sequences": True}, {"go_backwards": True}, {"use_bias": False}, {"unroll": True}, *more)
    return layer(name, *variants, base={"units": 5}, shape=SHAPE, rounds=ROUNDS)


def convolutional(n: int) -> list[Case]:
    shape = {1: (3, 6, 2), 2: (3, 5, 5, 2), 3: (3, 4, 4, 4, 2)}[n]
    return layer(f"ConvLSTM{n}D", {}, {"return_sequences": True, "padding": "same"},
                 base={"filters": 3, "kernel_size": 3}, shape=shape, rounds=ROUNDS)  # fmt: skip


CASES = [
    *recurrent("SimpleRNN", {"activation": "relu"}),
    *recurrent("GRU", {"reset_after": False}),
    *recurrent("LSTM", {"activation": "relu"}),
    *(
        custom(name, "RNN", lambda k, x, name=name: k.RNN(getattr(k, name)(5))(x), shape=SHAPE, rounds=ROUNDS)
        for name in CELLS
    ),
    custom("RNN", "return_sequences", lambda k, x: k.RNN(k.LSTMCell(5), return_sequences=True)(x), shape=SHAPE,
           rounds=ROUNDS),
    custom("RNN", "unroll", lambda k, x: k.RNN(k.GRUCell(5), unroll=True)(x), shape=SHAPE, rounds=ROUNDS),
    custom("StackedRNNCells", "GRU and LSTM",
           lambda k, x: k.RNN(k.StackedRNNCells([k.GRUCell(4), k.LSTMCell(3)]))(x), shape=SHAPE, rounds=2 * ROUNDS),
    *(
        custom("Bidirectional", f"{inner}, {merge}",
               lambda k, x, inner=inner, merge=merge: k.Bidirectional(getattr(k, inner)(4), merge_mode=merge)(x),
               shape=SHAPE, rounds=ROUNDS)
        for inner, merge in (("LSTM", "concat"), ("GRU", "sum"))
    ),
    custom("TimeDistributed", "Dense", lambda k, x: k.TimeDistributed(k.Dense(3))(x), shape=SHAPE),
    custom("TimeDistributed", "Conv2D", lambda k, x: k.TimeDistributed(k.Conv2D(3, 3))(x), shape=(3, 6, 6, 2)),
    *convolutional(1),
    *convolutional(2),
    *convolutional(3),
    custom("Masking", "before LSTM", lambda k, x: k.LSTM(4)(k.Masking(0.0)(x)), shape=SHAPE, rounds=ROUNDS),
    *layer("Masking", {"mask_value": 0.0}, shape=SHAPE),
]  # fmt: skip
