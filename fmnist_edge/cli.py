"""The command line: parse -> run the command -> exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from fmnist_edge.commands.manual import parser
from fmnist_edge.console import hide_native_chatter
from fmnist_edge.errors import FmnistEdgeError, UnavailableError, one_line

__all__ = ["main", "program"]

INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
VERBOSE = "FMNIST_EDGE_VERBOSE"
LONGEST_MESSAGE = 4000  # a bound for what a hostile file gets into a message; none of ours comes near it


def program() -> int:
    """The installed command: `main`, without the engines' own logging unless FMNIST_EDGE_VERBOSE is set."""
    if not os.environ.get(VERBOSE):
        hide_native_chatter()
    for name in ("SIGTERM", "SIGHUP"):  # as Ctrl-C: children are ended, results kept; what nohup ignores stays ignored
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Prints errors of our own tree as one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    options = parser().parse_args(arguments)
    try:
        return options.command.run(options) or 0
    except FmnistEdgeError as error:
        complain(f"error: {one_line(error, LONGEST_MESSAGE)}")
        return error.exit_code
    except KeyboardInterrupt:
        complain("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ModuleNotFoundError as error:
        return missing(error, options.command.help.extra)
    except Exception as error:
        return internal(error)


def missing(error: ModuleNotFoundError, extra: str) -> int:
    """The exit code for a module that was not found: to be installed if it is a dependency of ours, else our bug."""
    from fmnist_edge.commands.extras import how_to_install

    name = error.name or ""
    wanted = how_to_install(name, extra) if name else None
    if wanted is None:
        return internal(error)
    show_traceback()
    complain(f"error: this command needs {name.partition('.')[0]}, which is not installed; run: pip install '{wanted}'")
    return UnavailableError.exit_code


def internal(error: Exception) -> int:
    show_traceback()
    hint = "" if os.environ.get(VERBOSE) else f" ({VERBOSE}=1 shows where)"
    complain(f"internal error: {type(error).__name__}: {one_line(error, LONGEST_MESSAGE)}{hint}")
    return INTERNAL_ERROR


def show_traceback() -> None:
    if os.environ.get(VERBOSE):
        with suppress(OSError):
            traceback.print_exc()


def complain(text: str) -> None:
    """On stderr, where that can be written: it may go to the disk that is full."""
    with suppress(OSError):
        print(f"fmnist-edge: {text}", file=sys.stderr, flush=True)
