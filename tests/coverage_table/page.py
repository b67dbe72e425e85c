"""docs/coverage.md: a row a layer, a column a format and precision, and the reasons of all refusals below."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from coverage_table.applications import APPLICATIONS, application_precisions
from coverage_table.case import Case
from coverage_table.cases import FAMILIES, NO_CASE
from coverage_table.judge import BOUNDS, SOUND, Bound
from coverage_table.run import Row, precisions
from fmnist_edge.console import table
from fmnist_edge.files import write_atomic

__all__ = ["cell", "page", "reason_of", "write_page"]

# What differs from model to model in the reason of a refusal. The first groups are names of ops, and layers.
OPS = re.compile(
    r"(?<=kernel for )[^;]*|(?<=wrong for )[^;]*|(?<=does not compute )\w+, [^(]*\w|(?<=needs )\w+(?=, which ONNX)"
)
CHANGING = (
    (re.compile(r"^\w+ cannot be integer-only"), "the model cannot be integer-only"),
    (re.compile(r"(layer|operation) ('[^']*'|\w+)(, '[^']*')*( and \d+ more)?"), "layer …"),
    (re.compile(r"[\d.]+(e[+-]\d+)? apart, expected at most [\d.]+(e[+-]\d+)?"), "further apart than expected"),
    (re.compile(r"^the (onnx|tflite) \w+ file gives"), "the file gives"),
    (re.compile(r"image reaches \w+( of layer …)?"), "image reaches …"),
)
NAME = re.compile(r"\b[A-Z]\w+\b")
SHORT = {"float32": "f32", "float16": "f16", "dynamic_int8": "dyn8", "int8": "i8", "int8_only": "i8only",
         "int16x8": "i16x8"}  # fmt: skip
INTRO = """# What exports

`make coverage-table` writes this page. It builds a small model around every layer, activation and operation that loads
([loading.md](loading.md)), in several settings each, exports it in every format and precision that `export` writes by
default, runs the file in its default engine, and compares the scores with Keras's: on noise, on smooth images, and
on one black and one white image. The integer precisions are calibrated on these same images: the question is whether
kernels compute the layer. How a whole network fares, `fmnist-edge check` says.

| cell | meaning |
| --- | --- |
| `=` | the same as Keras: at most 0.01 % of the output's range away |
| `≈` | within the precision's bound, see below |
| `–3` | refused in one line, for reason 3 of the list below |
| `≈ –3` | some settings within the bound, others refused |
| `·` | Keras itself cannot compute some setting |
| `✗` | a fault: a wrong answer, a crash, or a converter's message that nobody explained |
"""
APPLICATIONS_TEXT = """## keras.applications

The smallest network of each family at its smallest image, with random weights: `make coverage-table APPLICATIONS=1`.
float32 must be the same, or within 0.1 % of the range. Nothing was trained to stand rounding, and deep networks amplify
it. So a cell of int8 says on how many images the top class is the same, how the scores correlate with Keras's, and how
those of int8 simulated in Keras do. A correlation that is more than 0.2 below the simulated one is a fault.
"""
BOUNDS_TEXT = """## Bounds

