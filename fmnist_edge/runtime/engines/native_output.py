"""Capture what native libraries print to stdout and stderr, past Python's streams."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

__all__ = ["STDERR", "STDOUT", "captured_output", "without_log"]

STDOUT, STDERR = 1, 2
VERBOSE = "FMNIST_EDGE_VERBOSE"  # the switch of the command line too
LOG_LINE = re.compile("(VERBOSE|INFO|WARNING|ERROR): |└")  # LiteRT's, and the second line of its messages
ONE_AT_A_TIME = threading.Lock()  # two threads that exchange a descriptor would restore each other's


@contextmanager
def without_log() -> Iterator[None]:
    """Leave LiteRT's log lines out of stderr, unless FMNIST_EDGE_VERBOSE is set; LiteRT has no switch for them.

    What else was written to stderr meanwhile, by any thread, follows at the end. For short work only.
    """
    if os.environ.get(VERBOSE):
        yield
        return
    with ONE_AT_A_TIME:
        try:
            file = memory_file()
            ours = os.dup(STDERR)
        except OSError:  # no stderr, or no place to keep its lines
            yield
            return
        with file:
            os.dup2(file.fileno(), STDERR)
            try:
                yield
            finally:
                os.dup2(ours, STDERR)
                os.close(ours)
                file.seek(0)
                lines = file.read().decode(errors="replace").splitlines(keepends=True)
                rest = "".join(line for line in lines if not LOG_LINE.match(line))
                if rest:
                    os.write(STDERR, rest.encode())


def memory_file() -> IO[bytes]:
    """A file that needs no disk, where the system has such."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "w+b")
    from fmnist_edge.worker.temporary import temporary_stream  # here, because it imports much

    return temporary_stream()


@contextmanager
def captured_output(*descriptors: int) -> Iterator[Callable[[], str]]:
    """Capture the output to file descriptors, by default both. Call the yielded function for the text so far.

    This affects the whole process, so use it around short work only, such as loading a model.
    """
    from fmnist_edge.worker.temporary import temporary_stream

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
