"""Two checks of `bench`: what its loop adds to an engine's own time, and what the runtime costs an app."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands.arguments import EXPORTED
from fmnist_edge.commands.job import shown
from fmnist_edge.console import table, track
from fmnist_edge.errors import GateError, InputError
from fmnist_edge.jobs.bench import images_of

if TYPE_CHECKING:
    import numpy as np

    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.overhead import Overhead

__all__ = ["check_cost", "check_overhead"]

COST = Path("reports/cost.json")


def check_overhead(options: argparse.Namespace) -> int:
    """Our loop against a bare one, for each artifact and engine that has one."""
    from fmnist_edge.benchmark.overhead import Overhead, measure_overhead
    from fmnist_edge.benchmark.suite import save_images
    from fmnist_edge.worker.temporary import temporary_folder

    pairs = bare_pairs(options)
    with temporary_folder("images") as folder:
        found = []
        for artifact, engine in track(pairs, "bare loops"):
            file = save_images(folder / "images.npy", some_images(options, artifact))
            found.append((artifact.path, engine, measure_overhead(artifact.path, engine, file)))
    header = ["artifact", "engine", "bare loop µs", "ours adds µs [95 %]", "%", "allowed µs", "gate"]
    print(table(header, [overhead_row(*item) for item in found]))
    results = [item for _, _, item in found]
    for path, engine, item in found:
        if isinstance(item, str):
            print(f"FAILED {path} on {engine}: {item}", file=sys.stderr)
    return 0 if all(isinstance(item, Overhead) and item.passed for item in results) else GateError.exit_code


def check_cost(options: argparse.Namespace) -> int:
    """What the runtime costs an app; table and JSON."""
    from fmnist_edge.benchmark.cost import LIMITS, artifact_figures, package_figures
    from fmnist_edge.benchmark.suite import save_images
    from fmnist_edge.commands.reports import Report
    from fmnist_edge.worker.temporary import temporary_folder

    report = Report.at(COST, optional=True)
    pairs = bare_pairs(options)
    figures = package_figures()
    with temporary_folder("images") as folder:
        for artifact, engine in track(pairs, "cost"):
            file = save_images(folder / "images.npy", some_images(options, artifact))
            figures += artifact_figures(artifact.path, engine, artifact.manifest.require_input(), file)
    report.write({"schema": 1, "figures": [item.as_dict() for item in figures]})
    rows = [
        [item.kind, f"{item.value:.3g}", f"{LIMITS[item.kind]:g}", "pass" if item.passed else "FAIL", item.note]
        for item in figures
    ]
    print(table(["cost", "found", "limit", "gate", "what"], rows))
    report.say_written(before="\n")
    return 0 if all(item.passed for item in figures) else GateError.exit_code


def some_images(options: argparse.Namespace, artifact: Artifact) -> np.ndarray:
    """The user's images, or the artifact's own."""
    from fmnist_edge.benchmark.images import own_images

    given = shown(images_of(options, artifact.path))
    return given if len(given) else own_images(artifact.path, artifact.contract)[0]


def bare_pairs(options: argparse.Namespace) -> list[tuple[Artifact, str]]:
    """The artifacts, each with the engines that have a bare loop; raises InputError when there are none."""
    from fmnist_edge.artifact import collect
    from fmnist_edge.benchmark.bare import BARE_LOOPS
    from fmnist_edge.runtime.engine_catalog import engines_for

    wanted = set(options.engine or BARE_LOOPS) & set(BARE_LOOPS)
    artifacts = collect(options.artifacts or [EXPORTED])
    pairs = [(artifact, engine) for artifact in artifacts for engine in engines_for(artifact.path) if engine in wanted]
    if not pairs:
        raise InputError(
            f"no artifact runs on an engine that has a bare loop to compare with; engines that have one: "
            f"{', '.join(BARE_LOOPS)}"
        )
    return pairs


def overhead_row(path: Path, engine: str, found: Overhead | str) -> list[str]:
    name = "/".join(path.parts[-2:])
    if isinstance(found, str):
        return [name, engine, *["–"] * 4, "FAIL"]
    bare, added, lower, upper, allowed = (
        value / 1000 for value in (found.bare_ns, found.added_ns, found.lower_ns, found.upper_ns, found.allowed_ns)
    )
    interval = f"{added:+.2f} [{lower:+.2f}, {upper:+.2f}]"
    gate = "pass" if found.passed else "FAIL"
    return [name, engine, f"{bare:,.1f}", interval, f"{added / bare:+.1%}", f"{allowed:.1f}", gate]
