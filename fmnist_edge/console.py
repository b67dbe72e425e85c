"""What the command line draws: Markdown tables on stdout, progress on stderr."""

from __future__ import annotations

import faulthandler
import io
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["hide_native_chatter", "progress_bar", "table", "track"]

T = TypeVar("T")


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, aligned so that it also reads well in a terminal; numbers to the right.

    >>> print(table(["model", "size"], [["a", "10"], ["bb", "9"]]))
    | model | size |
    | ----- | ---: |
    | a     |   10 |
    | bb    |    9 |
    """
    lines = [list(header), *[list(row) for row in rows]]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    numeric = [bool(rows) and all(looks_numeric(row[column]) for row in rows) for column in range(len(header))]

    def draw(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(cells, widths, numeric)
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + ":" if right else "-" * width for width, right in zip(widths, numeric)]
    return "\n".join([draw(lines[0]), draw(rule), *map(draw, lines[1:])])


def looks_numeric(cell: str) -> bool:
    return cell in ("", "–", "∞") or cell[0].isdigit() or (cell[0] in "-+≈" and cell[1:2].isdigit())


def track(items: Sequence[T], label: str) -> Iterator[T]:
    """Iterate with a progress bar on stderr; on a device without tqdm, or with stderr in a file, just iterate."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(items)
    return iter(tqdm(items, desc=label, leave=False, disable=not sys.stderr.isatty()))


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar for work that reports (done, total, what is next) itself; a silent one where `track` would be silent."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda done, total, text: None
        return
    with tqdm(desc=label, leave=False, disable=not sys.stderr.isatty()) as bar:

        def progress(done: int, total: int, text: str) -> None:
            bar.total, bar.n = total, done
            bar.set_postfix_str(text)

        yield progress


def hide_native_chatter() -> None:
    """Keep our own stderr, and send what C++ libraries write to file descriptor 2 to nowhere.

    TensorFlow and the engines log there before any level can be set. A crash report still gets through.
    """
    ours = os.dup(2)
    sys.stderr = io.TextIOWrapper(io.FileIO(ours, "w"), encoding="utf-8", errors="replace", line_buffering=True)
    faulthandler.enable(sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
