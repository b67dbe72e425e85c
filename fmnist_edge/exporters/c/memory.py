"""Plan the arena: which values share memory, where each lies, and how wide its border is.

A value that a convolution reads beyond its edges has a border, which holds its zero point. A concatenation's operands
are written where they belong in its output, a reshaped value is the value itself, and an elementwise op writes over an
operand that nothing reads later.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from fmnist_edge.exporters.c.graph import Graph, Node, Value, windows

__all__ = ["Border", "Memory", "View", "plan", "slices"]

ALIGNMENT = 64  # activations
OVERREAD = 64  # activations that a kernel may read beyond the last value
ELEMENTWISE = ("table", "binary", "window")  # of an operand, they read only what they have not yet overwritten
Border = tuple[int, int, int, int]  # pixels: top, bottom, left, right
NO_BORDER: Border = (0, 0, 0, 0)


@dataclass(frozen=True)
class View:
    """Where a value lies, in activations from the beginning of the arena."""

    offset: int
    row_step: int
    column_step: int


@dataclass
class Storage:
    """Memory that one or more values use.

    Attributes:
        first, last: the nodes that write it first and read it last.
        rigid: whether it holds a reshaped value, which no border may interrupt.
    """

    rows: int
    columns: int
    channels: int
    border: Border = NO_BORDER
    first: int = 1 << 30
    last: int = -2
    offset: int = 0
    rigid: bool = False

    @property
    def width(self) -> int:
        return (self.border[2] + self.columns + self.border[3]) * self.channels

    @property
    def size(self) -> int:
        return (self.border[0] + self.rows + self.border[1]) * self.width


@dataclass(frozen=True)
class Memory:
    """The plan. `size`: activations in the arena. `borders`: the value's border, where it has one."""

    size: int
    storages: dict[int, Storage]
    channel_offsets: dict[int, int]
    borders: dict[int, Border] = field(default_factory=dict)

    def view(self, value: Value) -> View:
        storage = self.storages[value.number]
        top, _, left, _ = storage.border
        offset = storage.offset + top * storage.width + left * storage.channels + self.channel_offsets[value.number]
        if (storage.rows, storage.columns) != (value.rows, value.columns):  # reshaped: without a border or neighbours
            return View(offset, value.columns * value.channels, value.channels)
        return View(offset, storage.width, storage.channels)

    def shares(self, one: int, other: int) -> bool:
        return self.storages[one] is self.storages[other]


def plan(graph: Graph) -> Memory:
    needs = border_needs(graph)
    uses = last_uses(graph)
    parents = slices(graph)
    storages: dict[int, Storage] = {}
    offsets: dict[int, int] = {}

    def place(number: int) -> None:
        value = graph.values[number]
        if number in parents:
            parent, offset = parents[number]
            if parent not in storages:
                place(parent)
            storages[number], offsets[number] = storages[parent], offsets[parent] + offset
        else:
            storages[number], offsets[number] = Storage(value.rows, value.columns, value.channels), 0

    def touch(number: int, at: int) -> None:
        storage = storages[number]
        storage.first, storage.last = min(storage.first, at), max(storage.last, at, uses.get(number, at))
        storage.border = merged(storage.border, needs.get(number, NO_BORDER))

    place(graph.input)
    touch(graph.input, -1)
    for at, node in enumerate(graph.nodes):
        shared = None if node.output in storages or node.output in parents else reused(graph, node, at, needs, storages)
        if shared is not None:
            storages[node.output], offsets[node.output] = storages[shared], 0
        elif node.output not in storages:
            place(node.output)
        touch(node.output, at)
        if node.kind == "reshape":
            storages[node.output].rigid = True
    return Memory(assign(list({id(item): item for item in storages.values()}.values())), storages, offsets, needs)


def merged(one: Border, other: Border) -> Border:
    return tuple(max(pair) for pair in zip(one, other, strict=False))  # type: ignore[return-value]


def border_needs(graph: Graph) -> dict[int, Border]:
    """Value -> how far convolutions read beyond its edges."""
    found: dict[int, Border] = {}
    for node in graph.nodes:
        if node.op.kind in ("CONV_2D", "DEPTHWISE_CONV_2D") and node.kind in ("convolve", "depthwise"):
            rows, columns = windows(node.op)
            need = rows.before, rows.after, columns.before, columns.after
            if any(need):
                found[node.inputs[0]] = merged(found.get(node.inputs[0], NO_BORDER), need)
    return found


def last_uses(graph: Graph) -> dict[int, int]:
    found = {number: at for at, node in enumerate(graph.nodes) for number in node.inputs}
    found[graph.output] = len(graph.nodes)
    return found


def slices(graph: Graph) -> dict[int, tuple[int, int]]:
    """Value -> (the concatenation that it is part of, its first channel there)."""
    found: dict[int, tuple[int, int]] = {}
    reshaped = {number for node in graph.nodes if node.kind == "reshape" for number in (*node.inputs, node.output)}
    for node in graph.nodes:
        if node.kind != "concatenation" or not along_channels(graph, node):
            continue
        offset = 0
        for number in node.inputs:
            if number not in found and number not in reshaped and node.inputs.count(number) == 1:
                found[number] = node.output, offset
            offset += graph.values[number].channels
    return found


def along_channels(graph: Graph, node: Node) -> bool:
    out = graph.values[node.output]
    inside = [graph.values[number] for number in node.inputs]
    return all((item.rows, item.columns) == (out.rows, out.columns) for item in inside) and (
        sum(item.channels for item in inside) == out.channels
    )


def reused(graph: Graph, node: Node, at: int, needs: dict[int, Border], storages: dict[int, Storage]) -> int | None:
    """The operand whose memory the output of `node` takes over; None when it needs memory of its own."""
    out = graph.values[node.output]
    for number in node.inputs:
        value, storage = graph.values[number], storages[number]
        whole = (storage.rows, storage.columns, storage.channels) == value.shape
        if not whole:
            continue
        free = storage.last == at and not (storage.rigid and node.output in needs)
        if node.kind in ELEMENTWISE and value.shape == out.shape and free:
            return number
        if node.kind == "reshape" and node.output not in needs and number not in needs and not any(storage.border):
            return number
    return None


def assign(storages: list[Storage]) -> int:
    """Give every storage an offset, the largest first; returns the size of the arena."""
    placed: list[Storage] = []
    end = 0
    for storage in sorted(storages, key=lambda item: (-item.size, item.first)):
        offset = 0
        others = [item for item in placed if item.first <= storage.last and storage.first <= item.last]
        for other in sorted(others, key=lambda item: item.offset):
            if offset + storage.size <= other.offset:
                break
            offset = max(offset, -(-(other.offset + other.size) // ALIGNMENT) * ALIGNMENT)
        storage.offset = offset
        placed.append(storage)
        end = max(end, offset + storage.size)
    return -(-end // ALIGNMENT) * ALIGNMENT + OVERREAD
