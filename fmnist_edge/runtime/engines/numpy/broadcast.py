"""Ops with two operands. Either may be a constant, and shapes are broadcast."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.model import Op
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["Kernel", "binary"]

Kernel = Callable[..., np.ndarray]


def binary(op: Op, budget: Budget, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Kernel:
    """A kernel that calls `function` on both operands of `op`; its arguments are the operands that are not constant.

    Raises RefusedError when the shapes do not fit.
    """
    left, right = per_image(op, 0), per_image(op, 1)
    computed = [operand for operand in op.inputs if operand is not None and operand.data is None]
    if len({len(operand.shape) for operand in computed}) > 1:
        raise RefusedError(
            f"{op.kind} {op.output.name!r} has operands with {[len(item.shape) for item in computed]} axes"
        )
    shapes = [
        op.operand(number).shape[1:] if constant is None else constant.shape
        for number, constant in enumerate((left, right))
    ]
    try:
        op.check_output_shape(np.broadcast_shapes(*shapes))
    except ValueError:
        raise RefusedError(
            f"damaged: {op.kind} {op.output.name!r} combines {shapes[0]} and {shapes[1]} per image"
        ) from None
    budget.scratch(2 * op.output.size // op.output.shape[0])
    if left is not None:
        return lambda b: function(left, b)
    if right is not None:
        return lambda a: function(a, right)
    return function


def per_image(op: Op, number: int) -> np.ndarray | None:
    """A constant operand without its batch axis; None for a computed operand."""
    operand = op.operand(number)
    if operand.data is None or len(operand.shape) < len(op.output.shape):
        return operand.data
    if operand.shape[0] != 1:
        raise RefusedError(f"{op.kind} {op.output.name!r} has a separate constant for each image, {operand.shape}")
    return operand.data[0]
