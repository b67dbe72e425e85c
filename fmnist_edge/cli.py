"""The command line: parse -> run the command -> exit code."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress

from fmnist_edge.commands.manual import parser
from fmnist_edge.console import silence_native_stderr
from fmnist_edge.errors import FmnistEdgeError, UnavailableError, one_line
from fmnist_edge.worker import telemetry

__all__ = ["main", "program"]

INTERNAL_ERROR = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED = 130
VERBOSE = "FMNIST_EDGE_VERBOSE"
LONGEST_MESSAGE = 4000  # characters; limits the text that a hostile file can put into a message


def program() -> int:
    """Entry point of the installed command: `main`; hides the engines' logging unless FMNIST_EDGE_VERBOSE is set."""
    if not os.environ.get(VERBOSE):
        silence_native_stderr()
    # Both act like Ctrl-C: children are stopped and results are kept. A signal that nohup ignores stays ignored.
    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)
    return main()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. Prints each FmnistEdgeError as one line on stderr."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    telemetry.turn_off()
    options = parser().parse_args(arguments)
    try:
        return options.command.run(options) or 0
    except FmnistEdgeError as error:
        print_error(f"error: {one_line(error, LONGEST_MESSAGE)}")
        return error.exit_code
    except KeyboardInterrupt:
        print_error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ImportError as error:
        return missing_module(error, options.command.help.extra)
    except Exception as error:
        return internal_error(error)


def missing_module(error: ImportError, extra: str) -> int:
    """Report a module that is missing or cannot be imported, and return the exit code.

    A dependency of ours can be installed; any other such module is an internal error.
    """
    from fmnist_edge.commands.extras import how_to_install
    from fmnist_edge.runtime.engine_failures import importing

    name = error.name or ""
    wanted, broken = how_to_install(name, extra) if name else None, importing(error)
    if wanted:
        package = name.partition(".")[0]
        problem = f"{package}, which is not installed; run: pip install '{wanted}'"
    elif broken:
        problem = f"{broken}, which is installed and cannot be imported ({one_line(error, 200)}); install it again"
    else:
        return internal_error(error)
    show_traceback()
    print_error(f"error: this command needs {problem}")
    return UnavailableError.exit_code


def internal_error(error: Exception) -> int:
    show_traceback()
    hint = "" if os.environ.get(VERBOSE) else f" ({VERBOSE}=1 shows where)"
    print_error(f"internal error: {type(error).__name__}: {one_line(error, LONGEST_MESSAGE)}{hint}")
    return INTERNAL_ERROR


def show_traceback() -> None:
    if os.environ.get(VERBOSE):
        with suppress(OSError):
            traceback.print_exc()


def print_error(text: str) -> None:
    """Print one line on stderr. A failed write is ignored: stderr may go to a file on a full disk."""
    with suppress(OSError):
        print(f"fmnist-edge: {text}", file=sys.stderr, flush=True)
