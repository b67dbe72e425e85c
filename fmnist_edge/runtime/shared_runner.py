"""Share one engine between threads, and with forked children."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from fmnist_edge.errors import InputError, UnavailableError
from fmnist_edge.runtime.engine import Engine

__all__ = ["SharedRunner"]


class HasEngine(Protocol):
    """A Runner or a TensorRunner."""

    engine: Engine


R = TypeVar("R", bound=HasEngine)
T = TypeVar("T")


class SharedRunner(Generic[R]):
    """A runner whose calls take turns. A forked child gets an engine of its own at its first call.

    Attributes:
        reload: creates the engine of a forked child; None keeps the parent's.
    """

    def __init__(self, runner: R, reload: Callable[[], Engine] | None, what: str = "classifier") -> None:
        """`what`: a word for it, for messages."""
        self.reload = reload
        self._runner = runner
        self._process = os.getpid()
        self._locks: dict[int, threading.Lock] = {}
        self._inherited_engines: list[Engine] = []
        self._closed = False
        self._what = what

    @property
    def engine(self) -> Engine:
        return self._runner.engine

    def call(self, function: Callable[[R], T]) -> T:
        """`function` of the runner. Raises InputError when closed, UnavailableError after a fork for some engines."""
        with self._lock():
            return function(self._current())

    def close(self) -> None:
        """Free the engine's memory, in the process that loaded it."""
        with self._lock():
            self._closed = True
            if os.getpid() == self._process:
                self.engine.close()

    def _lock(self) -> threading.Lock:
        """The lock of this process. In a forked child, the parent's lock may stay locked forever."""
        process = os.getpid()
        return self._locks.get(process) or self._locks.setdefault(process, threading.Lock())

    def _current(self) -> R:
        """The runner. In a forked child it gets a new engine."""
        if self._closed:
            raise InputError(f"the {self._what} is closed; load the file again")
        process = os.getpid()
        if process != self._process:
            if not self.engine.survives_fork:
                raise UnavailableError(
                    f"{self.engine.name} does not survive a fork; start processes by 'spawn', and load the file there"
                )
            if self.reload is not None:
                # Never freed: that may wait for threads that do not exist in this process.
                self._inherited_engines.append(self.engine)
                self._runner.engine = self.reload()
            self._process = process
        return self._runner
