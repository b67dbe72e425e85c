"""`PYTHONPATH=.:tests python -m coverage_table`: run the cases that have no result yet, and write docs/coverage.md.

Results are lines of build/coverage/results.jsonl; an interrupted run goes on where it stopped. `make coverage-table`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from coverage_table.applications import APPLICATIONS, application_precisions, run_application
from coverage_table.case import Case
from coverage_table.cases import ALL
from coverage_table.judge import SOUND
from coverage_table.page import write_page
from coverage_table.run import Row, precisions, run_case, warm
from fmnist_edge.console import progress_bar, track

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "build/coverage/results.jsonl"
PAGE = ROOT / "docs/coverage.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """1 where a cell is a fault."""
    options = parser().parse_args(arguments)
    results = options.results or RESULTS
    if options.fresh:
        results.unlink(missing_ok=True)
    if options.applications:
        run_applications(results, options.only)
    elif not options.page:
        run(chosen(options.only, options.every), results, options.redo)
    rows = current(read(results))
    if options.results is None:
        write_page(rows, PAGE)
    counts = Counter(row["result"] for row in rows)
    print(", ".join(f"{count} {result}" for result, count in counts.most_common()))
    for row in rows:
        if row["result"] not in SOUND:
            print(
                f"{row['case']} {row['format']} {row['precision']}: {row['result']}: {row['detail']}", file=sys.stderr
            )
    return int(any(row["result"] not in SOUND for row in rows))


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="python -m coverage_table", description=__doc__)
    made.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="cases whose id contains NAME, such as layers/Conv2D; repeatable",
    )
    made.add_argument("--every", type=int, default=1, metavar="N", help="a spread sample: one case in N")
    made.add_argument("--redo", action="store_true", help="run again what is a fault or refused")
    made.add_argument("--fresh", action="store_true", help="forget all results")
    made.add_argument("--results", type=Path, metavar="FILE", help="keep results there, and write no page")
    made.add_argument("--applications", action="store_true", help="run keras.applications instead of the cases")
    made.add_argument("--page", action="store_true", help="run nothing, write the page")
    return made


def chosen(only: Sequence[str] | None, every: int) -> list[Case]:
    """The cases to run: one of each name first, then another, in a spread order. A part of a run has seen all kinds."""
    named = [case for case in ALL if not only or any(name in case.id for name in only)]
    settings: Counter[str] = Counter()
    ranked = []
    for case in sorted(named, key=lambda case: case.seed):
        settings[case.name] += 1
        ranked.append((settings[case.name], case.seed, case))
    return [case for _, _, case in sorted(ranked, key=lambda item: item[:2])][::every]


def read(results: Path) -> list[Row]:
    if not results.exists():
        return []
    lines = results.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.endswith("}")]  # the last line of a killed run may be half one


def current(rows: list[Row]) -> list[Row]:
    """The newest row of each cell, in the order of the cases, without those of cases that are no more."""
    newest = {key(row): row for row in rows}
    wanted = [(case.id, item.format, item.name) for case in ALL for item in precisions()]
    wanted += [(case.id, item.format, item.name) for case in APPLICATIONS for item in application_precisions()]
    return [newest[cell] for cell in wanted if cell in newest]


def key(row: Row) -> tuple[str, str, str]:
    return row["case"], row["format"], row["precision"]


def run(cases: Sequence[Case], results: Path, redo: bool) -> None:
    """Run what is missing, and with `redo` what gave no answer within its bound."""
    known = {key(row): row for row in read(results)}
    results.parent.mkdir(parents=True, exist_ok=True)

    def due(case: Case) -> list:  # type: ignore[type-arg]
        found = ((item, known.get((case.id, item.format, item.name))) for item in precisions())
        return [item for item, row in found if row is None or (redo and row["result"] not in ("same", "within"))]

    jobs = [(case, wanted) for case in cases if (wanted := due(case))]
    warm()
    with progress_bar("coverage") as progress, results.open("a", encoding="utf-8") as file:
        for done, (case, wanted) in enumerate(jobs):
            progress(done, len(jobs), case.id)
            for row in run_case(case, wanted):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
            file.flush()


def run_applications(results: Path, only: Sequence[str] | None) -> None:
    """Run what is missing."""
    known = {key(row) for row in read(results)}
    results.parent.mkdir(parents=True, exist_ok=True)
    warm()
    with results.open("a", encoding="utf-8") as file:
        for application in track(APPLICATIONS, "keras.applications"):
            if only and not any(name in application.id for name in only):
                continue
            due = [item for item in application_precisions() if (application.id, item.format, item.name) not in known]
            for row in run_application(application, due):
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                file.flush()


if __name__ == "__main__":
    raise SystemExit(main())
