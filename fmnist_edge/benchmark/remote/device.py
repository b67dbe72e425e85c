"""The bundle's command on the device: `python run.py` measures and prints the result; with a verb it serves `ssh`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.benchmark.remote import detached, ready, unpacked
from fmnist_edge.benchmark.remote.wire import say
from fmnist_edge.errors import FmnistEdgeError, InputError, UnavailableError, one_line

if TYPE_CHECKING:
    from fmnist_edge.benchmark.job import Job
    from fmnist_edge.benchmark.results import Result
    from fmnist_edge.benchmark.suite import Session

__all__ = ["main", "measure_bundle", "run_bundle"]

RESULTS = "results"
SET_ASIDE_SUFFIX = ".aside"
HOW_TO_INSTALL = (
    "in {folder} run: python3 -m venv .venv && .venv/bin/python -m pip install --only-binary :all: -r requirements.txt"
)


def main(arguments: Sequence[str]) -> int:
    """Without arguments, measure the bundle in this folder; otherwise serve a verb. Returns the exit code."""
    folder = Path(__file__).resolve().parents[3]
    if arguments:
        return serve(folder, *arguments)
    try:
        return measure_and_show(folder)
    except FmnistEdgeError as error:
        print(f"fmnist-edge: error: {one_line(error, 600)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("fmnist-edge: interrupted", file=sys.stderr)
        return 130


def measure_and_show(folder: Path) -> int:
    unpacked.verify(folder)
    reason = ready.blocked_reason(unpacked.read_requirements(folder), unpacked.read_engines(folder))
    if reason:
        raise UnavailableError(f"{reason}; {HOW_TO_INSTALL.format(folder=folder)}")
    from fmnist_edge.benchmark import outcome
    from fmnist_edge.benchmark.remote import scores

    if scores.is_job(folder):
        print(f"wrote {scores.measure(folder, show_progress)[0]}")
        return 0
    path, result = measure_bundle(folder, show_progress)
    print(f"\n{outcome.text(result)}\n\nwrote {path}")
    if result["interrupted"]:
        print("fmnist-edge: interrupted; give the same command again to continue", file=sys.stderr)
    return outcome.exit_code(result)


def show_progress(done: int, total: int, text: str) -> None:
    print(f"{done}/{total} {text}", file=sys.stderr, flush=True)


def measure_bundle(folder: Path, progress: Callable[[int, int, str], None]) -> tuple[Path, Result]:
    """Measure the bundle in `folder`, or continue its interrupted run; returns the results file and the result.

    Raises what `suite.run` raises. Its messages then name the same command, not `fmnist-edge bench --resume`.
    """
    from fmnist_edge.benchmark import suite
    from fmnist_edge.benchmark.journal import resume_command

    session = session_for(unpacked.read(folder), folder / RESULTS)
    try:
        return session.path, suite.run(session, progress)
    except FmnistEdgeError as error:
        raise type(error)(str(error).replace(resume_command(session.journal.path), "the same command again")) from None


def run_bundle(folder: Path, progress: Callable[[int, int, str], None]) -> tuple[Path, Mapping[str, object]]:
    """`measure_bundle`, or the scores of `check --on` where that is the bundle's job."""
    from fmnist_edge.benchmark.remote import scores

    return scores.measure(folder, progress) if scores.is_job(folder) else measure_bundle(folder, progress)


def session_for(job: Job, out: Path) -> Session:
    """The interrupted run below `out`, or else a new one. A journal that does not fit, such as one of another machine,
    is renamed and kept."""
    from fmnist_edge.benchmark import suite
    from fmnist_edge.benchmark.journal import SUFFIX

    for journal in sorted(out.glob(f"*/*{SUFFIX}"), reverse=True):
        try:
            return suite.resume(journal, job.images)
        except InputError:
            journal.rename(journal.with_name(journal.name + SET_ASIDE_SUFFIX))
    return job.begin(out)


def serve(folder: Path, verb: str, *rest: str) -> int:
    """Run a verb for `ssh`; print its answers in `wire`'s format. An error is {"error": one line, "exit_code": …}."""
    verbs: dict[str, Callable[..., object]] = {
        "check": check,
        "install": install,
        "start": lambda folder: say(detached.start(folder)),
        "detached": detached.measure,
        "follow": lambda folder, offset: detached.follow(folder, int(offset)),
        "fetch": lambda folder, offset: detached.fetch(folder, int(offset)),
        "collect": detached.collect,
    }
    try:
        if verb not in verbs:
            raise InputError(f"unknown verb {verb!r}; expected none to measure, or one of: {', '.join(verbs)}")
        verbs[verb](folder, *rest)
    except FmnistEdgeError as error:
        say({"error": one_line(error, 600), "exit_code": error.exit_code})
        return error.exit_code
    return 0


def check(folder: Path) -> None:
    unpacked.verify(folder)
    requirements = unpacked.read_requirements(folder)
    say(
        {
            "missing": ready.missing(requirements),
            "lacking": ready.blocked_reason(requirements, unpacked.read_engines(folder)),
        }
    )


def install(folder: Path, environment: str) -> None:
    ready.install(folder / unpacked.REQUIREMENTS, Path(environment), lambda line: say({"line": line}))
    say({"installed": True})
