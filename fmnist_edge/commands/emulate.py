"""`fmnist-edge emulate`: artifacts on emulated 64-bit Arm cores, for their answers and their instructions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar, table, warn
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmnist_edge.boards.emulation.baseline import Change

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=5,
    summary="run artifacts on emulated 64-bit Arm cores",
    description="""
        Runs the aarch64 wheels of LiteRT and ONNX Runtime under QEMU's user mode, each core with its own instruction
        set. It compares the answers with those on this machine, and counts the instructions of one inference; the
        counts repeat to 0.1 %. It measures no latency, because an emulator has no clock.

        A folder of C (`export --format c`) is compiled for each core with aarch64-linux-gnu-gcc instead, and its
        answers are compared with those of the numpy engine on the .tflite file beside it.

        Needs Debian 12 with qemu-user and gcc, and a network the first time; it does not need root. What --out
        already holds for the same file and as many images is not done again.
        """,
    examples=(
        ("What is in exported/, on every core", "emulate exported"),
        ("One file on one core, with fewer images",
         "emulate exported/tiny_resnet/int8.tflite --core cortex-a72 --limit 100"),
        ("A model as C; needs gcc-aarch64-linux-gnu", "emulate exported/tiny_resnet/int8_only.c --core cortex-a76"),
        ("In CI: fail when a file needs over 1 % more instructions",
         "emulate exported --out build/emulated --baseline benchmarks/emulated --fail-if-more 1%"),
    ),
    gate="an answer differs from the one here, a cell failed, or with --fail-if-more it takes more instructions",
    extra="bench",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from fmnist_edge.catalog.boards import CORES

    what = parser.add_argument_group("What to run")
    arguments.artifacts(what)
    what.add_argument(
        "--core", action="append", choices=list(CORES), metavar="CORE", help="A core to emulate. Default: all."
    )
    arguments.data(what)
    arguments.images(what)
    arguments.limit(what, "Images to compare the answers on.", default=500)
    gate = parser.add_argument_group("Compare with earlier results")
    gate.add_argument(
        "--baseline",
        type=Path,
        metavar="DIR",
        help="Folder of earlier results. Shows how many instructions each artifact takes on each core, before and now.",
    )
    gate.add_argument(
        "--fail-if-more",
        type=arguments.percentage,
        metavar="P%",
        help="With --baseline: exit with 1 when an artifact takes more than P %% more instructions on a core.",
    )
    how = parser.add_argument_group("How, and output")
    how.add_argument("--again", action="store_true", help="Do again what --out already holds.")
    how.add_argument(
        "--userland",
        type=Path,
        default=Path("build/emulation"),
        metavar="DIR",
        help="Folder of the cores' Python and engines; made when it is missing.",
    )
    arguments.out(how, "benchmarks/emulated", "Folder of the results.")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.boards.emulation import baseline, results, suite, tables, userland
    from fmnist_edge.catalog.boards import CORES
    from fmnist_edge.files import check_writable, locked, write_atomic
    from fmnist_edge.parity.evaluation import evaluation_for

    if options.fail_if_more is not None and options.baseline is None:
        raise InputError("--fail-if-more needs earlier results to compare with; name their folder: --baseline DIR")
    # Read first: --out may be the same folder, whose results the run replaces.
    earlier = None if options.baseline is None else baseline.read(options.baseline)
    artifacts = collect(options.artifacts, for_devices=True)
    evaluation = evaluation_for(
        options.images, None, options.limit, options.data, artifacts[0].contract, skip_bad=options.skip_bad
    )
    warn(evaluation.notes)
    check_writable(options.out)
    if suite.needs_userland(artifacts):
        userland.make(options.userland, lambda line: print(line, file=sys.stderr))
    choice = suite.Choice(tuple(dict.fromkeys(options.core or CORES)), options.limit, options.again)
    document = options.out / "README.md"
    with locked(options.out):
        try:
            with progress_bar("emulating") as progress:
                cells = suite.run(
                    artifacts, evaluation.images, evaluation.source, choice, options.userland, options.out, progress
                )
        finally:  # an interrupted run has left cells too
            write_atomic(document, tables.document(results.load_all(options.out)))
    print(f"Emulated: answers against this machine's, and no latency:\n\n{tables.shown(cells)}\n")
    print(f"wrote {options.out}/*.json and {document}")
    failed = suite.failures(cells)
    if earlier is not None:
        failed += grown(baseline.changes(cells, earlier), options.fail_if_more)
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    if failed:
        raise GateError(f"{len(failed)} of {len(cells)} emulated cells failed")


def grown(found: Sequence[Change], limit: float | None) -> list[str]:
    """Show the changes, and return a line for each that is above the limit."""
    from fmnist_edge.boards.emulation import baseline

    print("Instructions of one inference:\n\n" + table(baseline.HEADER, baseline.rows(found)))
    return [
        f"{item.artifact} on {item.core}: {item.share:+.2%} instructions; at most {limit:+.2%} is allowed"
        for item in found
        if limit is not None and item.share is not None and item.share > limit
    ]
