"""Capture what native libraries print to stdout and stderr, past Python's streams."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from fmnist_edge.worker.temporary import temporary_stream

__all__ = ["STDERR", "STDOUT", "captured_output"]

STDOUT, STDERR = 1, 2


@contextmanager
def captured_output(*descriptors: int) -> Iterator[Callable[[], str]]:
    """Capture the output to file descriptors, by default both. Call the yielded function for the text so far.

    This affects the whole process, so use it around short work only, such as loading a model.
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
    """Flush the buffers of Python and C, whose content belongs to the current target of the descriptors."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    ctypes.CDLL(None).fflush(None)
