"""How a child process ended, and the message that says so."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fmnist_edge import errors
from fmnist_edge.errors import FmnistEdgeError, one_line

__all__ = ["PROGRESS", "Ending", "Status", "ending_without_reply", "last_output", "parse_message", "reply"]

# The keys of each message, and the first one's value in a progress message. The child has them as literals.
MESSAGE_KEY, NONCE_KEY, PROGRESS = "fmnist-edge", "nonce", "progress"
MAX_LINE = 200  # characters of a line that other code printed


class Status(Enum):
    DONE = "done"  # it replied; a program exited with code 0
    REFUSED = "refused"  # it raised a FmnistEdgeError, which is `Ending.error`
    FAILED = "failed"  # it raised another exception
    CRASHED = "crashed"  # a signal ended it; `Ending.signal` is its name
    EXITED = "exited"  # it exited without a reply; a program exited with another code than 0
    TIMED_OUT = "timed out"  # it took too long or made no progress, and was ended
    NOT_STARTED = "not started"


@dataclass(frozen=True)
class Ending:
    """How a child ended.

    Attributes:
        reason: one line; empty when it is DONE.
        value: what the task returned. For a program, and without a reply: the last part of the output.
        error: the FmnistEdgeError that the task raised.
        signal: name of the signal that ended it.
        code: the exit code of a process that ended without a reply.
    """

    status: Status
    reason: str = ""
    value: Any = None
    error: FmnistEdgeError | None = None
    signal: str = ""
    code: int | None = None

    def result(self, kind: type[FmnistEdgeError], prefix: str = "") -> Any:
        """`value`. Raises the error that the child raised; on any other failure raises `kind(prefix + reason)`."""
        if self.error is not None:
            raise self.error
        if self.status is not Status.DONE:
            raise kind(prefix + self.reason)
        return self.value


def parse_message(line: bytes, nonce: str) -> tuple[str, Any] | None:
    """(kind, value) of a message; the kind is PROGRESS or a Status's value.

    None for a line that is no message, and for one without the `nonce` that only our child was given.
    """
    try:
        found = json.loads(line)
        kind, value = found[MESSAGE_KEY], found["value"]
        if found[NONCE_KEY] != nonce:
            return None
        return (kind, value) if kind == PROGRESS else (Status(kind).value, value)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def reply(name: str, value: Any) -> Ending:
    """The Ending that a child's reply describes."""
    status = Status(name)
    if status is Status.DONE:
        return Ending(status, value=value)
    if status is Status.FAILED:
        return Ending(status, value)
    found = vars(errors).get(value["error"])
    kind = found if isinstance(found, type) and issubclass(found, FmnistEdgeError) else FmnistEdgeError
    return Ending(status, value["message"], error=kind(value["message"]))


def ending_without_reply(code: int, printed: str) -> Ending:
    """The Ending of a child that gave no reply; `printed` is its output."""
    if code < 0:
        name = signal_name(-code)
        return Ending(Status.CRASHED, f"crashed ({name}){last_output(printed)}", printed, signal=name)
    return Ending(
        Status.EXITED, f"its process ended with code {code} ({last_line(printed) or 'no message'})", printed, code=code
    )


def last_output(printed: str) -> str:
    """The last line of the output, to append to a message; "" when there is none."""
    line = last_line(printed)
    return f"; last output: {line}" if line else ""


def last_line(printed: str) -> str:
    lines = printed.strip().splitlines()
    return one_line(ValueError(lines[-1]), MAX_LINE) if lines else ""


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
