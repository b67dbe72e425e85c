"""Blocks of a README that are written from results, between lines `<!-- report:NAME -->` and `<!-- /report -->`.

`<!-- report:latency engine=litert,onnxruntime threads=1 -->` has only the rows that fit.
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

__all__ = ["read", "regenerated"]

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
    """Raises FileError when the file is no text that can be read."""
    try:
        return path.read_bytes().decode()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise FileError(f"{path}: not UTF-8 text; name a Markdown file") from None


def regenerated(text: str, runs: Sequence[Run], path: Path) -> tuple[str, list[str]]:
    """`text` with every block as the results give it, and the names of the blocks that were not so.

    `path` is the file that `text` is from: results are linked relative to it. Raises InputError for a marker that is
    not closed or not understood, and where there is none.
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
        raise InputError(f"{path}: no block of {OPENING}NAME --> and {CLOSING}; NAME is one of: {', '.join(BLOCKS)}")
    nested = next((item["name"] for item in blocks if f"\n{OPENING}" in item["body"]), None)
    if nested or len(blocks) != f"\n{text}".count(f"\n{OPENING}"):
        what = nested or "at least one"
        raise InputError(f"{path}: block {what} is not closed, or its marker is not `{OPENING}NAME key=value -->`")
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
        raise InputError(f"{path}: block {name}: no measured cell has{filters or ' a row'}; change the marker")
    return BLOCKS[name](with_rows(runs, [row for _, row in rows]), lambda run: linked(run, path))


def linked(run: Run, readme: Path) -> str:
    """A link to the results file where it is below the README's folder; else only its name."""
    name = escaped(run.file)
    relative = os.path.relpath(run.path.resolve(), readme.resolve().parent)
    outside = relative.startswith("..") or Path(relative).is_absolute()
    return name if outside else f"[{name}]({quote(Path(relative).as_posix())})"
