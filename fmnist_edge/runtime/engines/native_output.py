"""What libraries print past Python, to the process's own stdout and stderr: collected, and kept out of ours."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmnist_edge.worker.temporary import temporary_stream

__all__ = ["STDERR", "STDOUT", "collected"]

STDOUT, STDERR = 1, 2


@contextmanager
def collected(*descriptors: int) -> Iterator[Callable[[], str]]:
    """Collect what is written to file descriptors, both by default; call what is yielded for the text so far.

    For the whole process: keep it around what is short, such as a load.
    """
    numbers = descriptors or (STDOUT, STDERR)
    flush()
    with temporary_stream() as file:
        ours = {number: os.dup(number) for number in numbers}
        for number in numbers:
            os.dup2(file.fileno(), number)

        def text() -> str:
            flush()
            return os.pread(file.fileno(), 1 << 20, 0).decode(errors="replace")

        try:
            yield text
        finally:
            flush()
            for number, copy in ours.items():
                os.dup2(copy, number)
                os.close(copy)


def flush() -> None:
    """Python's buffers and C's: what is in them belongs to the descriptor of now."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ctypes.CDLL(None).fflush(None)
