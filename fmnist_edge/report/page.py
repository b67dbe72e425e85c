"""A report as one HTML page that needs nothing but itself: no network, no other file.

It reads without JavaScript; page.js adds filters and sorting. What a results file says is escaped where it is written
(see `markup`), and a Content-Security-Policy lets no script run but ours, and nothing be loaded.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib import resources
from string import Template

from fmnist_edge import __version__
from fmnist_edge.report import sections
from fmnist_edge.report.boards import Line
from fmnist_edge.report.markup import data, escaped, join, tag
from fmnist_edge.report.runs import Run
from fmnist_edge.report.signs import Signs
from fmnist_edge.report.summary import row_as_json

__all__ = ["page"]


def page(runs: Sequence[Run], lines: Sequence[Line] = ()) -> str:
    """The whole page, UTF-8 text."""
    rows = [row for run in runs for row in run.rows]
    signs = Signs.of(rows)
    script = asset("page.js")
    devices = list(dict.fromkeys(run.device for run in runs))
    both = sections.side_by_side(runs)
    runs_shown = [sections.run_section(run, signs) for run in runs]
    body = join(
        sections.introduction(runs),
        sections.filters(len(rows)),
        tag("main", sections.overview(runs), *runs_shown, both, sections.elsewhere(lines)),
        tag("footer", tag("p", f"Written by fmnist-edge {__version__}."), class_="soft"),
    )
    return Template(asset("page.html")).substitute(
        policy=escaped(policy(script)),
        title=escaped(f"Benchmark report: {', '.join(devices)}"),
        style=asset("page.css"),
        body=body,
        data=data([row_as_json(row) for row in rows]),
        script=script,
    )


def asset(name: str) -> str:
    return (resources.files("fmnist_edge.report") / "assets" / name).read_text(encoding="utf-8")


def policy(script: str) -> str:
    """Nothing but our own script, known by its hash, and inline styles."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
