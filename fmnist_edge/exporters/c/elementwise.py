"""Describe elementwise ops to their kernels: tables, sums and products, and functions of a window's sum."""

from __future__ import annotations

import numpy as np

from fmnist_edge.exporters.c.binary import LOW_BITS, Formula, formula_for
from fmnist_edge.exporters.c.fields import flat, size_of, steps_of
from fmnist_edge.exporters.c.graph import Node, Value, pair_function
from fmnist_edge.exporters.c.program import Program
from fmnist_edge.runtime.flatbuffer import RefusedError

__all__ = ["binary", "table", "window"]


def table(program: Program, node: Node) -> None:
    steps = {**steps_of("in", program.view(node.inputs[0])), **steps_of("out", program.view(node.output))}
    program.need("table.h")
    step = program.step("fe_move", flat(size_of(program.value(node.output)), steps))
    name = program.array("table", np.asarray(node.table))
    program.call("fe_table", step, name, program.at(node.inputs[0]), program.at(node.output))


def binary(program: Program, node: Node) -> None:
    out, operands = program.value(node.output), [program.value(number) for number in node.inputs]
    steps = {**steps_of("out", program.view(node.output))}
    for name, value in zip("ab", operands, strict=False):
        view = program.view(value.number)
        steps[f"{name}_row_step"] = view.row_step if value.rows == out.rows else 0
        steps[f"{name}_column_step"] = view.column_step if value.columns == out.columns else 0
        steps[f"{name}_step"] = 1 if value.channels == out.channels else 0
        if any(size not in (1, whole) for size, whole in zip(value.shape, out.shape, strict=False)):
            raise RefusedError(f"{node.op.kind} {node.op.output.name!r} broadcasts {value.shape} to {out.shape}")
    size = {name: steps.pop(name) for name in ("a_step", "b_step")}
    same = all(value.shape == out.shape for value in operands)
    flattened = flat(size_of(out), steps) if same else {**size_of(out), **steps}
    results = pair_function(node.op)
    formula = formula_for(node.op, results)
    step = {**flattened, **size, **numbers_of(formula, operands[0], operands[1])}
    addresses = [program.at(number) for number in (*node.inputs, node.output)]
    program.need("binary.h")
    if formula is None:
        program.need("pair.h")
        program.call(
            "fe_pair", program.step("fe_binary", step), program.array("pairs", results.reshape(-1)), *addresses
        )
        return
    kernel = "multiply" if node.op.kind == "MUL" else "add"
    program.need(f"{kernel}.h")
    program.call(f"fe_{kernel}", program.step("fe_binary", step), *addresses)


def numbers_of(formula: Formula | None, a: Value, b: Value) -> dict[str, int]:
    """The fields of fe_binary that compute."""
    mask = (1 << LOW_BITS) - 1
    numbers = dict.fromkeys(("first", "second", "add", "negative"), 0) if formula is None else vars(formula)
    halves = {f"{name}_high": numbers[name] >> LOW_BITS for name in ("first", "second", "add")}
    halves |= {f"{name}_low": numbers[name] & mask for name in ("first", "second", "add")}
    return {
        **halves, "a_zero_point": a.zero_point, "b_zero_point": b.zero_point,
        "negative": numbers["negative"], "shift": 0 if formula is None else formula.shift,
        "low": -128 if formula is None else formula.low, "high": 127 if formula is None else formula.high,
    }  # fmt: skip


def window(program: Program, node: Node) -> None:
    """A function of a window's sum, and its product with the source when `node.op` is the MUL."""
    found, source, out = node.window, program.value(node.inputs[0]), program.value(node.output)
    if found is None or node.table is None:
        raise ValueError(f"{node.op.output.name!r} is no function of a window's sum")
    views = program.view(source.number), program.view(out.number)
    size, steps = size_of(out), {**steps_of("in", views[0]), **steps_of("out", views[1])}
    if found.across:
        if any(view.column_step != source.channels for view in views):
            raise RefusedError(f"{node.op.kind} {node.op.output.name!r} has a row of pixels with gaps")
        size = {"rows": source.rows, "columns": 1, "channels": source.columns * source.channels}
    program.need("binary.h", "window_sums.h")
    step = program.step("fe_window_sum", {
        **size, **steps, "before": found.before, "after": found.after, "zero_point": found.zero_point,
        "least": found.least,
    })  # fmt: skip
    values = program.array("table", np.frombuffer(found.values, np.int8))
    results = program.array("factors_of_sums", node.table)
    addresses = program.at(source.number), program.at(out.number)
    program.call("fe_window_sums", step, product_step(program, node, source), values, results, *addresses)


def product_step(program: Program, node: Node, source: Value) -> str:
    if node.op.kind != "MUL":
        return "NULL"
    one, two = (program.value(node.op.operand(number).index) for number in (0, 1))
    factor = two if one.number == source.number else one
    formula = formula_for(node.op, pair_function(node.op))
    places = dict.fromkeys(("rows", "columns", "channels", "a_row_step", "a_column_step", "a_step", "b_row_step",
                            "b_column_step", "b_step", "out_row_step", "out_column_step"), 0)  # fmt: skip
    return program.step("fe_binary", {**places, **numbers_of(formula, source, factor)})
