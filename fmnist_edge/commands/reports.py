"""Where a command's report goes: into a file, to stdout, or, where the default folder is read-only, nowhere."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

from fmnist_edge.errors import FileError

__all__ = ["STDOUT", "Report"]

STDOUT = Path("-")


class Report:
    """A JSON report, or a page. Make one with `of` or `at` before the work, which may take minutes.

    Attributes:
        path: the file; STDOUT for stdout; None for a default file that cannot be written.
        option: the option that names another file.
    """

    def __init__(self, path: Path | None, option: str = "--report") -> None:
        self.path, self.option = path, option
        self._optional = False

    @classmethod
    def of(cls, options: argparse.Namespace) -> Report:
        """The report of `--report`. A default one that cannot be written is a note on stderr.

        Raises FileError when a file that the user named cannot be written.
        """
        return cls.at(options.report, optional=options.report is options.default_report)

    @classmethod
    def at(cls, path: Path, *, optional: bool, option: str = "--report") -> Report:
        """The report at `path`; `optional`: whether the command goes on when it cannot be written."""
        from fmnist_edge.files import check_writable

        report = cls(path, option)
        report._optional = optional
        if path != STDOUT:
            with report._noting_errors():
                check_writable(path.parent)
        return report

    def write(self, value: Any, *, merge: Callable[[Path, Any], Any] | None = None) -> None:
        """Write `value` as JSON. Raises FileError when it cannot be written, unless it is a default one.

        `merge`: makes of the file that is there, and `value`, what is written. Then no other run writes meanwhile.
        """
        from fmnist_edge.files import json_text

        def text(path: Path) -> str:
            return json_text(value if merge is None or path == STDOUT else merge(path, value))

        self._write(text, locked=merge is not None)

    def write_text(self, text: str) -> None:
        """As `write`, for a page."""
        self._write(lambda _: text)

    def _write(self, text: Callable[[Path], str], *, locked: bool = False) -> None:
        """`text`: of the file to write."""
        from fmnist_edge import files

        if self.path == STDOUT:
            sys.stdout.write(text(self.path))
            sys.stdout.flush()
        elif self.path is not None:
            lock = files.locked(self.path.parent, wait=True) if locked else nullcontext()
            with self._noting_errors(), lock:
                files.write_atomic(self.path, text(self.path))

    def page(self, name: str) -> Report:
        """A page beside this file: `name` in the same folder. It goes nowhere when this is on stdout or nowhere."""
        page = Report(None if self.path in (None, STDOUT) else self.path.with_name(name))
        page._optional = self._optional
        return page

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Print in here what is for people: to stderr, where stdout has the JSON."""
        with redirect_stdout(sys.stderr if self.path == STDOUT else sys.stdout):
            yield

    def say_written(self, more: str = "", before: str = "") -> None:
        """Print which file was written, if one was. `more` and `before`: the rest of the line, and an empty line."""
        if self.path not in (None, STDOUT):
            print(f"{before}wrote {self.path}{more}")

    @contextmanager
    def _noting_errors(self) -> Iterator[None]:
        try:
            yield
        except FileError as error:
            if not self._optional:
                raise
            self.path = None
            advice = f"{self.option} FILE names another file, {self.option} - prints it"
            print(f"fmnist-edge: note: no report is written: {error}; {advice}", file=sys.stderr)
