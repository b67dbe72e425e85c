"""What the parts counted, as docs/reliability.json, and as tables between the marks in docs/reliability.md."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fmnist_edge.console import table
from fmnist_edge.files import write_atomic, write_json

__all__ = ["write_report"]

Rows = list[dict[str, Any]]


def write_report(counted: Path, docs: Path) -> None:
    """Summarise every part that was run; tables of parts that were not stay as they are."""
    found: dict[str, Rows] = defaultdict(list)
    for path in sorted(counted.glob("*.json")):
        found[path.stem.partition("-")[0]] += json.loads(path.read_text())
    file = docs / "reliability.json"
    summary = json.loads(file.read_text()) if file.exists() else {"schema": 1}
    page = (docs / "reliability.md").read_text()
    for part, rows in found.items():
        summary[part] = SUMMARIES[part](rows)
        page = with_block(page, part, TABLES[part](summary[part]))
    write_json(file, summary)
    write_atomic(docs / "reliability.md", page)


def with_block(page: str, name: str, text: str) -> str:
    pattern = re.compile(rf"(<!-- torture:{name} -->\n).*?(<!-- /torture -->)", re.DOTALL)
    if not pattern.search(page):
        raise ValueError(f"docs/reliability.md has no marks for {name}")
    return pattern.sub(lambda marks: f"{marks[1]}{text}\n{marks[2]}", page)


def kept(rows: Iterable[dict[str, Any]]) -> dict[str, int]:
    rows = list(rows)
    return {"tried": len(rows), "kept": sum(not row["faults"] for row in rows)}


def hostile(rows: Rows) -> dict[str, Any]:
    files = {(row["format"], row["attack"], row["number"]) for row in rows}
    kinds = ("crash", "hang", "code", "wrote", "internal", "traceback", "refusal")
    return {
        "files": len(files),
        "files_by_format": dict(sorted(Counter(form for form, _, _ in files).items())),
        "attacks": len({(form, attack) for form, attack, _ in files}),
        **kept(rows),
        "faults": {kind: sum(any(kind in fault for fault in row["faults"]) for row in rows) for kind in kinds},
        "slowest_s": max(row["seconds"] for row in rows),
        "commands": {
            f"{form} {command}": {
                **kept(chosen),
                "refused": sum(row["code"] in (2, 3) for row in chosen),
                "slowest_s": max(row["seconds"] for row in chosen),
            }
            for (form, command), chosen in sorted(grouped(rows, "format", "command").items())
        },
    }


def hostile_table(summary: dict[str, Any]) -> str:
    rows = [
        [*name.split(" ", 1), *(f"{item[key]:,}" for key in ("tried", "refused", "kept")), f"{item['slowest_s']:.1f}"]
        for name, item in summary["commands"].items()
    ]
    faults = ", ".join(f"{kind} {count}" for kind, count in summary["faults"].items())
    by_format = ", ".join(f"{count:,} {form}" for form, count in summary["files_by_format"].items())
    return (
        f"{summary['files']:,} files ({by_format}) of {summary['attacks']} kinds of attack, {summary['tried']:,} "
        f"runs of commands; {summary['kept']:,} kept every promise. Faults: {faults}.\n\n"
        + table(["format", "command", "tried", "refused", "kept every promise", "slowest s"], rows)
    )


def interrupt(rows: Rows) -> dict[str, Any]:
    return {
        name: {
            **kept(chosen),
            "killed": sum(row["killed"] for row in chosen),
            "mixed": sum(row["mixed"] for row in chosen),
        }
        for (name,), chosen in sorted(grouped(rows, "command").items())
    }


def interrupt_table(summary: dict[str, Any]) -> str:
    keys = ("tried", "killed", "mixed", "kept")
    header = ["command", "runs", "killed before their end", "new file, old manifest", "kept every promise"]
    return table(header, [[name, *(str(item[key]) for key in keys)] for name, item in summary.items()])


def refusals(rows: Rows) -> dict[str, Any]:
    named = [{**row, "adversity": re.sub(r" after [\d,]+ bytes", "", row["adversity"])} for row in rows]
    return {" | ".join(key): kept(chosen) for key, chosen in sorted(grouped(named, "adversity", "command").items())}


def refusals_table(summary: dict[str, Any]) -> str:
    rows = [[*name.split(" | "), str(item["tried"]), str(item["kept"])] for name, item in summary.items()]
    return table(["adversity", "command", "tried", "kept every promise"], rows)


def edges(rows: Rows) -> dict[str, Any]:
    return {
        "files": len({row["file"] for row in rows}),
        "edges": len({row["edge"] for row in rows}),
        "engines": {
            engine: {**kept(chosen), "answered": sum(row["outcome"] == "answered" for row in chosen)}
            for (engine,), chosen in sorted(grouped(rows, "engine").items())
        },
    }


def edges_table(summary: dict[str, Any]) -> str:
    rows = [
        [name, *(f"{item[key]:,}" for key in ("tried", "answered", "kept"))]
        for name, item in summary["engines"].items()
    ]
    first = f"{summary['edges']} edges, {summary['files']} files.\n\n"
    return first + table(["engine", "tried", "answered", "same answer or same refusal"], rows)


def fuzz(rows: Rows) -> dict[str, Any]:
    return {row["parser"]: {key: row[key] for key in ("seconds", "inputs", "edges_covered", "faults")} for row in rows}


def fuzz_table(summary: dict[str, Any]) -> str:
    rows = [
        [name, f"{item['seconds']}", f"{item['inputs']:,}", f"{item['edges_covered']:,}", str(len(item["faults"]))]
        for name, item in summary.items()
    ]
    return table(["parser", "seconds", "inputs", "edges covered", "faults"], rows)


def grouped(rows: Rows, *keys: str) -> dict[tuple[str, ...], Rows]:
    found: dict[tuple[str, ...], Rows] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return found


SUMMARIES = {"hostile": hostile, "interrupt": interrupt, "refusals": refusals, "edges": edges, "fuzz": fuzz}
TABLES = {
    "hostile": hostile_table,
    "interrupt": interrupt_table,
    "refusals": refusals_table,
    "edges": edges_table,
    "fuzz": fuzz_table,
}
