"""Rewrite blocks of a README from results. A block is between `<!-- report:NAME -->` and `<!-- /report -->`.

Filters select rows, as in `<!-- report:latency engine=litert,onnxruntime threads=1 -->`.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from fmnist_edge.errors import FileError, InputError, UnknownNameError
from fmnist_edge.report.markdown import BLOCKS, escaped
from fmnist_edge.report.runs import Row, Run, with_rows

__all__ = ["read", "regenerate"]

OPENING, CLOSING = "<!-- report:", "<!-- /report -->"
BLOCK = re.compile(
    rf"^(?P<opening>{OPENING}(?P<name>\S+)(?P<filters>(?: \S+=\S+)*) -->)$(?P<body>.*?)^{CLOSING}$",
    re.DOTALL | re.MULTILINE,
)
FILTERS: dict[str, Callable[[Run, Row], str]] = {
    "run": lambda run, row: run.path.name.removesuffix(".json.gz"),
    "device": lambda run, row: row.device,
    "model": lambda run, row: row.group,
    "precision": lambda run, row: row.precision or "",
    "format": lambda run, row: row.format,
    "engine": lambda run, row: row.engine,
    "threads": lambda run, row: str(row.threads),
    "batch": lambda run, row: str(row.batch),
    "validity": lambda run, row: row.validity,
}


def read(path: Path) -> str:
    """The file's text. Raises FileError when it cannot be read or is not UTF-8."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: not UTF-8 text; expected a Markdown file") from None


def regenerate(text: str, runs: Sequence[Run], path: Path) -> tuple[str, list[str]]:
    """Rewrite every block of `text`; returns the new text and the names of the blocks that changed.

    `path`: the file of `text`; links to results are relative to it. Raises InputError when a marker is not closed or
    not valid, and when there is no block.
    """
    stale: list[str] = []

    def renew(found: re.Match[str]) -> str:
        name = found["name"]
        body = f"\n{block(name, found['filters'], runs, path)}\n"
        if body != found["body"]:
            stale.append(name)
        return f"{found['opening']}{body}{CLOSING}"

    blocks = list(BLOCK.finditer(text))
    if not blocks:
        raise InputError(
            f"{path}: has no block from {OPENING}NAME --> to {CLOSING}; add one, NAME is one of: {', '.join(BLOCKS)}"
        )
    nested = next((item["name"] for item in blocks if f"\n{OPENING}" in item["body"]), None)
    if nested or len(blocks) != f"\n{text}".count(f"\n{OPENING}"):
        what = nested or "at least one"
        raise InputError(f"{path}: block {what} has no {CLOSING}, or its marker is not `{OPENING}NAME key=value -->`")
    return BLOCK.sub(renew, text), stale


def block(name: str, filters: str, runs: Sequence[Run], path: Path) -> str:
    if name not in BLOCKS:
        close = difflib.get_close_matches(name, BLOCKS, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise UnknownNameError(f"{path}: unknown block {name!r}; choose from: {', '.join(BLOCKS)}.{hint}")
    rows = [(run, row) for run in runs for row in run.rows]
    for item in filters.split():
        key, _, values = item.partition("=")
        if key not in FILTERS:
            raise InputError(f"{path}: block {name}: unknown filter {key!r}; choose from: {', '.join(FILTERS)}")
        rows = [pair for pair in rows if FILTERS[key](*pair) in values.split(",")]
    if not rows:
        raise InputError(f"{path}: block {name}: no measured cell fits{filters or ' it'}; change the marker's filters")
    return BLOCKS[name](with_rows(runs, [row for _, row in rows]), lambda run: linked(run, path))


def linked(run: Run, readme: Path) -> str:
    """A link to the results file if it is below the README's folder; otherwise its name."""
    name = escaped(run.file)
    relative = os.path.relpath(run.path.resolve(), readme.resolve().parent)
    outside = relative.startswith("..") or Path(relative).is_absolute()
    return name if outside else f"[{name}]({quote(Path(relative).as_posix())})"
