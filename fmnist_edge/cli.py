"""The command line: parse -> run the command -> exit code."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress

from fmnist_edge.commands import (
    bench,
    bundle,
    check,
    classify,
    compare,
    data,
    doctor,
    emulate,
    estimate,
    explain,
    export,
    matrix,
    models,
    report,
    reproduce,
    train,
    tune,
)
from fmnist_edge.console import hide_native_chatter
from fmnist_edge.errors import FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.options import parser

__all__ = ["main", "program"]

INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130

COMMANDS = {
    "data": data.run,
    "models": models.run,
    "train": train.run,
    "tune": tune.run,
    "export": export.run,
    "reproduce": reproduce.run,
    "check": check.run,
    "explain": explain.run,
    "matrix": matrix.run,
    "bench": bench.run,
    "bundle": bundle.run,
    "compare": compare.run,
    "emulate": emulate.run,
    "estimate": estimate.run,
    "report": report.run,
    "classify": classify.run,
    "doctor": doctor.run,
}


def program() -> int:
    """The installed command: `main`, without the engines' own logging unless FMNIST_EDGE_VERBOSE is set."""
    if not os.environ.get("FMNIST_EDGE_VERBOSE"):
        hide_native_chatter()
    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl-C: children are ended, results kept; what nohup ignores stays ignored
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Prints errors of our own tree as one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parser(COMMANDS).parse_args(arguments)
    try:
        return options.command(options) or 0
    except FmnistEdgeError as error:
        complain(f"error: {one_line(error, 600)}")
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        message = f"this command needs {name!r}, which is not installed; run: pip install 'fmnist-edge[all]'"
        complain(f"error: {message}")
        return UnavailableError.exit_code
    except Exception as error:
        if os.environ.get("FMNIST_EDGE_VERBOSE"):
            raise
        kind = type(error).__name__
        complain(f"internal error: {kind}: {one_line(error)} (FMNIST_EDGE_VERBOSE=1 shows where)")
        return INTERNAL_ERROR


def complain(text: str) -> None:
    """On stderr, where that can be written: it may go to the disk that is full."""
    with suppress(OSError):
        print(f"fmnist-edge: {text}", file=sys.stderr, flush=True)
