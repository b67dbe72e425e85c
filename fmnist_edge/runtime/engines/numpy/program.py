"""Check a whole graph and bind each op to a kernel before anything runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from fmnist_edge.runtime.engines.numpy import activations, floats, hybrid, integers, shapes
from fmnist_edge.runtime.engines.numpy.broadcast import Kernel
from fmnist_edge.runtime.engines.numpy.budget import Budget
from fmnist_edge.runtime.engines.numpy.model import Model, Op, Tensor
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["Program", "program_of"]

# These ops compute the batch size of an open batch. They are not needed here: images are always the first axis.
SHAPE_KINDS = ("SHAPE", "STRIDED_SLICE", "PACK")
PAIRS = ("ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "PRELU")  # of which both operands may be computed
SCRATCH_ELEMENTS = 1 << 22  # of the largest temporary array; limits how many images run together
MOST_IMAGES = 64


@dataclass(frozen=True)
class Step:
    """One kernel, the tensors that it reads and writes, and those that no later step reads."""

    kernel: Kernel
    reads: tuple[int, ...]
    writes: int
    frees: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """A runnable graph. It has no state between runs, so threads may share it."""

    steps: tuple[Step, ...]
    input: Tensor
    output: Tensor
    images: int  # largest number to run together

    def run(self, batch: np.ndarray) -> np.ndarray:
        """(n, *image) of the input's dtype -> (n, *scores) of the output's. Images do not affect each other."""
        with np.errstate(all="ignore"):
            pieces = [self._run(batch[start : start + self.images]) for start in range(0, len(batch), self.images)]
        return np.concatenate(pieces)

    def _run(self, batch: np.ndarray) -> np.ndarray:
        values = {self.input.index: batch}
        for step in self.steps:
            values[step.writes] = step.kernel(*(values[index] for index in step.reads))
            for index in step.frees:
                del values[index]
        return values[self.output.index]


def program_of(model: Model) -> Program:
    """Check and bind a model.

    Raises RefusedError for an op that is unknown, out of order, too large, or does not fit its declared tensors.
    """
    if model.input.data is not None or len(model.input.shape) < 2:
        raise RefusedError(f"damaged: the input has shape {model.input.shape}; expected a batch of images")
    binder = Binder(model.input)
    with np.errstate(all="ignore"):
        bound = [step for op in model.ops if (step := binder.bind(op)) is not None]
    if model.output.index not in binder.computed:
        raise RefusedError("damaged: no op computes the output")
    steps = with_lifetimes(bound, model.output.index)
    return Program(steps, model.input, model.output, max(1, min(MOST_IMAGES, SCRATCH_ELEMENTS // binder.budget.peak)))


class Binder:
    """Binds ops in execution order and keeps track of the computed tensors."""

    def __init__(self, image: Tensor) -> None:
        self.budget = Budget()
        self.batch = image.shape[0]
        self.computed = {image.index}
        self._folded: dict[int, np.ndarray] = {}
        self._sizes: set[int] = set()  # outputs of SHAPE_KINDS
        self._spend(image)

    def bind(self, op: Op) -> Step | None:
        """The step of an op; None when it needs no step."""
        if op.kind in SHAPE_KINDS:
            self._sizes.add(op.output.index)
            return None
        op = replace(op, inputs=tuple(map(self._operand, op.inputs)))
        target = op.output
        if target.data is not None or target.index in self.computed or target.index in self._folded:
            raise RefusedError(f"damaged: {op.kind} writes to {target.name!r}, which already has a value")
        if op.kind == "DEQUANTIZE" and op.operand(0).data is not None:
            self._fold(op)
            return None
        reads = self._reads(op)
        if target.shape[:1] != (self.batch,):
            raise RefusedError(f"{op.kind} {target.name!r} mixes the images of a batch: {target.shape}")
        self._spend(target)
        kernel = builder_of(op)(op, self.budget)
        self.computed.add(target.index)
        return Step(kernel, reads, target.index, ())

    def _operand(self, tensor: Tensor | None) -> Tensor | None:
        if tensor is None or tensor.index not in self._folded:
            return tensor
        return replace(tensor, data=self._folded[tensor.index])

    def _reads(self, op: Op) -> tuple[int, ...]:
        """Indices of the computed operands."""
        found = [operand.index for operand in op.inputs if operand is not None and operand.data is None]
        reads = tuple(index for index in found if index not in self._sizes)
        if not reads or not self.computed.issuperset(reads) or (len(reads) < len(found) and op.kind != "RESHAPE"):
            raise RefusedError(f"damaged: {op.kind} {op.output.name!r} reads a tensor that no earlier op computes")
        most = len(reads) if op.kind == "CONCATENATION" else 2 if op.kind in PAIRS else 1
        if len(reads) > most:
            raise RefusedError(
                f"damaged: {op.kind} {op.output.name!r} has {len(reads)} computed operands, expected {most}"
            )
        return reads

    def _fold(self, op: Op) -> None:
        """Compute a DEQUANTIZE of a constant now."""
        source = op.operand(0)
        if source.shape != op.output.shape:
            raise RefusedError(f"damaged: DEQUANTIZE {op.output.name!r} of {source.shape} to {op.output.shape}")
        self.budget.spend("weights", source.size)
        self._folded[op.output.index] = shapes.KERNELS[op.kind](op, self.budget)(op.constant(0))

    def _spend(self, tensor: Tensor) -> None:
        self.budget.spend("activations", tensor.size // tensor.shape[0])


def builder_of(op: Op) -> shapes.Builder:
    """The kernel builder for an op and its operands' dtypes. Raises RefusedError when there is none."""
    table = integers.KERNELS if op.operand(0).dtype != "float32" else floats.KERNELS
    if op.kind in hybrid.KERNELS and op.operand(0).dtype == "float32" and op.operand(1).dtype == "int8":
        table = hybrid.KERNELS
    if op.kind in activations.KERNELS and op.output.dtype == "int8":
        table = activations.KERNELS
    found = table.get(op.kind) or shapes.KERNELS.get(op.kind)
    if found is None:
        raise RefusedError(f"this engine has no {op.operand(0).dtype} kernel for {op.kind}; engine='litert' has more")
    return found


def with_lifetimes(steps: Sequence[Step], output: int) -> tuple[Step, ...]:
    """The same steps, each with the tensors that it is the last to use."""
    seen, found = {output}, []
    for step in reversed(steps):
        frees = tuple(dict.fromkeys(index for index in (*step.reads, step.writes) if index not in seen))
        seen.update(step.reads)
        seen.add(step.writes)
        found.append(replace(step, frees=frees))
    return tuple(reversed(found))
