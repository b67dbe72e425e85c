"""`fmnist-edge bench`: time artifacts by a plan, on this machine or on a device."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fmnist_edge.console import progress_bar, table
from fmnist_edge.errors import GateError, InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fmnist_edge.artifact import Artifact
    from fmnist_edge.bench.job import Job
    from fmnist_edge.bench.suite import Session

__all__ = ["job_of", "run"]

BENCH_IMAGES = 64  # real ones, cycled
PYTHON_VARIABLE = "FMNIST_EDGE_TFLITE_RUNTIME"
PARITY = Path("reports/parity.json")
COST = Path("reports/cost.json")


def run(options: argparse.Namespace) -> int | None:
    from fmnist_edge.data import fashion_mnist

    if options.on is not None:
        return run_on_device(options)
    images = fashion_mnist.load("test", options.data).images[:BENCH_IMAGES]
    if options.check_overhead:
        return check_overhead(options, images)
    if options.check_cost:
        return check_cost(options, images)
    from fmnist_edge.files import locked

    if options.resume and not options.resume.exists():
        resumed(options, images)  # says so
    # Two runs at once would also disturb each other. A journal lies in its device's folder of the results.
    with locked(options.resume.resolve().parent.parent if options.resume else options.out):
        return measure(resumed(options, images) if options.resume else begun(options, images))


def resumed(options: argparse.Namespace, images: Any) -> Session:
    from fmnist_edge.bench import suite

    given = [
        name
        for name in ("artifacts", "target", "threads", "batch", "engine", "plan", "parity")
        if getattr(options, name)
    ]
    if given:
        names = " and ".join(name if name == "artifacts" else f"--{name}" for name in given)
        raise InputError(f"--resume goes on as the run began; leave {names} out")
    return suite.resume(options.resume, images)


def begun(options: argparse.Namespace, images: Any) -> Session:
    from fmnist_edge.bench import cells

    python = options.tflite_runtime or os.environ.get(PYTHON_VARIABLE)
    if options.target:
        engines = cells.engines_on(options.target, options.engine)
    else:
        engines = tuple(options.engine or (*cells.TIMED, *(["tflite-runtime"] if python else [])))
    job = job_of(options, engines, "gpu" if options.target == cells.GPU else "quick")
    return job.begin(options.out, {"tflite-runtime": python} if python else {})


def job_of(options: argparse.Namespace, engines: Sequence[str], plan_name: str = "quick") -> Job:
    """What the options of `bench` and `bundle` ask for; on `engines`; `plan_name` where they name no plan."""
    from fmnist_edge.artifact import collect
    from fmnist_edge.bench import cells, plan
    from fmnist_edge.bench.job import Job
    from fmnist_edge.data import fashion_mnist

    artifacts = tuple(artifact.path for artifact in collect(options.artifacts or ["exported"]))
    chosen = plan.find(options.plan or plan_name)
    if options.threads:
        chosen = replace(chosen, threads=tuple(options.threads))
    if options.batch:
        chosen = replace(chosen, batches=tuple(options.batch))
    report = options.parity or (PARITY if PARITY.exists() else None)
    return Job(
        artifacts,
        chosen,
        fashion_mnist.load("test", options.data).images[:BENCH_IMAGES],
        tuple(engines),
        cells.accuracies_of(report) if report else {},
    )


def run_on_device(options: argparse.Namespace) -> int:
    from fmnist_edge.bench import outcome, results
    from fmnist_edge.bench.remote.bundle import DEFAULT_ENGINES
    from fmnist_edge.files import check_writable
    from fmnist_edge.lookup import TARGETS, resolve

    given = [
        name
        for name in ("resume", "target", "check_overhead", "check_cost", "tflite_runtime")
        if getattr(options, name)
    ]
    if given:
        raise InputError(f"--{given[0].replace('_', '-')} is for this machine; leave it out with --on, or --on")
    more = ("-F", str(options.ssh_config)) if options.ssh_config else ()
    target = resolve("target", TARGETS, "ssh")(options.on, more)
    job = job_of(options, options.engine or DEFAULT_ENGINES)
    check_writable(options.out)
    try:
        with progress_bar(target.host) as progress:
            path = target.measure(job, options.out, progress)
    except KeyboardInterrupt:
        print("fmnist-edge: a run on the device goes on; the same command picks it up", file=sys.stderr)
        raise
    result = results.load(path)
    print(f"{outcome.text(result)}\n\nwrote {path}")
    return outcome.exit_code(result)


def measure(session: Session) -> int:
    from fmnist_edge.bench import outcome, suite, validity

    count = len(session.cells)
    minutes = session.plan.estimate_s(count) / 60
    print(f"{count} cells, plan {session.plan.name}: about {minutes:.0f} min in all", file=sys.stderr)
    idle = session.result["idle_cores"]
    if idle is not None and idle > validity.OTHER_CORES:
        print(f"fmnist-edge: other programs use {idle:.2f} cores; such a run will be INVALID", file=sys.stderr)
    with progress_bar("measuring") as progress:
        result = suite.run(session, progress)
    print(f"{outcome.text(result)}\n\nwrote {session.path}")
    if result["interrupted"]:
        print(f"fmnist-edge: interrupted; what was measured is kept, {suite.how_to_resume(session)}", file=sys.stderr)
    return outcome.exit_code(result)


def check_overhead(options: argparse.Namespace, images: Any) -> int:
    """Our loop against a bare one, for each artifact and engine that has one."""
    import tempfile

    import numpy as np

    from fmnist_edge.bench.overhead import Overhead, overhead_of
    from fmnist_edge.console import track

    pairs = [(artifact.path, engine) for artifact, engine in bare_pairs(options)]
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-bench-") as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        found = [(path, engine, overhead_of(path, engine, file)) for path, engine in track(pairs, "bare loops")]
    header = ["artifact", "engine", "bare loop µs", "ours adds µs [95 %]", "%", "allowed µs", "gate"]
    print(table(header, [overhead_row(*item) for item in found]))
    results = [item for _, _, item in found]
    for path, engine, item in found:
        if isinstance(item, str):
            print(f"FAILED {path} on {engine}: {item}", file=sys.stderr)
    return 0 if all(isinstance(item, Overhead) and item.passed for item in results) else GateError.exit_code


def bare_pairs(options: argparse.Namespace) -> list[tuple[Artifact, str]]:
    """The artifacts, each with the engines that have a bare loop; raises InputError when there are none."""
    from fmnist_edge.artifact import collect
    from fmnist_edge.bench.bare import BARE
    from fmnist_edge.runtime.classifier import engines_for

    wanted = set(options.engine or BARE) & set(BARE)
    artifacts = collect(options.artifacts or ["exported"])
    pairs = [(artifact, engine) for artifact in artifacts for engine in engines_for(artifact.path) if engine in wanted]
    if not pairs:
        raise InputError(f"no artifact that {' or '.join(BARE)} can run, which have a bare loop to compare with")
    return pairs


def check_cost(options: argparse.Namespace, images: Any) -> int:
    """What the runtime costs an app; table and JSON."""
    import tempfile

    import numpy as np

    from fmnist_edge.bench.cost import LIMITS, artifact_figures, package_figures
    from fmnist_edge.console import track
    from fmnist_edge.files import check_writable, write_json

    check_writable(COST.parent)
    pairs = bare_pairs(options)
    figures = package_figures()
    with tempfile.TemporaryDirectory(prefix="fmnist-edge-bench-") as folder:
        file = Path(folder) / "images.npy"
        np.save(file, images)
        for artifact, engine in track(pairs, "cost"):
            figures += artifact_figures(artifact.path, engine, artifact.manifest.require_input(), file)
    write_json(COST, {"schema": 1, "figures": [item.as_dict() for item in figures]})
    rows = [
        [item.kind, f"{item.value:.3g}", f"{LIMITS[item.kind]:g}", "pass" if item.passed else "FAIL", item.note]
        for item in figures
    ]
    print(table(["cost", "found", "limit", "gate", "what"], rows) + f"\n\nwrote {COST}")
    return 0 if all(item.passed for item in figures) else GateError.exit_code


def overhead_row(path: Path, engine: str, found: Any) -> list[str]:
    name = "/".join(path.parts[-2:])
    if isinstance(found, str):
        return [name, engine, *["–"] * 4, "FAIL"]
    bare, added, lower, upper, allowed = (
        value / 1000 for value in (found.bare_ns, found.added_ns, found.lower_ns, found.upper_ns, found.allowed_ns)
    )
    interval = f"{added:+.2f} [{lower:+.2f}, {upper:+.2f}]"
    gate = "pass" if found.passed else "FAIL"
    return [name, engine, f"{bare:,.1f}", interval, f"{added / bare:+.1%}", f"{allowed:.1f}", gate]
