"""How a child process can end, and the one line that says it."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fmnist_edge import errors
from fmnist_edge.errors import FmnistEdgeError, one_line

__all__ = ["PROGRESS", "Ending", "How", "crashed_or_exited", "last_words", "message_in", "reply"]

# The key of each of our lines, and its value in one that is no reply. The child has both as literals.
MARK, PROGRESS = "fmnist-edge", "progress"
LINE = 200  # characters of a line that somebody else's code wrote


class How(Enum):
    DONE = "done"  # it replied; a program: its exit code is 0
    REFUSED = "refused"  # it raised an error of our tree, which is `Ending.error`
    FAILED = "failed"  # it raised another exception
    CRASHED = "crashed"  # a signal ended it, whose name is `Ending.signal`
    EXITED = "exited"  # it ended by itself without a reply; a program: with another exit code
    TIMED_OUT = "timed out"  # it took too long or gave no sign of life, and was ended
    NOT_STARTED = "not started"


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        reason: one line; empty where it is DONE.
        value: what the task returned. Without a reply, and of a program: what was printed, of which the end is kept.
        code: the exit code, of a process that ended without a reply.
    """

    how: How
    reason: str = ""
    value: Any = None
    error: FmnistEdgeError | None = None
    signal: str = ""
    code: int | None = None

    def result(self, kind: type[FmnistEdgeError], prefix: str = "") -> Any:
        """`value`. Raises the error that the child raised, and `kind` with `prefix` and the reason for other ends."""
        if self.error is not None:
            raise self.error
        if self.how is not How.DONE:
            raise kind(prefix + self.reason)
        return self.value


def message_in(line: bytes) -> tuple[str, Any] | None:
    """What one of our lines says: PROGRESS or a How's value, and what comes with it. None for one that is not ours."""
    try:
        found = json.loads(line)
        kind, value = found[MARK], found["value"]
        return (kind, value) if kind == PROGRESS else (How(kind).value, value)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def reply(name: str, value: Any) -> Ending:
    """The end that a child's last message tells."""
    how = How(name)
    if how is How.DONE:
        return Ending(how, value=value)
    if how is How.FAILED:
        return Ending(how, value)
    found = vars(errors).get(value["error"])
    kind = found if isinstance(found, type) and issubclass(found, FmnistEdgeError) else FmnistEdgeError
    return Ending(how, value["message"], error=kind(value["message"]))


def crashed_or_exited(code: int, said: str) -> Ending:
    """The end of a child that gave no reply; `said`: what it printed."""
    if code < 0:
        name = signal_name(-code)
        return Ending(How.CRASHED, f"crashed ({name}){last_words(said)}", said, signal=name)
    return Ending(
        How.EXITED, f"its process ended with code {code} ({last_line(said) or 'no message'})", said, code=code
    )


def last_words(said: str) -> str:
    """The last line, as the end of a sentence about a process that could not say why."""
    line = last_line(said)
    return f"; last it said: {line}" if line else ""


def last_line(said: str) -> str:
    lines = said.strip().splitlines()
    return one_line(ValueError(lines[-1]), LINE) if lines else ""


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
