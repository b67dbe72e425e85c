"""Attention."""

from __future__ import annotations

from coverage_table.case import custom

__all__ = ["CASES"]

SHAPE = (6, 8)


def attention(name: str, setting: str, build, rounds: int = 4):  # type: ignore[no-untyped-def]
    return custom(name, setting, build, shape=SHAPE, rounds=rounds)


CASES = [
    attention("Attention", "default", lambda k, x: k.Attention()([x, k.Dense(8)(x)])),
    attention("Attention", "use_scale=True", lambda k, x: k.Attention(use_scale=True)([x, x])),
    attention("Attention", "score_mode=concat", lambda k, x: k.Attention(score_mode="concat")([x, x])),
    attention("Attention", "causal", lambda k, x: k.Attention()([x, x], use_causal_mask=True)),
    attention("AdditiveAttention", "default", lambda k, x: k.AdditiveAttention()([x, k.Dense(8)(x)])),
    attention("AdditiveAttention", "use_scale=False", lambda k, x: k.AdditiveAttention(use_scale=False)([x, x])),
    attention("MultiHeadAttention", "default", lambda k, x: k.MultiHeadAttention(2, 4)(x, x), 6),
    attention("MultiHeadAttention", "use_bias=False", lambda k, x: k.MultiHeadAttention(2, 4, use_bias=False)(x, x), 6),
    attention("MultiHeadAttention", "value_dim=3", lambda k, x: k.MultiHeadAttention(3, 4, value_dim=3)(x, x), 6),
    attention("MultiHeadAttention", "causal", lambda k, x: k.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True), 6),
    custom("MultiHeadAttention", "attention_axes=(1, 2)",
           lambda k, x: k.MultiHeadAttention(2, 4, attention_axes=(1, 2))(x, x), shape=(3, 3, 8), rounds=6),
    attention("GroupQueryAttention", "default", lambda k, x: k.GroupQueryAttention(4, 4, 2)(x, x), 6),
    attention("GroupQueryAttention", "use_bias=False",
              lambda k, x: k.GroupQueryAttention(4, 2, 1, use_bias=False)(x, x), 6),
]  # fmt: skip
