"""Markdown tables for stdout and progress bars for stderr."""

from __future__ import annotations

import faulthandler
import io
import os
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

__all__ = ["Track", "progress_bar", "silence_native_stderr", "table", "track", "warn"]

T = TypeVar("T")
Track = Callable[[Sequence[Any], str], Iterator[Any]]  # `track`, or one of the caller's

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")  # would break a row, or move a terminal's cursor
PLAIN = r"[-+]?(\d{1,3}(,\d{3})+|\d+)(\.\d+)?(e[-+]?\d+)?( ?(%|pp|[µm]?s|min|[kMG]?B|[kMG]?Hz|dB|°C|W|×))?"
NUMBER = re.compile(
    rf"(≈ ?)?{PLAIN}"
    rf"( ± {PLAIN}| \[{PLAIN}, {PLAIN}\]| of {PLAIN})?"  # uncertainty, interval, or total
    r"( \([^()]*\))?( FAIL)?(\\?\*)?"  # remarks; the star may be escaped for Markdown
)


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    left: Collection[str] = (),
    right: Collection[str] = (),
) -> str:
    """A Markdown table that also reads well in a terminal. A column of numbers is aligned right.

    `left`, `right`: headings of columns with a fixed alignment. A hash, for example, may look like a number. Control
    characters in cells become U+FFFD.

    >>> print(table(["model", "size", "sha256"], [["a", "10", "12e4"], ["bb", "9", "5678"]], left=["sha256"]))
    | model | size | sha256 |
    | ----- | ---: | ------ |
    | a     |   10 | 12e4   |
    | bb    |    9 | 5678   |
    """
    lines = [[CONTROL.sub("\N{REPLACEMENT CHARACTER}", cell) for cell in row] for row in (header, *rows)]
    widths = [max(3, *(len(line[column]) for line in lines)) for column in range(len(header))]
    numeric = [
        heading in right or (heading not in left and bool(rows) and all(is_number(row[column]) for row in rows))
        for column, heading in enumerate(header)
    ]

    def draw(cells: Sequence[str]) -> str:
        padded = [
            cell.rjust(width) if right else cell.ljust(width) for cell, width, right in zip(cells, widths, numeric)
        ]
        return f"| {' | '.join(padded)} |"

    rule = ["-" * (width - 1) + ":" if right else "-" * width for width, right in zip(widths, numeric)]
    return "\n".join([draw(lines[0]), draw(rule), *map(draw, lines[1:])])


def is_number(cell: str) -> bool:
    """Whether a cell is a number in our notation, possibly with a remark, or a placeholder for a missing number.

    >>> all(map(is_number, ["1,204,048", "≈ 5.28 ms ± 30 % (note)", "+0.02 [-0.1, +0.3]", "99.98 (2 tied) FAIL", "–"]))
    True
    >>> any(map(is_number, ["12ab34cd", "2.14.0", "2026-11-28 10:00", "1 of many", "3x3 conv", "1,2"]))
    False
    """
    return cell in ("", "–", "∞") or NUMBER.fullmatch(cell) is not None


def warn(lines: Iterable[str]) -> None:
    """Print each line on stderr as a warning."""
    for line in lines:
        print(f"fmnist-edge: warning: {line}", file=sys.stderr)


def track(items: Sequence[T], label: str) -> Iterator[T]:
    """Iterate with a progress bar on stderr. There is no bar without tqdm, or when stderr is no terminal."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(items)
    return iter(tqdm(items, desc=label, leave=False, disable=not sys.stderr.isatty()))


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int, str], None]]:
    """Yield a function that moves a progress bar: call it with (done, total, next step). Silent where `track` is."""
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


def silence_native_stderr() -> None:
    """Keep Python's stderr, and discard what C++ libraries write to file descriptor 2.

    TensorFlow and the engines log there before a log level can be set. Crash reports still appear.
    """
    ours = os.dup(2)
    sys.stderr = io.TextIOWrapper(io.FileIO(ours, "w"), encoding="utf-8", errors="replace", line_buffering=True)
    faulthandler.enable(sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
