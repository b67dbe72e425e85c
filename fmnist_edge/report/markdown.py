"""Write a report's tables as Markdown: one document, named blocks for a README, and text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from fmnist_edge import console
from fmnist_edge.report import boards, tables
from fmnist_edge.report.boards import BoardFigures
from fmnist_edge.report.in_browser import browser_table
from fmnist_edge.report.runs import Run
from fmnist_edge.report.tables import Table

__all__ = ["BLOCKS", "Link", "document", "escaped", "terminal"]

Link = Callable[[Run], str]  # a run -> the name of its results file, or a link to it

# Characters that Markdown or its embedded HTML would interpret. An underscore inside a word is plain text.
SPECIAL = re.compile(r"[\\`*\[\]|~]|(?<!\w)_|_(?!\w)")
# Columns that a terminal of 120 columns has no room for.
NOT_IN_TERMINAL = ("stock", "twin", "ours %", "stock %", "twin %", "windows", "kB", "p99 µs")
ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escaped(text: str) -> str:
    r"""Escape text for Markdown, so that it is shown unchanged.

    >>> escaped("tiny_resnet|<b>")
    'tiny_resnet\\|&lt;b&gt;'
    """
    return SPECIAL.sub(lambda found: "\\" + found[0], text).translate(ENTITIES)


def shown(table: Table) -> str:
    return console.table(list(map(escaped, table.header)), [list(map(escaped, row)) for row in table.rows])


def runs_block(runs: Sequence[Run], link: Link) -> str:
    rows = [[*map(escaped, row), link(run)] for run, row in zip(runs, Table("", tables.RUNS, runs).rows, strict=True)]
    return console.table([*(column.heading for column in tables.RUNS), "results file"], rows)


def latency_block(runs: Sequence[Run], link: Link) -> str:
    return by_run(runs, link, lambda run: [tables.latencies(run)])


def pareto_block(runs: Sequence[Run], link: Link) -> str:
    return by_run(runs, link, lambda run: [tables.fronts(run)])


def ratios_block(runs: Sequence[Run], link: Link) -> str:
    return by_run(runs, link, tables.ratios)


def claims_block(runs: Sequence[Run], link: Link) -> str:
    """VALID ratios only, and how many others there are."""
    parts = []
    for run in runs:
        every, sound = tables.every_ratio(run), tables.sound_ratios(run)
        if sound.items:
            parts.append(shown(sound))
        parts.append(
            f"{len(sound.items)} of {len(every.items)} ratios are VALID, known to ±5 % or better. From {link(run)}; "
            f"{escaped(cpu(run))}, plan {escaped(run.plan)}."
        )
    return "\n\n".join(parts)


def browser_block(runs: Sequence[Run], link: Link) -> str:
    return by_run(runs, link, lambda run: [browser_table(run)])


def cpu(run: Run) -> str:
    facts = dict(run.machine)
    return ", ".join(text for text in (facts.get("CPU"), facts.get("int8 instructions")) if text) or run.device


def devices_block(runs: Sequence[Run], link: Link) -> str:
    table = tables.side_by_side(runs)
    if table is None:
        return "No cell was measured on two devices."
    return f"{shown(table)}\n\nFrom {', '.join(map(link, runs))}."


BLOCKS: dict[str, Callable[[Sequence[Run], Link], str]] = {
    "runs": runs_block,
    "latency": latency_block,
    "pareto": pareto_block,
    "ratios": ratios_block,
    "claims": claims_block,
    "browser": browser_block,
    "devices": devices_block,
}


def by_run(runs: Sequence[Run], link: Link, make: Callable[[Run], list[Table]]) -> str:
    """Each run's tables, followed by a line with the results file."""
    parts = []
    for run in runs:
        made = [table for table in make(run) if table.items]
        for table in made:
            parts += [f"{table.title}:", shown(table)] if len(made) > 1 else [shown(table)]
        parts += [
            f"From {link(run)}; {escaped(run.device)}, plan {escaped(run.plan)}, {escaped(tables.run_verdict(run))}."
        ]
    return "\n\n".join(parts)


def document(runs: Sequence[Run], lines: Sequence[BoardFigures] = ()) -> str:
    """The whole report as one Markdown file."""
    parts = ["# Benchmark report", runs_block(runs, code)]
    both = tables.side_by_side(runs)
    if both is not None:
        parts += [f"## {both.title}", shown(both)]
    for run in runs:
        parts += [f"## {escaped(run.device)}, {escaped(run.created)}", f"Results file: {code(run)}"]
        parts.append("\n".join(f"- {escaped(line)}" for line in tables.facts(run)))
        for table in (tables.fronts(run), tables.latencies(run), *tables.ratios(run), tables.every_ratio(run)):
            if table.items:
                parts += [f"### {table.title}", shown(table)]
    for table in board_tables(lines):
        parts += [f"## {table.title}", shown(table)]
    return "\n\n".join(parts) + "\n"


def board_tables(lines: Sequence[BoardFigures]) -> list[Table]:
    """The tables of emulated and estimated figures, without empty ones."""
    return [table for table in (boards.emulated(lines), boards.estimated(lines)) if table.items]


def code(run: Run) -> str:
    return f"`{escaped(run.file.replace('`', ' '))}`"


def terminal(runs: Sequence[Run], lines: Sequence[BoardFigures] = ()) -> str:
    """The report for a terminal of 120 columns, with a narrower table for each model."""
    parts = [plain(Table("", tables.RUNS, runs))]
    both = tables.side_by_side(runs)
    if both is not None:
        parts += [f"{both.title}:", plain(both)]
    for run in runs:
        parts.append("\n".join([f"{run.device}: {run.file}", *(f"  {line}" for line in tables.facts(run))]))
        for model in dict.fromkeys(row.group for row in run.rows):
            rows = [row for row in run.rows if row.group == model]
            parts += [f"{model}:", plain(tables.table_of(model, tables.COMPACT, rows))]
        for table in (tables.fronts(run), *tables.ratios(run), tables.every_ratio(run)):
            if table.items:
                parts += [f"{table.title}:", plain(table, without=NOT_IN_TERMINAL)]
    for table in board_tables(lines):
        parts += [f"{table.title}:", plain(table)]
    return "\n\n".join(parts)


def plain(table: Table, without: Sequence[str] = ()) -> str:
    columns = [column for column in table.columns if column.heading not in without]
    narrow = Table(table.title, columns, table.items)
    return console.table(narrow.header, narrow.rows)