A difference is a fraction of the output's range over all images. Its largest value and its mean have to stay within a
bound. Integer precisions round between the ops of a layer, so their bound counts once for each rounded tensor that
lies behind another one inside the layer (1 for most, 4 for LayerNormalization, 12 for six steps of an LSTM). On top
comes what rounding does to the layer itself: the same model is run in Keras with its weights rounded to seven bits, and
with its input moved by half a step of eight bits. Twice that change is allowed, as 1 / x or a comparison can make much
of a small step.
"""


def write_page(rows: Sequence[Row], path: Path) -> None:
    write_atomic(path, page(rows))


def page(rows: Sequence[Row]) -> str:
    reasons = numbered(rows)
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[name_of(row["case"])].append(row)
    parts = [INTRO, summary(rows), BOUNDS_TEXT + "\n" + bounds_table()]
    parts += [family(title, cases, by_name, reasons) for title, cases in FAMILIES.items()]
    parts += [applications(by_name, reasons), reasons_table(reasons, rows), without_case()]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def name_of(case: str) -> str:
    """
    >>> name_of("layers/Dense/default"), name_of("operations/numpy.Divide/a number / x")
    ('layers/Dense', 'operations/numpy.Divide')
    """
    return "/".join(case.split("/")[:2])


def summary(rows: Sequence[Row]) -> str:
    counts = {result: sum(row["result"] == result for row in rows) for result in SOUND}
    faults = len(rows) - sum(counts.values())
    models = len({row["case"] for row in rows})
    return (
        f"{models:,} models, {len(rows):,} exports: {counts['same']:,} the same, {counts['within']:,} within the "
        f"bound, {counts['refused']:,} refused, {counts['keras']:,} not computed by Keras itself, {faults:,} faults."
    )


def bounds_table() -> str:
    kinds = {"half": "input and weights in float16", "eight": "weights and input", "weights": "weights"}

    def line(name: str, bound: Bound) -> list[str]:
        rounded = f"{bound.propagated:g} × the change by rounding {kinds[bound.rounding]}" if bound.rounding else ""
        return [name, f"{bound.largest:.2%}", f"{bound.mean:.2%}", rounded]

    header = ["activations or weights", "largest", "mean", "plus"]
    return table(header, [line(name, bound) for name, bound in BOUNDS.items()])


def family(title: str, cases: Sequence[Case], rows: dict[str, list[Row]], reasons: dict[str, int]) -> str:
    names = list(dict.fromkeys(f"{case.kind}/{case.name}" for case in cases))
    header = ["", "settings", *(f"{item.format} {SHORT.get(item.name, item.name)}" for item in precisions())]
    lines = []
    for name in names:
        found = rows.get(name, [])
        settings = len({row["case"] for row in found})
        cells = [
            cell([row for row in found if (row["format"], row["precision"]) == (item.format, item.name)], reasons)
            for item in precisions()
        ]
        lines.append([f"`{name.partition('/')[2]}`", str(settings), *cells])
    return f"## {title}\n\n{table(header, sorted(lines), left=header[2:])}"


def applications(rows: dict[str, list[Row]], reasons: dict[str, int]) -> str:
    """The table of keras.applications; an int8 cell says how it agrees."""
    header = ["network", "image", *(f"{item.format} {item.name}" for item in application_precisions())]

    def told(row: Row) -> str:
        return " ".join(
            filter(None, [cell([row], reasons), row["detail"] if row["result"] in ("within", "wrong") else ""])
        )

    lines = []
    for item in APPLICATIONS:
        found = {(row["format"], row["precision"]): told(row) for row in rows.get(name_of(item.id), [])}
        if found:
            cells = [found.get((kind.format, kind.name), "") for kind in application_precisions()]
            lines.append([f"`{item.name}`", f"{item.size}×{item.size}", *cells])
    return f"{APPLICATIONS_TEXT}\n{table(header, lines, left=header)}" if lines else ""


def cell(rows: Sequence[Row], reasons: dict[str, int]) -> str:
    """One cell: what all settings of a layer came to in one precision."""
    results = {row["result"] for row in rows}
    parts = ["✗"] if results - set(SOUND) else []
    if "within" in results or "same" in results:
        parts.append("≈" if "within" in results else "=")
    parts += ["·"] if "keras" in results else []
    refused = {reasons[reason_of(row)] for row in rows if row["result"] == "refused"}
    return " ".join([*parts, *(f"–{number}" for number in sorted(refused))])


def reason_of(row: Row) -> str:
    """The reason without the names of this one model.

    >>> reason_of({"detail": "TFLite has no kernel for Erf, which layer 'a', 'b' needs; write it otherwise"})
    'TFLite has no kernel for …; write it otherwise'
    >>> reason_of({"detail": "layer 'a' needs Invert, which ONNX opset 17 does not have; replace layer 'a', or wait"})
    'layer … needs …, which ONNX opset 17 does not have; replace layer …, or wait'
    """
    text = OPS.sub("…", row["detail"])
    for pattern, text_instead in CHANGING:
        text = pattern.sub(text_instead, text)
    return text


def numbered(rows: Iterable[Row]) -> dict[str, int]:
    """Reason -> its number, in order of first appearance."""
    reasons = dict.fromkeys(reason_of(row) for row in rows if row["result"] == "refused")
    return {reason: number for number, reason in enumerate(reasons, 1)}


def reasons_table(reasons: dict[str, int], rows: Sequence[Row]) -> str:
    where: dict[str, dict[str, None]] = defaultdict(dict)
    ops: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        if row["result"] == "refused":
            where[reason_of(row)][f"{row['format']} {row['precision']}"] = None
            for match in OPS.findall(row["detail"]):
                ops[reason_of(row)] |= set(NAME.findall(re.sub("'[^']*'", "", match)))
    lines = [
        f"| {number} | {reason.replace('|', '/')} | {', '.join(sorted(ops[reason]))} | {', '.join(where[reason])} |"
        for reason, number in reasons.items()
    ]
    return "\n".join(
        ["## Why something is refused", "", "| | reason | ops | in |", "| --- | --- | --- | --- |", *lines]
    )


def without_case() -> str:
    lines = [f"| `{name.partition('/')[2]}` | {why} |" for name, why in NO_CASE.items()]
    return "\n".join(["## Without a model of its own", "", "| | why |", "| --- | --- |", *lines])
