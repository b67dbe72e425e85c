"""The steps of a C model as they are collected: structures, arrays, calls and the kernels that they need."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from fmnist_edge.exporters.c.files import KERNELS
from fmnist_edge.exporters.c.graph import Graph, Value
from fmnist_edge.exporters.c.memory import Memory, View

__all__ = ["AVX2", "NOT_AVX2", "X86", "Fields", "Program", "Step"]

X86 = "defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)"  # where AVX2 may be
# Whether target.h chooses AVX2.
AVX2 = (
    "defined(__AVX2__) && !defined(__AVXVNNI__) && !defined(FE_PORTABLE) && "
    "!(defined(__AVX512VNNI__) && defined(__AVX512BW__) && defined(__AVX512VL__))"
)
NOT_AVX2 = f"!({AVX2})"

Fields = Mapping[str, "int | str"]


@dataclass(frozen=True)
class Step:
    """A structure `name` of type `kind` with the text of its fields; "" for a step without one."""

    name: str
    kind: str
    fields: Fields


@dataclass
class Program:
    """The whole model.

    Attributes:
        kernels: files of `kernels/`, in the order of their use.
        arrays: of constants, by name.
        wide_weights: whether a convolution has a weight of -128, so that the sum of two products may exceed 16 bits.
        guards: the preprocessor's condition for an array that not every target needs.
        scratch_size: bytes that AVX2 needs, behind the activations in the arena.
        wide_scratch_size: activations that WebAssembly needs there, for winograd.h.
    """

    graph: Graph
    memory: Memory
    prefix: str
    kernels: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    wide_weights: bool = False
    guards: dict[str, str] = field(default_factory=dict)
    scratch_size: int = 0
    wide_scratch_size: int = 0

    def need_scratch(self, size: int) -> None:
        """`size`: bytes for one layer."""
        self.scratch_size = max(self.scratch_size, size)

    def need(self, *names: str) -> None:
        self.kernels += [name for name in names if name not in self.kernels]

    def array(self, what: str, values: np.ndarray, guard: str = "") -> str:
        """The name of a constant array of a type of C_TYPES; equal arrays are stored once."""
        for name, other in self.arrays.items():
            same_guard = self.guards.get(name, "") == guard
            if same_guard and other.dtype == values.dtype and np.array_equal(other, values):
                return name
        name = f"{self.prefix}_{what}_{len(self.arrays)}"
        self.arrays[name] = values
        if guard:
            self.guards[name] = guard
        return name

    def arrays_but(self, guard: str) -> dict[str, np.ndarray]:
        """The arrays without those that only targets with this condition have."""
        return {name: values for name, values in self.arrays.items() if self.guards.get(name) != guard}

    def step(self, kind: str, fields: Fields) -> str:
        """The address of a new structure."""
        for step in self.steps:
            if (step.kind, step.fields) == (kind, fields):
                return f"&{step.name}"
        self.steps.append(Step(f"step_{len(self.steps)}", kind, ordered(kind, fields)))
        return f"&{self.steps[-1].name}"

    def call(self, function: str, *arguments: str | int) -> None:
        self.calls.append(f"{function}({', '.join(map(str, arguments))});")

    def value(self, number: int) -> Value:
        return self.graph.values[number]

    def view(self, number: int) -> View:
        return self.memory.view(self.graph.values[number])

    def at(self, number: int, further: int = 0) -> str:
        """The address of a value's first activation, and `further` ones after it."""
        return f"at + {self.view(number).offset + further}"


@functools.cache
def field_names(kind: str) -> tuple[str, ...]:
    """The fields of a structure, as its header declares them."""
    for path in sorted(KERNELS.glob("*.h")):
        found = re.search(rf"typedef struct {{([^}}]*)}} {kind};", path.read_text())
        if found:
            text = re.sub(r"/\*.*?\*/", "", found[1], flags=re.DOTALL)
            declared = re.findall(r"(?:const )?\w+_t\s+([^;]+);", text)
            return tuple(re.sub(r"[*\s]|\[.*?\]", "", name) for line in declared for name in line.split(","))
    raise KeyError(kind)


def ordered(kind: str, fields: Fields) -> Fields:
    names = field_names(kind)
    if set(names) != set(fields):
        raise KeyError(f"{kind} has {names}, got {tuple(fields)}")
    return {name: fields[name] for name in names}
