"""Find out how often `bench A B --ab` is right on this machine: false alarms, and planted slowdowns that it finds.

python scripts/calibrate_ab.py ARTIFACT [--repeats 20] [--slower 5] [--out build/ab.jsonl]

Each repeat measures the artifact against itself in one run of the plan `ab`. For a planted slowdown, every latency of B
is multiplied before the run judges it, so that the slowdown is in the measurements and in the decision when to stop.
Each run is a line of --out. The same command goes on where it was interrupted, and prints the table of all lines.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from fmnist_edge import console
from fmnist_edge.benchmark import plan, sides, suite
from fmnist_edge.benchmark.cells import paired_cells
from fmnist_edge.benchmark.series import decode, encode
from fmnist_edge.data import fashion_mnist

IMAGES = 64


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="How often `bench A B --ab` is right on this machine.")
    parser.add_argument("artifact", type=Path)
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--slower", type=float, default=5.0, metavar="P", help="planted slowdown in percent")
    parser.add_argument("--engine", default="litert")
    parser.add_argument("--plan", default="ab")
    parser.add_argument("--out", type=Path, default=Path("build/ab.jsonl"))
    options = parser.parse_args(arguments)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    done = lines_of(options.out)
    images = fashion_mnist.load("test").images[:IMAGES]
    for number in range(options.repeats):
        for percent in (0.0, options.slower):
            if any((line["repeat"], line["planted"]) == (number, percent) for line in done):
                continue
            line = {"repeat": number, "planted": percent, **one_run(options, percent, number, images)}
            done.append(line)
            with options.out.open("a") as file:
                file.write(json.dumps(line) + "\n")
            print(json.dumps(line), flush=True)
    print(summary(done))


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def one_run(options: argparse.Namespace, percent: float, seed: int, images: np.ndarray) -> dict[str, Any]:
    """The finding of one run, its ratio with interval, and its seconds."""
    chosen = replace(plan.find(options.plan), threads=(1,))
    cells = paired_cells(options.artifact, options.artifact, (1,), (options.engine,))
    measured = suite.measure_cell
    suite.measure_cell = planted(measured, 1 + percent / 100)
    start = time.monotonic()
    try:
        with TemporaryDirectory() as folder:
            result = suite.run(suite.begin(cells, images, chosen, Path(folder), seed=seed, calibrated=False))
    finally:
        suite.measure_cell = measured
    (pair,) = sides.pairs(result)
    found = pair.estimate
    known = {} if found is None else {"ratio": found.value, "lower": found.lower, "upper": found.upper,
                                      "rounds": found.rounds}  # fmt: skip
    busy = max(part["during"]["other_cores"] or 0 for cell in result["cells"] for part in cell["rounds"])
    seconds = round(time.monotonic() - start, 1)
    return {
        "finding": pair.finding,
        **known,
        "verdict": pair.verdict,
        "seconds": seconds,
        "other_cores": round(busy, 2),
    }


def planted(measure: Callable[..., Any], factor: float) -> Callable[..., Any]:
    """`suite.measure_cell` with every latency of B multiplied by `factor`."""

    def slower(session: suite.Session, number: int, index: int, images: Path) -> Any:
        entry = measure(session, number, index, images)
        if session.cells[index].side == "B" and entry["reply"]["status"] == "measured" and number >= 0:
            for name in ("engine", "end_to_end"):
                series = entry["reply"][name]
                series["windows"] = [scaled(window, factor) for window in series["windows"]]
        return entry

    return slower


def scaled(window: Any, factor: float) -> list[list[int]]:
    values, counts = decode(window)
    return [list(part) for part in encode(np.repeat(np.rint(values * factor).astype(np.int64), counts))]


def summary(lines: Sequence[dict[str, Any]]) -> str:
    """A Markdown table: for each planted slowdown how often B was found slower, faster, the same, or not known."""
    rows = []
    for percent in sorted({line["planted"] for line in lines}):
        some = [line for line in lines if line["planted"] == percent]
        share = [sum(line["finding"] == name for line in some) for name in ("slower", "faster", "same", "not known")]
        width = [max(line["upper"] / line["ratio"] - 1, 1 - line["lower"] / line["ratio"]) for line in some
                 if "ratio" in line]  # fmt: skip
        rows.append([
            f"{percent:g} %", str(len(some)), *map(str, share),
            f"±{100 * float(np.median(width)):.1f} %" if width else "–",
            f"{max(line['seconds'] for line in some):.0f}",
            f"{float(np.median([line['other_cores'] for line in some])):.1f}",
        ])  # fmt: skip
    header = ["planted", "runs", "slower", "faster", "same", "not known", "median interval", "longest s", "other cores"]
    return console.table(header, rows)


if __name__ == "__main__":
    main()
