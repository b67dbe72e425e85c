"""`fmnist-edge fit`: whether an artifact fits into a board's flash and RAM."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.errors import GateError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.boards.fit.needs import Fit, Reserve
    from fmnist_edge.catalog.board_memory import BoardMemory

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.MEASURE,
    order=7,
    summary="tell whether an artifact fits into a board's memory",
    description="""
        Compares what an artifact needs with the flash and RAM of boards, before there is a board.

        - On a microcontroller: TensorFlow Lite Micro. The package tflite-micro measures its tensor arena on this
        machine; for a c-array folder, export has done so. A folder of plain C has its arena
        and constants from the export. The size of the code is an estimate, marked "≈".
        - On a board with Linux: a Python process with the default engine. Its size is measured on this machine, which
        is an estimate for the board.

        The rest of the firmware needs memory too: say how much with --reserve-flash and --reserve-ram.
        """,
    examples=(
        ("Every file in exported/, on every board", "fit exported"),
        ("One file on one board, beside a firmware of 200 kB",
         "fit exported/compact_cnn/int8.tflite --board nucleo-f446re --reserve-flash 200000"),
    ),
    gate="an artifact does not fit a board named with --board, or fits no board where none is named",
    extra="micro",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from fmnist_edge.catalog.board_memory import board_memories

    what = parser.add_argument_group("What to compare")
    arguments.artifacts(what)
    what.add_argument(
        "--board", action="append", choices=list(board_memories), metavar="BOARD", help="A board. Default: all."
    )
    for memory in ("flash", "ram"):
        what.add_argument(
            f"--reserve-{memory}",
            type=arguments.whole_number,
            metavar="BYTES",
            help=f"Bytes of {memory.replace('ram', 'RAM')} that the rest of the firmware needs.",
        )
    output = parser.add_argument_group("Output")
    arguments.report(output, "reports/fit.json")
    output.add_argument("--page", type=Path, metavar="FILE.md", help="Also write the tables as a page.")


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.boards.fit import tables
    from fmnist_edge.boards.fit.needs import Reserve
    from fmnist_edge.catalog.board_memory import board_memories
    from fmnist_edge.files import write_atomic, write_json

    boards = [board_memories[name] for name in dict.fromkeys(options.board or board_memories)]
    reserve = Reserve(options.reserve_flash or 0, options.reserve_ram or 0)
    fits: dict[str, list[Fit]] = {}
    for artifact in artifacts_at(options.artifacts):
        fits[str(artifact.path)] = fits_of(artifact, boards, reserve)
    shown = {shortened(name): found for name, found in fits.items()}
    needs = {name: list(dict.fromkeys(fit.needs for fit in found)) for name, found in shown.items()}
    print(f"{tables.verdict_table(shown)}\n\n{tables.needs_table(needs)}\n")
    for line in [*tables.origins(needs), "", *tables.reasons(shown)]:
        print(line)
    report = {name: [tables.entry(fit) for fit in found] for name, found in fits.items()}
    write_json(options.report, {"schema": 1, "artifacts": report})
    print(f"wrote {options.report}")
    if options.page is not None:
        write_atomic(options.page, tables.page(shown, needs, boards))
        print(f"wrote {options.page}")
    raise_unless_fitting(fits, every_board=options.board is not None)


def artifacts_at(paths: Sequence[str]) -> list[Artifact]:
    """The artifacts at `paths`. A c-array folder is one artifact. A search leaves out folders for browsers.

    Raises ArtifactError for a file that was altered.
    """
    from fmnist_edge.artifact import Artifact, collect
    from fmnist_edge.boards.fit.measure import is_web
    from fmnist_edge.runtime.loading import check_hash, read_whole
    from fmnist_edge.runtime.manifest import Manifest, manifest_path

    found = []
    for path in map(Path, paths):
        if path.is_dir() and manifest_path(path).is_file():
            found.append(Artifact(path, Manifest.read(path)))
            continue
        inside = collect([path])
        for artifact in [item for item in inside if not is_web(item)] or inside:
            check_hash(artifact.path, read_whole(artifact.path), artifact.manifest.sha256)
            found.append(artifact)
    return found


def fits_of(artifact: Artifact, boards: Sequence[BoardMemory], reserve: Reserve) -> list[Fit]:
    from fmnist_edge.boards.fit.measure import needs_of
    from fmnist_edge.boards.fit.needs import compare

    needs = {kind: needs_of(artifact, kind) for kind in dict.fromkeys(board.kind for board in boards)}
    return [compare(needs[board.kind], board, reserve) for board in boards]


def shortened(name: str) -> str:
    """ "exported/compact_cnn/int8.tflite" -> "compact_cnn/int8.tflite" """
    return "/".join(Path(name).parts[-2:])


def raise_unless_fitting(fits: dict[str, list[Fit]], every_board: bool) -> None:
    """Raises GateError for artifacts that do not fit: on one of the boards, or on all where none was named."""
    required = all if every_board else any
    failed = [name for name, found in fits.items() if not required(fit.fits for fit in found)]
    if failed:
        where = "the boards named" if every_board else "any board"
        raise GateError(f"{len(failed)} of {len(fits)} artifacts do not fit {where}: {', '.join(failed)}")
