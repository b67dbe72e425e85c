"""The parent's side of a child: start it, wait for its reply, tell how it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fmnist_edge.bench.loop import SLOW_SERIES, SLOW_SERIES_S, Request, failed
from fmnist_edge.runtime.trial import child_environment

__all__ = ["ask", "run_child", "timeout_for"]

START_UP_S = 300  # importing a framework on a slow device, two loads, warm-up


def run_child(request: Request, python: str = sys.executable, timeout_s: float | None = None) -> dict[str, Any]:
    """Do `request` in a child of the interpreter `python`.

    Never raises for what happens there: the reply's "status" is then "failed" or "unavailable", with one line under
    "reason".
    """
    command = [python, *child_command()]
    return ask(command, asdict(request), timeout_s or timeout_for(request), request.engine)


def child_command() -> list[str]:
    return ["-m", "fmnist_edge.bench.loop"]


def timeout_for(request: Request) -> float:
    """Seconds after which a child that does not answer is ended."""
    series = (request.seconds, request.end_to_end_seconds)
    longest = sum(max(SLOW_SERIES_S, SLOW_SERIES * seconds) for seconds in series)
    return START_UP_S + max(SLOW_SERIES_S, SLOW_SERIES * request.warm_up_seconds) + longest


def ask(
    command: list[str], question: Any, timeout_s: float, name: str, more: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Give `question` to a process as JSON and take its last line as the answer; `more` is added to its environment."""
    try:
        done = subprocess.run(
            command,
            input=json.dumps(question).encode(),
            capture_output=True,
            timeout=timeout_s,
            env={**child_environment(), **(more or {})},
            start_new_session=True,  # Ctrl-C reaches the parent alone, which then ends the child
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        return failed(f"not done after {timeout_s:g} s{last_words(error.stderr)}")
    except OSError as error:
        return failed(f"the measuring process did not start ({error.strerror or error})")
    if done.returncode < 0:
        return failed(f"{name} crashed on it ({signal_name(-done.returncode)}){last_words(done.stderr)}")
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        said = (done.stderr.decode(errors="replace").strip().splitlines() or ["no message"])[-1]
        return failed(f"the measuring process ended with code {done.returncode} ({said[:160]})")


def last_words(stderr: bytes | None) -> str:
    """The last line of what a process said before it had to be given up."""
    lines = (stderr or b"").decode(errors="replace").strip().splitlines()
    return f"; last it said: {lines[-1].strip()[:160]}" if lines else ""


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
