"""`PYTHONPATH=tests python -m torture PART...`: the long form of what CI runs a few of; `make torture` runs all parts.

Each part writes what it counted to build/torture/<part>.json; `report` puts that into docs/reliability.json and .md.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.console import progress_bar
from fmnist_edge.files import write_json

if TYPE_CHECKING:
    from torture.corpus import Case
    from torture.server import Outcome

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "build/torture"
INTERRUPTED = 130
PARTS = ("hostile", "interrupt", "refusals", "edges", "fuzz", "report")


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where a promise was broken."""
    options = parser().parse_args(arguments)
    if options.part_name == "report":
        from torture.report import write_report

        write_report(OUT, ROOT / "docs")
        return 0
    if options.part_name == "fuzz":
        from torture.fuzz import fuzz

        return max([saved(f"fuzz-{row['parser']}", [row]) for row in fuzz(options.seconds, OUT / "bases")])
    in_child(lambda: make_bases_quietly(OUT / "bases"))  # it runs TensorFlow, which would not survive the forks to come
    from torture.server import warm

    warm()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was counted so far is kept
    with scratch() as folder:
        return RUNS[options.part_name](options, folder)


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    top.add_argument("part_name", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    top.add_argument("--each", type=int, default=40, help="hostile: files of every attack (default 40)")
    top.add_argument(
        "--format",
        action="append",
        choices=["tflite", "onnx", "keras", "h5", "saved_model"],
        help="hostile: repeatable",
    )
    top.add_argument("--part", default="0/1", metavar="I/N", help="hostile: every N-th file, from the I-th on")
    top.add_argument("--resume", action="store_true", help="hostile: keep what held in a run before")
    top.add_argument("--command", action="append", choices=["train", "export", "check", "bench"], help="interrupt")
    top.add_argument("--kills", type=int, default=30, help="interrupt: of each command (default 30)")
    top.add_argument("--seconds", type=int, default=120, help="fuzz: of each parser (default 120)")
    top.add_argument("--seed", type=int, default=0)
    return top


def hostile(options: argparse.Namespace, folder: Path) -> int:
    from torture.corpus import FORMS, cases
    from torture.hostile import attempt

    first, step = map(int, options.part.split("/"))
    forms = options.format or FORMS
    name = f"hostile-{'-'.join(forms)}-{first}-of-{step}"
    rows: list[dict[str, Any]] = []
    if options.resume and (OUT / f"{name}.json").exists():
        rows = json.loads((OUT / f"{name}.json").read_text())
        broken = {(row["format"], row["attack"], row["number"]) for row in rows if row["faults"]}
        rows = [row for row in rows if (row["format"], row["attack"], row["number"]) not in broken]
    known = {(row["format"], row["attack"], row["number"]) for row in rows}
    try:
        with progress_bar("hostile files") as progress:
            for done, case in enumerate(cases(OUT / "bases", options.each, options.seed, forms, (first, step), known)):
                progress(done, 0, case.name)
                found = attempt(case, OUT / "bases", folder / "files", ROOT)
                rows += [row_of(case, command, outcome) for command, outcome in found]
    except KeyboardInterrupt:
        print("interrupted; go on with --resume", file=sys.stderr)
        return max(saved(name, rows), INTERRUPTED)
    return saved(name, rows)


def row_of(case: Case, command: str, outcome: Outcome) -> dict[str, Any]:
    found = {"format": case.format, "attack": case.attack, "number": case.number, "command": command}
    return outcome.as_dict() | found | {"said": outcome.said[:300] if outcome.faults() else ""}


def interrupt(options: argparse.Namespace, folder: Path) -> int:
    from torture.interrupt import COMMANDS
    from torture.interrupt import interrupt as interrupted

    broken = 0
    for name in options.command or COMMANDS:
        rows: list[dict[str, Any]] = []
        try:
            for item in interrupted(name, options.kills, OUT / "bases", folder / name, options.seed):
                rows.append(item.as_dict())
        except KeyboardInterrupt:
            print("interrupted; go on with another --seed", file=sys.stderr)
            return max(saved(f"interrupt-{name}-{options.seed}", rows), INTERRUPTED)
        broken |= saved(f"interrupt-{name}-{options.seed}", rows)
    return broken


def refusals(options: argparse.Namespace, folder: Path) -> int:
    from torture.refusals import refusals as found

    return saved("refusals", [item.as_dict() for item in found(OUT / "bases", folder)])


def edges(options: argparse.Namespace, folder: Path) -> int:
    from fmnist_edge.data import fashion_mnist
    from torture.edges import compare, engines_of

    image = fashion_mnist.load("test").images[0].reshape(28, 28)
    files = [*sorted((OUT / "bases/small").glob("*.*[ex]")), *sorted((ROOT / "exported/compact_cnn").glob("*[ex]"))]
    with progress_bar("numerical edges") as progress:
        rows: list[dict[str, Any]] = []
        for done, file in enumerate(files):
            progress(done, len(files), str(file))
            rows += [row.as_dict() for row in compare(file, engines_of(file), image)]
    return saved("edges", rows)


RUNS = {"hostile": hostile, "interrupt": interrupt, "refusals": refusals, "edges": edges}


def saved(name: str, rows: list[dict[str, Any]]) -> int:
    """Write what was counted, show what was broken; 1 if anything was."""
    write_json(OUT / f"{name}.json", rows)
    broken = [row for row in rows if row["faults"]]
    for row in broken:
        print(row, file=sys.stderr)
    print(f"{name}: {len(rows):,} tried, {len(rows) - len(broken):,} kept every promise")
    return int(bool(broken))


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="fmnist-edge-torture-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def in_child(work: Callable[[], object]) -> None:
    child = os.fork()
    if not child:
        try:
            work()
            os._exit(0)
        finally:
            os._exit(1)
    if os.waitpid(child, 0)[1]:
        raise RuntimeError("the sound models could not be made; run it again to see why")


def make_bases_quietly(folder: Path) -> None:
    from torture.bases import make_bases

    make_bases(folder)


if __name__ == "__main__":
    raise SystemExit(main())
