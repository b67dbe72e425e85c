"""`fmnist-edge emulate`: artifacts on emulated 64-bit Arm cores, for their answers and their instructions."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.console import progress_bar
from fmnist_edge.errors import GateError

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=5,
    summary="run artifacts on emulated 64-bit Arm cores",
    description="""
        Runs the aarch64 wheels of LiteRT and ONNX Runtime under QEMU's user mode, each core with its own instruction
        set. It compares the answers with those on this machine, and counts the instructions of one inference; the
        counts repeat to 0.1 %. It measures no latency, because an emulator has no clock.

        Needs Debian 12 with qemu-user and gcc, and a network the first time; it does not need root. What --out
        already holds for the same file and as many images is not done again.
        """,
    examples=(
        ("What is in exported/, on every core", "emulate exported"),
        ("One file on one core, with fewer images",
         "emulate exported/tiny_resnet/int8.tflite --core cortex-a72 --limit 100"),
    ),
    gate="an answer differs from the one here, or a cell failed",
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
    arguments.limit(what, "Images to compare the answers on.", default=500, was="--images")
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
    from fmnist_edge.boards.emulation import results, suite, tables, userland
    from fmnist_edge.catalog.boards import CORES
    from fmnist_edge.files import check_writable, locked, write_atomic
    from fmnist_edge.parity.evaluation import evaluation_for

    artifacts = collect(options.artifacts)
    evaluation = evaluation_for(None, None, options.limit, options.data, artifacts[0].contract.input_shape)
    check_writable(options.out)
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
    for line in failed:
        print(f"FAILED {line}", file=sys.stderr)
    if failed:
        raise GateError(f"{len(failed)} of {len(cells)} emulated cells failed")
