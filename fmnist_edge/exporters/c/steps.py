"""Describe every node to its kernel: a constant structure, arrays and a call."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fmnist_edge.exporters.c import linear, winograd
from fmnist_edge.exporters.c.elementwise import binary, table, window
from fmnist_edge.exporters.c.fields import flat, size_of, steps_of
from fmnist_edge.exporters.c.graph import Graph, Node, Value, reduced_axes, windows
from fmnist_edge.exporters.c.memory import Memory, View
from fmnist_edge.exporters.c.pairs import COPIES, orders
from fmnist_edge.exporters.c.program import AVX2, NOT_AVX2, Program
from fmnist_edge.exporters.c.winograd import winograd_scratch
from fmnist_edge.runtime.engines.numpy.fixed_point import multiplier
from fmnist_edge.runtime.engines.numpy.nonlinear import softmax_powers
from fmnist_edge.runtime.engines.numpy.quantization import quantization_of, quantized_range
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["program_of"]

AT_ONCE = 32  # bytes that AVX2 copies
NO_ORDER = "FE_ORDER(NULL, 0, 0, 0, 0)"


def program_of(graph: Graph, memory: Memory, prefix: str) -> Program:
    program = Program(graph, memory, prefix)
    program.need("target.h", "rescale.h", "move.h")
    surround(program, graph.input)
    for node in graph.nodes:
        STEPS[node.kind](program, node)
        surround(program, node.output)
    return program


def surround(program: Program, number: int) -> None:
    """Fill the border of a value that has one."""
    if number not in program.memory.borders:
        return
    storage = program.memory.storages[number]
    top, bottom, left, right = storage.border
    program.need("border.h")
    size = {"rows": storage.rows, "columns": storage.columns, "channels": storage.channels}
    sides = {"top": top, "bottom": bottom, "left": left, "right": right}
    step = program.step("fe_border", {**sides, **size, "value": program.value(number).zero_point})
    program.call("fe_surround", step, f"at + {storage.offset}")


def convolve(program: Program, node: Node) -> None:
    source, out = program.value(node.inputs[0]), program.value(node.output)
    from_view, to_view = program.view(source.number), program.view(out.number)
    found = linear.weights_of(node.op)
    height, width, inputs, _ = found.matrix.shape
    if node.op.kind == "FULLY_CONNECTED":
        rows, by_rows = source.size // inputs, True
        if (from_view.column_step, from_view.row_step) != (source.channels, source.columns * source.channels):
            raise RefusedError(f"{node.op.kind} {node.op.output.name!r} reads a value with gaps")
        if rows > 1 and to_view.row_step != out.columns * to_view.column_step:
            raise RefusedError(f"{node.op.kind} {node.op.output.name!r} writes a value with gaps")
        run = {"run_row_step": 0, "run_column_step": 0}
        # All rows as one row of pixels: their outputs follow one another.
        grid = {"rows": 1, "columns": rows, "in_row_step": 0, "in_column_step": inputs, "out_row_step": 0}
        grid["out_column_step"] = to_view.column_step if out.channels == found.bias.size else found.bias.size
        begin = 0
    else:
        down, across = windows(node.op)
        by_rows = across.dilation == 1 and from_view.column_step == inputs
        run = {
            "run_row_step": down.dilation * from_view.row_step,
            "run_column_step": across.dilation * from_view.column_step,
        }
        grid = {
            "rows": out.rows, "columns": out.columns, "in_row_step": down.stride * from_view.row_step,
            "in_column_step": across.stride * from_view.column_step, **steps_of("out", to_view),
        }  # fmt: skip
        begin = -down.before * from_view.row_step - across.before * from_view.column_step
    program.wide_weights |= bool((found.matrix == -128).any())
    lanes = linear.grouped(found.matrix, by_rows)
    packed = linear.pack(lanes)
    run |= {"run_rows": height, "run_columns": 1 if by_rows else width}
    groups = len(lanes) // (run["run_rows"] * run["run_columns"])
    tiles = [linear.tile_for(grid["rows"] * grid["columns"], most) for most in linear.MOST_PIXELS]
    program.need("linear.h", "back_end", "convolve.h")
    wasm = avx2 = None
    if node.op.kind == "CONV_2D" and by_rows and (down.stride, across.stride, down.dilation) == (1, 1, 1):
        wasm, avx2 = (
            winograd_scratch(kernel, found.matrix.shape[:3], (out.rows, out.columns))
            for kernel in (winograd.WASM, winograd.AVX2)
        )
    if avx2 is None:
        order, ordered = in_order(program, lanes, run, grid, from_view.offset + begin)
        weights = f"FE_WEIGHTS({program.array('weights', packed, NOT_AVX2)}, {ordered})"
    else:
        order, weights = NO_ORDER, program.array("weights", packed)
        program.need_scratch(2 * avx2)
    step = program.step("fe_linear", {
        "weights": weights, **requantisation(program, found), "groups": groups, **run, **grid,
        "tile": f"FE_PICK({', '.join(map(str, tiles))})", "order": order,
    })  # fmt: skip
    addresses = program.at(source.number, begin), program.at(out.number)
    if wasm is None and avx2 is None:
        program.call("fe_convolve", step, *addresses)
        return
    program.need("winograd.h")
    program.wide_scratch_size = max(program.wide_scratch_size, wasm or 0)
    function = "fe_convolve_large" if wasm is None else "fe_convolve_3x3"
    program.call(function, step, *addresses, f"at + {program.memory.size}")


def in_order(
    program: Program, lanes: np.ndarray, run: dict[str, int], grid: dict[str, int], begin: int
) -> tuple[str, str]:
    """The order of a layer's groups for AVX2, and its weights in it. `begin`: the first activation that it reads."""
    rows, columns = np.arange(run["run_rows"]), np.arange(run["run_columns"])
    groups = np.arange(len(lanes) // (len(rows) * len(columns)))
    runs = rows[:, None] * run["run_row_step"] + columns * run["run_column_step"]
    offsets = (runs[..., None] + linear.GROUP * groups).reshape(-1)
    steps = [run["run_row_step"], run["run_column_step"], grid["in_row_step"], grid["in_column_step"]]
    copies = len(COPIES) if not any(step % linear.GROUP for step in steps) else 1
    last = (grid["rows"] - 1) * grid["in_row_step"] + (grid["columns"] - 1) * grid["in_column_step"]
    length = -(-(last + int(offsets.max()) + linear.GROUP) // AT_ONCE) * AT_ONCE
    scratch = program.memory.size - begin
    shifts = np.array([0, scratch, scratch + length][:copies])
    blocks, weights = orders(lanes, shifts[:, None] + offsets)
    program.need_scratch((copies - 1) * length)
    name = program.array("order", blocks.reshape(-1), AVX2)
    text = f"FE_ORDER({name}, {blocks.shape[1]}, {copies}, {length}, {scratch})"
    return text, program.array("ordered_weights", weights.reshape(-1), AVX2)


def requantisation(program: Program, found: linear.Weights) -> dict[str, int | str]:
    return {
        "bias": program.array("bias", found.bias.astype(np.int32)),
        "sums": f"FE_SUMS({program.array('sums', found.sums.astype(np.int32))})",
        "factors": program.array("factors", found.factors.astype(np.int32)),
        "shifts": program.array("shifts", found.shifts.astype(np.int8)),
        "channels": found.bias.size, "once": int(found.once), "zero_point": found.zero_point, "low": found.low,
        "high": found.high,
    }  # fmt: skip


def depthwise(program: Program, node: Node) -> None:
    source, out = program.value(node.inputs[0]), program.value(node.output)
    from_view, to_view = program.view(source.number), program.view(out.number)
    found = linear.weights_of(node.op)
    down, across = windows(node.op)
    program.need("linear.h", "back_end", "depthwise.h")
    step = program.step("fe_linear", {
        "weights": program.array("weights", found.matrix.reshape(-1)), **requantisation(program, found), "groups": 0,
        "run_rows": down.size, "run_columns": across.size, "run_row_step": down.dilation * from_view.row_step,
        "run_column_step": across.dilation * from_view.column_step, "rows": out.rows, "columns": out.columns,
        "in_row_step": down.stride * from_view.row_step, "in_column_step": across.stride * from_view.column_step,
        **steps_of("out", to_view), "tile": 1, "order": NO_ORDER,
    })  # fmt: skip
    begin = -down.before * from_view.row_step - across.before * from_view.column_step
    multiplier_ = out.channels // source.channels
    program.call("fe_depthwise", step, multiplier_, program.at(source.number, begin), program.at(out.number))


def move(program: Program, number: int, further: int, to: int, to_further: int, value: Value) -> None:
    """Copy `value.shape` activations."""
    steps = {**steps_of("in", program.view(number)), **steps_of("out", program.view(to))}
    program.need("copy.h")
    step = program.step("fe_move", flat(size_of(value), steps))
    program.call("fe_copy", step, program.at(number, further), program.at(to, to_further))


def pool(program: Program, node: Node) -> None:
    source, out = program.value(node.inputs[0]), program.value(node.output)
    down, across = windows(node.op)
    low, high = quantized_range(node.op, node.op.integer(5, "int8"))
    program.need("border.h", "pool.h", f"{node.kind}.h")
    step = program.step("fe_pool", {
        **size_of(out), "in_rows": source.rows, "in_columns": source.columns, "height": down.size,
        "width": across.size, "row_stride": down.stride, "column_stride": across.stride, "top": down.before,
        "left": across.before, **steps_of("in", program.view(source.number)),
        **steps_of("out", program.view(out.number)), "low": low, "high": high,
    })  # fmt: skip
    program.call(f"fe_{node.kind}", step, program.at(source.number), program.at(out.number))


def mean(program: Program, node: Node) -> None:
    op, source, out = node.op, program.value(node.inputs[0]), program.value(node.output)
    rank = len(op.operand(0).shape)
    if rank > 4:
        raise RefusedError(f"MEAN {op.output.name!r} of {rank} axes; C code has up to 4")
    reduced = [axis + 3 - rank for axis in reduced_axes(op)]  # of the last three axes
    sizes, view, to = source.shape, program.view(source.number), program.view(out.number)
    steps, out_steps = (view.row_step, view.column_step, 1), (to.row_step, to.column_step, 1)
    kept = [axis for axis in range(3) if axis not in reduced and sizes[axis] > 1]
    keeps = len(op.output.shape) == rank
    places = kept if keeps else list(range(3 - len(kept), 3))
    count = int(np.prod([sizes[axis] for axis in reduced]))
    in_scale, zero_point = quantization_of(op, op.operand(0)), quantization_of(op, op.output)
    by = multiplier(in_scale.scale / zero_point.scale)
    shift = min(count.bit_length() - 1, 32, 31 + int(by.shift))
    factor, right = (int(by.mantissa) << shift) // count, 31 - int(by.shift) + shift
    if not 1 <= right <= 62 or count > 1 << 20:
        raise RefusedError(f"MEAN {op.output.name!r} of {count} values with scale {in_scale.scale}: out of range")

    def three(values: list[int], filler: int) -> str:
        return "{" + ", ".join(map(str, [*([filler] * (3 - len(values))), *values])) + "}"

    program.need("mean.h")
    step = program.step("fe_mean_t", {
        "kept": three([sizes[axis] for axis in kept], 1), "kept_step": three([steps[axis] for axis in kept], 0),
        "reduced": three([sizes[axis] for axis in reduced], 1),
        "reduced_step": three([steps[axis] for axis in reduced], 0),
        "out_step": three([out_steps[axis] for axis in places], 0), "in_zero_point": in_scale.zero_point * count,
        "factor": factor, "shift": right, "zero_point": zero_point.zero_point,
    })  # fmt: skip
    program.call("fe_mean", step, program.at(source.number), program.at(out.number))


def softmax(program: Program, node: Node) -> None:
    steps = {**steps_of("in", program.view(node.inputs[0])), **steps_of("out", program.view(node.output))}
    program.need("softmax.h")
    step = program.step("fe_move", {**size_of(program.value(node.output)), **steps})
    powers = program.array("powers", softmax_powers(node.op).astype(np.int32))
    program.call("fe_softmax", step, powers, program.at(node.inputs[0]), program.at(node.output))


def reshape(program: Program, node: Node) -> None:
    source, out = program.value(node.inputs[0]), program.value(node.output)
    if program.memory.shares(source.number, out.number):
        return
    from_view, to_view = program.view(source.number), program.view(out.number)
    program.need("copy.h")
    if from_view == View(from_view.offset, source.columns * source.channels, source.channels):
        size, from_view = size_of(out), View(from_view.offset, out.columns * out.channels, out.channels)
    else:
        size, to_view = size_of(source), View(to_view.offset, source.columns * source.channels, source.channels)
    step = program.step("fe_move", flat(size, {**steps_of("in", from_view), **steps_of("out", to_view)}))
    program.call("fe_copy", step, program.at(source.number), program.at(out.number))


def further(op_rank: int, starts: list[int], view: View) -> int:
    """Activations before the position `starts`, one number for each axis after the batch."""
    if op_rank > 4:
        raise RefusedError(f"a tensor of {op_rank} axes is padded or concatenated; C code has up to 4")
    steps = (view.row_step, view.column_step, 1)[-len(starts) :]
    return sum(start * step for start, step in zip(starts, steps, strict=False))


def concatenation(program: Program, node: Node) -> None:
    op = node.op
    rank = len(op.output.shape)
    axis = op.integer(0, "int32") % rank
    done = 0
    for number, operand in zip(node.inputs, op.inputs, strict=False):
        starts = [0] * (rank - 1)
        starts[axis - 1] = done
        place = further(rank, starts, program.view(node.output))
        done += operand.shape[axis] if operand is not None else 0
        if program.view(number).offset != program.view(node.output).offset + place:
            move(program, number, 0, node.output, place, program.value(number))


def pad(program: Program, node: Node) -> None:
    before = [int(pair[0]) for pair in node.op.constant(1)[1:]]
    view = program.view(node.output)
    place = further(len(node.op.output.shape), before, view)
    out = program.value(node.output)
    program.need("border.h", "pad.h")
    step = program.step("fe_move", flat(size_of(out), {**steps_of("in", view), **steps_of("out", view)}))
    program.call("fe_flood", step, out.zero_point, program.at(node.output))
    move(program, node.inputs[0], 0, node.output, place, program.value(node.inputs[0]))


def constant(program: Program, node: Node) -> None:
    value = program.value(node.output)
    program.need("copy.h")
    program.call(
        "fe_constant",
        program.array("constant", np.asarray(value.data).reshape(-1)),
        value.size,
        program.at(node.output),
    )


STEPS: dict[str, Callable[[Program, Node], None]] = {
    "convolve": convolve, "depthwise": depthwise, "table": table, "binary": binary, "max_pool": pool,
    "average_pool": pool, "mean": mean, "softmax": softmax, "reshape": reshape, "concatenation": concatenation,
    "pad": pad, "constant": constant, "window": window,
}  # fmt: skip
