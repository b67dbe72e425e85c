"""`fmnist-edge bench`: time artifacts by a plan, on this machine or on a device."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments, bench_checks, bench_on
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.commands.job import add_job, shown
from fmnist_edge.console import progress_bar, warn
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.jobs.bench import images_of_run, job_of, local_job
from fmnist_edge.runtime.engine_catalog import BROWSER, ENGINES, GPU, TARGETS, engines_on, shipped

if TYPE_CHECKING:
    from fmnist_edge.benchmark.suite import Session

__all__ = ["HELP", "add_arguments", "run"]

RESULTS = Path("benchmarks/results")
# What each special way of running uses; with it, any other option has no effect and is refused.
USED_WITH = {
    "resume": ("images", "skip_bad"),
    "ab": (
        "artifacts",
        "plan",
        "threads",
        "batch",
        "images",
        "skip_bad",
        "parity",
        "engine",
        "out",
        "fail_if_slower",
        "tflite_runtime",
    ),
    "on": ("artifacts", "plan", "threads", "batch", "images", "skip_bad", "parity", "engine", "out", "ssh_config"),
    "check_overhead": ("artifacts", "engine", "images", "skip_bad"),
    "check_cost": ("artifacts", "engine", "images", "skip_bad"),
}

HELP = Help(
    group=Group.MEASURE,
    order=1,
    summary="measure latency, memory and load time, here or on a device",
    description="""
        Measures how long artifacts take, and writes every sample into a results file that `compare` and `report` read.

        A cell is one artifact on one engine with one number of threads and one batch size. Each cell runs several
        times, each time in a fresh process, and the rounds of all cells are interleaved. Percentiles are of all
        samples; a p99 takes at least 662 of them.

        A run is VALID or INVALID. It is INVALID when other programs used the CPU, the host stole time, the frequency
        changed, the machine throttled or ran on battery, the rounds differed too much, or the samples were too few.
        The column "% of limit" compares a cell with what the machine's measured float32 peak and memory speed allow.

        With --target gpu each backend must first give the same answers as the CPU. "partial" means that some ops ran
        on the CPU. A CPU that stands in for a GPU is named, and its times are in no table.

        With --target browser each round starts a headless Chromium with a fresh profile, in which a Web Worker runs
        the model. `.web` folders are timed beside ONNX Runtime Web on .onnx files and LiteRT.js on .tflite files, once
        each gives the answers of the export. Bytes loaded and the time to the first answer are measured too.

        A file with a budget in its manifest (see `choose`) is held to it by its fastest cell.

        With --on the measuring happens on a device, by ssh. Your ssh config, keys and known hosts are used; no
        password is asked for. The run on the device goes on when the link breaks or this command ends; the same
        command picks it up. With several --on, all devices measure at once. One that fails leaves the results of the
        others, and the exit code is that of its error.
        """,
    examples=(
        ("What is in exported/, by the quick plan", "bench"),
        ("One model, longer, with one and with four threads",
         "bench exported/tiny_resnet --plan standard --threads 1 --threads 4"),
        ("On a Raspberry Pi", "bench exported --on pi@raspberrypi.local"),
        ("On two devices at once", "bench exported --on pi@kitchen --on pi@garage"),
        ("The web form in a browser, beside ONNX Runtime Web and LiteRT.js",
         "bench exported build/web --target browser --npm build/npm"),
        ("Two builds of one model, in one interleaved run",
         "bench old/tiny_resnet new/tiny_resnet --ab --fail-if-slower 3%"),
        ("Go on with an interrupted run", "bench --resume benchmarks/results/my-laptop/20260101.partial.jsonl"),
    ),
    gate="a cell failed, a file does not keep its budget, or a check was above its limit",
    extra="bench",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = add_job(parser)
    arguments.engines(
        what,
        [*ENGINES, "all"],
        f"What runs the files. Default: {', '.join(shipped())}, and on this machine also Keras and the peers that are "
        "installed.",
    )
    what.add_argument(
        "--target",
        choices=TARGETS,
        metavar="TARGET",
        help=f"The part of the machine that computes. With gpu, the engines are {', '.join(engines_on(GPU))}, the plan "
        "is gpu, and the batches are 1, 8, 32 and 128. With browser, a model runs in a headless Chromium, and the "
        f"engines are {', '.join(engines_on(BROWSER))}. Default: cpu.",
    )
    what.add_argument(
        "--browser",
        metavar="PATH",
        help="With --target browser: the Chromium or Chrome. Default: the first on PATH.",
    )
    what.add_argument(
        "--npm",
        type=Path,
        metavar="DIR",
        help="With --target browser: the folder whose node_modules has the peers' packages. Default: the current one.",
    )
    arguments.tflite_runtime(what, "A Python that has tflite-runtime, which is then measured too.")
    device = parser.add_argument_group("Measure on a device")
    device.add_argument(
        "--on",
        action="append",
        metavar="[USER@]HOST",
        help="The device: a name of ~/.ssh/config, a host, or ssh://user@host:port. Given several times, all measure "
        "at once.",
    )
    device.add_argument("--ssh-config", type=Path, metavar="FILE", help="An ssh config file, as with ssh -F.")
    two = parser.add_argument_group("Compare two sets of artifacts")
    two.add_argument(
        "--ab",
        action="store_true",
        help="Measure two artifacts, or the files that two folders have under the same names, in one interleaved run, "
        "and divide B's calm p50 by A's. Finds what `compare` cannot: two runs differ by more.",
    )
    two.add_argument(
        "--fail-if-slower",
        type=arguments.percentage,
        metavar="P%",
        help="With --ab: exit with 1 when a B's p50 is more than P %% above A's and its interval leaves no doubt, or "
        "when B failed.",
    )
    output = parser.add_argument_group("Output, and other ways to run")
    output.add_argument("--out", type=Path, metavar="DIR", help=f"Folder of the results. Default: {RESULTS}.")
    output.add_argument(
        "--resume",
        type=Path,
        metavar="FILE",
        help="Go on with an interrupted run: the .partial.jsonl file that it left. The run keeps the options it was "
        "started with, so of the others only --images can be given.",
    )
    output.add_argument(
        "--check-overhead",
        action="store_true",
        help="Instead of a run, measure what our loop adds to an engine's own time, against a bare loop. More than "
        "2 µs and 2 %% is too much.",
    )
    output.add_argument(
        "--check-cost",
        action="store_true",
        help="Instead of a run, measure what the runtime costs an app beyond NumPy and the bare engine: import time, "
        "modules, time per call, memory, size of the package. Writes reports/cost.json.",
    )


def run(options: argparse.Namespace) -> int:
    refuse_unused(options)
    given, options.out = options.out, options.out or RESULTS
    if options.on is not None:
        return run_on_devices(options)
    if options.check_overhead:
        return bench_checks.check_overhead(options)
    if options.check_cost:
        return bench_checks.check_cost(options)
    from fmnist_edge.files import check_writable, locked
    from fmnist_edge.worker.temporary import temporary_folder

    if not options.resume and given is None:
        try:
            check_writable(options.out)
        except FileError as error:
            print(f"fmnist-edge: note: no results file is kept: {error}; --out DIR names another", file=sys.stderr)
            with temporary_folder("results") as options.out:
                return measure(begun(options), options.fail_if_slower, kept=False)
    if options.resume and not options.resume.exists():
        resumed(options)  # raises the error that says so
    # Two runs at once would also disturb each other. A journal lies in its device's folder of the results.
    with locked(options.resume.resolve().parent.parent if options.resume else options.out):
        return measure(resumed(options) if options.resume else begun(options), options.fail_if_slower)


def refuse_unused(options: argparse.Namespace) -> None:
    """Raises InputError that names the options which the chosen way of running would ignore."""
    given = [name for name, value in vars(options).items() if value and name != "command"]
    way = next((name for name in USED_WITH if name in given), None)
    if way is None:
        unused, why = [name for name in given if name == "ssh_config"], "without --on"
        if not unused and options.target != BROWSER:
            unused, why = [name for name in ("browser", "npm") if name in given], "without --target browser"
        if not unused:
            unused, why = [name for name in ("fail_if_slower",) if getattr(options, name) is not None], "without --ab"
    else:
        unused, why = [name for name in given if name != way and name not in USED_WITH[way]], f"with {spelled(way)}"
    if unused:
        reason = "; a resumed run keeps the options it was started with" if way == "resume" else ""
        names = ", ".join(map(spelled, unused))
        raise InputError(f"{names}: cannot be used {why}{reason}; leave {'it' if len(unused) == 1 else 'them'} out")


def spelled(name: str) -> str:
    return "artifacts" if name == "artifacts" else f"--{name.replace('_', '-')}"


def resumed(options: argparse.Namespace) -> Session:
    from fmnist_edge.benchmark import suite

    return suite.resume(options.resume, shown(images_of_run(options, options.resume)))


def begun(options: argparse.Namespace) -> Session:
    python = arguments.tflite_runtime_python(options)
    job, notes = local_job(options, python)
    warn(notes)
    return job.begin(options.out, {"tflite-runtime": python} if python else {}, variables_of(options))


def variables_of(options: argparse.Namespace) -> dict[str, str]:
    """Environment variables of the children, which tell them where the browser and the npm packages are."""
    from fmnist_edge.runtime.engines.browser import NPM_VARIABLE
    from fmnist_edge.runtime.engines.chromium import VARIABLE

    found = {}
    if options.browser:  # a bare name is looked up on PATH
        found[VARIABLE] = str(Path(options.browser).absolute()) if os.sep in options.browser else options.browser
    if options.npm:
        found[NPM_VARIABLE] = str(options.npm.absolute())
    return found


def run_on_devices(options: argparse.Namespace) -> int:
    from fmnist_edge.files import check_writable

    targets = bench_on.targets_of(options.on, options.ssh_config)
    job, notes = job_of(options, options.engine or shipped(), for_devices=True)
    warn(notes)
    check_writable(options.out)
    return bench_on.measure_on(targets, job, options.out)


class TimeLeft:
    """A `progress` that announces, after the first round, how long the others take: each measures the same cells."""

    def __init__(self, session: Session, progress: Callable[[int, int, str], None]) -> None:
        self._progress = progress
        # The pass that measures memory comes before the rounds. A resumed run has measured some cells before.
        cells = len(session.cells)
        self._first, self._second = (cells, 2 * cells) if not session.entries else (-1, -1)
        self._rounds_left = session.plan.rounds - 1
        self._start = 0.0

    def __call__(self, done: int, total: int, text: str) -> None:
        self._progress(done, total, text)
        if done == self._first:
            self._start = time.monotonic()
        elif done == self._second and self._rounds_left:
            seconds = self._rounds_left * (time.monotonic() - self._start)
            left = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"
            print(f"fmnist-edge: the first round is done; about {left} left", file=sys.stderr)


def measure(session: Session, slower_by: float | None = None, *, kept: bool = True) -> int:
    """Measure, and print the result. `kept`: whether its file and journal are still there afterwards."""
    from fmnist_edge.benchmark import outcome, sides, suite, validity

    count = len(session.cells)
    minutes = session.plan.estimate_s(count) / 60
    print(
        f"{count} cells, plan {session.plan.name}: about {minutes:.0f} min in all, more with slow models; after the "
        "first round it is known",
        file=sys.stderr,
    )
    idle = session.result["idle_cores"]
    if idle is not None and idle > validity.OTHER_CORES:
        print(f"fmnist-edge: other programs use {idle:.2f} cores; this run will be INVALID", file=sys.stderr)
    with progress_bar("measuring") as progress:
        result = suite.run(session, TimeLeft(session, progress))
    broken = bench_on.show_result(result, [cell.artifact for cell in session.cells])
    if kept:
        print(f"\nwrote {session.path}")
    if kept and result["interrupted"]:
        print(f"fmnist-edge: interrupted; what was measured is kept, {suite.how_to_resume(session)}", file=sys.stderr)
    slower = [pair for pair in sides.pairs(result) if slower_by is not None and pair.is_slower(slower_by)]
    for pair in slower:
        print(f"FAILED {pair.b['artifact']} on {pair.b['engine']}: {pair.finding} than A", file=sys.stderr)
    return outcome.exit_code(result) or int(bool(slower) or broken)
