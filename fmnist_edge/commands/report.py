"""`fmnist-edge report`: results of `bench` as tables, one HTML page, and blocks of a README."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.errors import GateError, InputError, UnavailableError

if TYPE_CHECKING:
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.report.runs import Run

__all__ = ["HELP", "add_arguments", "run"]

RESULTS = Path("benchmarks/results")
HTML, MARKDOWN = Path("reports/report.html"), Path("reports/report.md")  # the defaults

HELP = Help(
    group=Group.MEASURE,
    order=3,
    summary="show results of `bench` as tables and as a page",
    description="""
        Reads results of `bench`, prints their tables, and writes them three times: as one HTML page with charts and
        filters that needs no network, as Markdown, and as JSON.

        It ends with the file to ship of each model on each device, and why: the fastest that passed its check.

        In the tables, "thr" is the number of threads, and "% limit" compares a cell with what the machine's measured
        float32 peak and memory speed allow. A p99 takes at least 662 samples. The Pareto front is of all cells.

        "calm" is the p50 while the machine was at its calmest: a tenth of the calls are in windows, of a quarter of a
        second, whose p50 is at or below it. Neighbours on a shared machine can hardly move it. A ratio of two cells is
        of their calm p50s, with a paired 95 % bootstrap interval and a verdict of its own. It is VALID when it is known
        to ±5 %, also where neither cell's own p50 is.

        With --readme FILE, the report also rewrites every block of FILE between `<!-- report:NAME -->` and
        `<!-- /report -->`. NAME is runs, latency, pareto, ratios, claims (the VALID ratios) or devices. A block can
        select rows by run, device, model, precision, format, engine, threads, batch and validity:
        `<!-- report:latency engine=litert threads=1 -->`.
        """,
    examples=(
        ("Tables and pages of all results", "report"),
        ("Rewrite the tables of a README", "report --readme README.md"),
        ("In CI: fail when the README is out of date", "report --readme README.md --check"),
    ),
    gate="with --check: a block of the README is out of date",
    extra="report",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("What to show")
    what.add_argument(
        "results",
        nargs="*",
        type=Path,
        default=[RESULTS],
        metavar="RESULTS",
        help="Results files, or folders of them.",
    )
    what.add_argument(
        "--emulated", type=Path, default=Path("benchmarks/emulated"), metavar="DIR", help="Results of `emulate`."
    )
    output = parser.add_argument_group("Output")
    output.add_argument("--html", type=Path, default=HTML, metavar="FILE", help="HTML page to write.")
    output.add_argument("--markdown", type=Path, default=MARKDOWN, metavar="FILE", help="Markdown to write.")
    arguments.report(output, "reports/report.json", "JSON to write.")
    output.add_argument("--readme", type=Path, metavar="FILE", help="Rewrite the blocks of this file, too.")
    output.add_argument(
        "--check",
        action="store_true",
        help="Write nothing; exit with 1 when a block of --readme is not what the results give.",
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.report import runs as reader

    if options.check and options.readme is None:
        raise InputError("--check needs a README; name it: --readme README.md --check")
    runs = reader.read(options.results)
    if options.check:
        check(options.readme, runs)
    else:
        write(options, runs)


def check(path: Path, runs: Sequence[Run]) -> None:
    """Raises GateError when a block is not what the results give."""
    from fmnist_edge.report import readme

    _, stale = readme.regenerate(readme.read(path), runs, path)
    if stale:
        raise GateError(
            f"{path}: not what the results give: {', '.join(stale)}; run: fmnist-edge report --readme {path}"
        )
    print(f"{path} is what the results give")


@contextmanager
def printed_beside(*reports: Report) -> Iterator[None]:
    """Print in here what is for people: to stderr, where one of `reports` is on stdout."""
    with ExitStack() as stack:
        for report in reports:
            stack.enter_context(report.beside())
        yield


def write(options: argparse.Namespace, runs: Sequence[Run]) -> None:
    """Raises UnavailableError when the page's packages are missing, after everything that does not need them. With
    --readme this is a note, for the README is what was asked for."""
    from fmnist_edge.commands.reports import STDOUT, Report
    from fmnist_edge.files import write_atomic
    from fmnist_edge.report import boards, markdown, page, readme, summary
    from fmnist_edge.report.ship import ship_lines

    lines = boards.read(options.emulated)
    blocks = None
    if options.readme is not None:  # before anything is written, for what may be wrong with it
        blocks, _ = readme.regenerate(readme.read(options.readme), runs, options.readme)
    json = Report.of(options)
    text = Report.at(options.markdown, optional=options.markdown is MARKDOWN, option="--markdown")
    html = Report.at(options.html, optional=options.html is HTML, option="--html")
    with printed_beside(json, text, html):
        print(markdown.terminal(runs, lines) + "\n")
    json.write(summary.as_json(runs, lines))
    text.write_text(markdown.document(runs, lines))
    missing = None
    try:
        if html.path is not None:  # nothing is built, and no package is missed, for a page that goes nowhere
            html.write_text(page.page(runs, lines))
    except UnavailableError as error:
        missing, html.path = error, None
    with printed_beside(json, text, html):
        written = [str(item.path) for item in (html, text, json) if item.path not in (None, STDOUT)]
        if written:
            *first, last = written
            print(f"wrote {', '.join(first)}{' and ' * bool(first)}{last}")
        if blocks is not None:
            write_atomic(options.readme, blocks)
            print(f"wrote the blocks of {options.readme}")
        print("\n".join(["", *ship_lines(runs)]))
    if not all(row.valid for item in runs for row in item.rows):
        print("note: some of these figures are INVALID; the verdicts above say why", file=sys.stderr)
    if missing is not None and blocks is None:
        raise missing
    if missing is not None:
        print(f"note: no page: {missing}", file=sys.stderr)
