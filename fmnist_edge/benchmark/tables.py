"""Format a result or a comparison as rows of text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.comparison import Comparison, Ratio
from fmnist_edge.benchmark.estimates import calm_p50, p50s_of
from fmnist_edge.benchmark.results import Cell, Result, is_software

__all__ = [
    "COMPARISON_HEADER", "HEADER", "comparison_counts", "comparison_rows", "doubts", "gone", "has_failures",
    "incomparable", "rows", "unmeasured", "verdict_lines",
]  # fmt: skip

HEADER = [
    "artifact", "engine", "threads", "load ms", "first ms", "calm µs", "p50 µs", "p90 µs", "p99 µs", "images/s",
    "end-to-end p50 µs", "on GPU p50 µs", "RSS MB", "kB", "% of limit", "valid",
]  # fmt: skip
COMPARISON_HEADER = [
    "artifact", "engine", "threads", "A calm p50 µs", "B calm p50 µs", "B/A p50 [95 %]", "B/A p90 [95 %]",
    "between runs", "finding",
]  # fmt: skip
NONE = "–"


def rows(result: Result) -> list[list[str]]:
    """A row per measured cell, in HEADER's columns. Cells on a software GPU have none; `unmeasured` lists them."""
    return [row(cell) for cell in result["cells"] if cell["summary"] is not None and not is_software(cell)]


def row(cell: Cell) -> list[str]:
    summary: JsonObject = cell["summary"] or {}
    engine, verdict, memory, roofline = summary["engine"], cell["verdict"], cell["memory"], summary["roofline"]
    threads = str(cell["threads"]) if cell["batch"] == 1 else f"{cell['threads']}, batch {cell['batch']}"
    return [
        cell["artifact"],
        cell["engine"],
        threads,
        milliseconds(summary["load"]["p50"]),
        milliseconds(summary["first"]["p50"]),
        microseconds(calm_p50(p50s_of(cell))),
        *(microseconds(engine[name]) for name in ("p50", "p90", "p99")),
        NONE if engine["images_per_s"] is None else f"{engine['images_per_s']:,.0f}",
        microseconds(summary["end_to_end"]["p50"]),
        microseconds(None if summary["device"] is None else summary["device"]["p50"]),
        NONE if memory is None else f"{memory['peak_rss_bytes'] / 1e6:,.0f}",
        NONE if cell["size_bytes"] is None else f"{cell['size_bytes'] / 1000:,.0f}",
        NONE if roofline is None else f"{roofline['share_of_limit']:.0%}",
        "yes" if verdict is not None and verdict["status"] == "VALID" else "no",
    ]


def unmeasured(result: Result) -> list[str]:
    """One line per reason, with its cells: cells that were not measured, or only partly, or on a software GPU."""
    about: dict[str, list[Cell]] = {}
    for cell in result["cells"]:
        if is_software(cell) and cell["rounds"]:
            about.setdefault(on_software(cell), []).append(cell)
        elif cell["status"] != "ok":
            about.setdefault(f"{cell['status']}: {cell['engine']}: {cell['reason']}", []).append(cell)
    return [f"{line} ({names(cells)})" for line, cells in about.items()]


def on_software(cell: Cell) -> str:
    """A line about a cell on a software GPU: whether its answers agree with the CPU's."""
    parity, device = cell["parity"] or {}, (cell["placement"] or {})["device"]
    fallen = "" if cell["reason"] is None else f"; {cell['reason']}"
    return (
        f"software: {cell['engine']}: {device} is a software GPU, so its latency is not shown; its answers agree with "
        f"{parity.get('reference')} on {parity.get('images')} images{fallen}"
    )


def has_failures(result: Result) -> bool:
    """Whether a cell failed or lacks rounds. A GPU cell with ops on the CPU has not failed."""
    return any(
        cell["status"] == "failed" or (cell["status"] == "partial" and len(cell["rounds"]) < result["plan"]["rounds"])
        for cell in result["cells"]
    )


def names(cells: Sequence[Cell]) -> str:
    first = cells[0]["artifact"]
    return first if len(cells) == 1 else f"{first} and {len(cells) - 1} more"


def verdict_lines(result: Result) -> list[str]:
    """The verdict, its reasons, and the facts that this machine does not report."""
    verdict = result["verdict"]
    if verdict is None:
        return ["no verdict: the run was never finished"]
    unseen = f"; this machine does not report: {', '.join(verdict['unseen'])}" if verdict["unseen"] else ""
    return [f"{verdict['status']}{unseen}", *(f"  {reason['rule']}: {reason['text']}" for reason in verdict["reasons"])]


def comparison_rows(comparisons: Sequence[Comparison]) -> list[list[str]]:
    """A row per cell that both results measured, in COMPARISON_HEADER's columns, from the engine-only series."""
    return [comparison_row(item) for item in comparisons if item.ratios]


def comparison_row(item: Comparison) -> list[str]:
    threads = str(item.threads) if item.batch == 1 else f"{item.threads}, batch {item.batch}"
    p50, p90 = item.ratios["engine"]["p50"], item.ratios["engine"]["p90"]
    times = [microseconds(p50.a_us), microseconds(p50.b_us), with_interval(p50), with_interval(p90)]
    return [item.artifact, item.engine, threads, *times, f"{p50.between:.1%}", item.finding()]


def comparison_counts(comparisons: Sequence[Comparison]) -> str:
    """How many of the cells that both results measured are slower, faster, the same, or not judged."""
    both = [item for item in comparisons if item.ratios]
    counts = Counter(item.finding() for item in both)
    listed = ", ".join(f"{counts[name]} {name}" for name in ("slower", "faster", "same", "not judged"))
    return f"{len(both)} cells in both: {listed}"


def doubts(comparisons: Sequence[Comparison]) -> list[str]:
    """One line per reason why cells are not judged, with those cells."""
    return grouped((item.doubt, item) for item in comparisons if item.doubt)


def gone(missing: Sequence[Comparison]) -> list[str]:
    """The cells that B lacks, a line for each folder of artifacts and engine."""
    about: dict[tuple[str, str], list[str]] = {}
    for item in missing:
        folder, _, name = item.artifact.rpartition("/")
        more = f" ({threads_text(item)})" if item.threads > 1 or item.batch > 1 else ""
        about.setdefault((folder, item.engine), []).append(name + more)
    return [f"gone from B: {folder} on {engine}: {', '.join(files)}" for (folder, engine), files in about.items()]


def threads_text(item: Comparison) -> str:
    return f"{item.threads} threads" if item.batch == 1 else f"{item.threads} threads, batch {item.batch}"


def grouped(found: Iterable[tuple[str | None, Comparison]]) -> list[str]:
    about: dict[str | None, list[str]] = {}
    for text, item in found:
        about.setdefault(text, []).append(f"{item.artifact} on {item.engine}")
    return [f"{text} ({cells[0]}{f' and {len(cells) - 1} more' if cells[1:] else ''})" for text, cells in about.items()]


def incomparable(comparisons: Sequence[Comparison]) -> list[str]:
    """One line per reason why cells cannot be compared, with those cells."""
    return grouped((item.problem, item) for item in comparisons if item.problem)


def with_interval(ratio: Ratio) -> str:
    return f"{ratio.ratio:.3f} [{ratio.lower:.3f}, {ratio.upper:.3f}]"


def milliseconds(microseconds: float) -> str:
    return f"{microseconds / 1000:,.2f}"


def microseconds(value: float | None) -> str:
    return NONE if value is None else f"{value:,.1f}"
