"""Gather what is known of each file, measure what is missing, and make candidates of them.

Size comes first, then accuracy, then latency: a file that falls by what is known is not measured any further.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import environment, results
from fmnist_edge.benchmark.cells import size_and_sha256
from fmnist_edge.benchmark.job import Job
from fmnist_edge.benchmark.plan import Plan
from fmnist_edge.benchmark.remote.target import Target
from fmnist_edge.benchmark.results import Result
from fmnist_edge.console import progress_bar, track
from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.parity.check import check
from fmnist_edge.parity.evaluation import Evaluation
from fmnist_edge.report.choice.evidence import Latency, Run, accuracies, latencies, runs_in, runs_of_machine
from fmnist_edge.report.choice.measure import accuracy_of, as_entries, keep_parity, measured_latencies, unloadable
from fmnist_edge.report.choice.ranking import Candidate
from fmnist_edge.report.values import clean_text
from fmnist_edge.runtime.budget import Budget
from fmnist_edge.runtime.engine_catalog import engines_for

__all__ = ["Choice", "Gathered", "gather"]


@dataclass(frozen=True)
class Choice:
    """What to choose from, and how to measure.

    Attributes:
        reports: reports of `check` that are there.
        keep: where accuracies that are measured are kept, for the next time.
        evaluation: reads the images to measure accuracies on.
        own_images: whether these are the user's, so that accuracies from reports do not count.
        bench_images: reads uint8 images to measure latencies with.
        results: results files to use, and then nothing is measured; None for those below `out`.
        fresh: whether latencies that are known are measured again.
        target: the device to measure on; None for this machine.
    """

    artifacts: Sequence[Artifact]
    budget: Budget
    engines: tuple[str, ...]
    threads: int
    plan: Plan
    out: Path
    reports: Sequence[Path]
    keep: Path
    evaluation: Callable[[], Evaluation]
    own_images: bool
    bench_images: Callable[[], np.ndarray]
    trained: Path
    reference: str | None = None
    results: Sequence[Path] | None = None
    fresh: bool = False
    target: Target | None = None


@dataclass(frozen=True)
class Gathered:
    """The candidates; the machine whose latencies they have, None without any; and all runs that were read."""

    candidates: list[Candidate]
    machine: JsonObject | None
    runs: list[Run]


def gather(choices: Sequence[Choice]) -> Gathered:
    """The candidates of all choices as one: each choice has the data of its models, and the rest is the same.

    Raises what `check`, `bench` and the readers of their files raise.
    """
    first = choices[0]
    runs = runs_in(first.results if first.results is not None else [first.out] * first.out.is_dir())
    candidates, machine = [], None
    for choice in choices:
        found = with_accuracies(choice, [candidate_of(artifact) for artifact in choice.artifacts])
        part = with_latencies(choice, found, runs)
        candidates += part.candidates
        machine, runs = machine or part.machine, part.runs
    return Gathered(candidates, machine, runs)


def candidate_of(artifact: Artifact) -> Candidate:
    manifest = artifact.manifest
    try:
        kind = manifest.kind
    except ArtifactError as error:
        raise ArtifactError(f"{artifact.path}: {error}") from None
    _, sha256 = size_and_sha256(artifact.path)
    same = sha256 == manifest.sha256
    return Candidate(
        artifact=str(artifact.path),
        sha256=manifest.sha256,
        model=artifact.model,
        precision=artifact.precision,
        kind=kind,
        size_bytes=artifact.size_bytes,
        damage=None if same else "its SHA-256 is not the manifest's; export the model again",
    )


def pending(candidates: Iterable[Candidate], budget: Budget) -> list[int]:
    """Places of the candidates that have not fallen yet."""
    return [place for place, item in enumerate(candidates) if not item.reasons(budget, so_far=True)]


def with_accuracies(choice: Choice, candidates: list[Candidate]) -> list[Candidate]:
    """Add the accuracies. They are measured only where the budget has a limit on them."""
    known = {} if choice.own_images else accuracies(choice.artifacts, choice.reports)
    found = [replace(item, accuracy=known.get(item.sha256)) for item in candidates]
    if not choice.budget.is_about_accuracy:
        return found
    lacking = [place for place in pending(found, choice.budget) if found[place].accuracy is None]
    for place in lacking:
        found[place] = replace(found[place], damage=unloadable(choice.artifacts[place]))
    lacking = [place for place in lacking if found[place].damage is None]
    if lacking:
        evaluation = choice.evaluation()
        if evaluation.labels is None:
            raise InputError(
                f"{evaluation.source}: no classes, so there is no accuracy; give a folder with a folder per class, or "
                "--labels; or choose without a limit on accuracy"
            )
        checked = list(
            check(
                [choice.artifacts[place] for place in lacking],
                evaluation,
                trained=choice.trained,
                reference=choice.reference,
                track=track,
            )
        )
        keep_parity(choice.keep, checked, evaluation)
        for place, row in zip(lacking, checked, strict=True):
            found[place] = replace(found[place], accuracy=accuracy_of(row, evaluation.source))
    return found


def with_latencies(choice: Choice, candidates: list[Candidate], there: list[Run]) -> Gathered:
    """Add the latencies: those known from the runs `there`, and what is measured now, which becomes a run, too."""
    if choice.results is not None:
        used, packages = runs_of_machine(there, None), None
    elif choice.target is not None or choice.fresh:
        used, packages = [], None
    else:
        here = environment.describe()
        used, packages = runs_of_machine(there, here), here["packages"]
    known = latencies(used, {item.sha256 for item in candidates}, packages)
    timed = pending(candidates, choice.budget)
    lacking = [place for place in timed if wanted(choice, choice.artifacts[place]) - known.keys()]
    reasons: dict[str, str] = {}
    if lacking and choice.results is None:
        result = measured(choice, [candidates[place] for place in lacking], known.keys())
        run = Run(Path(), result)
        used, there = [run, *used], [run, *there]
        known |= latencies([run], {item.sha256 for item in candidates})
        reasons = {
            str(cell["sha256"]): f"{cell['engine']}: {clean_text(cell['reason'])}"
            for cell in result["cells"]
            if cell["reason"]
        }
    found = [
        replace(
            item,
            latencies=chosen(choice, item, known),
            unmeasured=reasons.get(item.sha256, "no results of it with these engines and threads"),
        )
        for item in candidates
    ]
    return Gathered(found, used[0].machine if used else None, there)


def wanted(choice: Choice, artifact: Artifact) -> set[tuple[str, str, int]]:
    """The keys of the latencies that an artifact should have."""
    names = [name for name in engines_for(artifact.path) if name in choice.engines]
    return {(artifact.manifest.sha256, name, choice.threads) for name in names}


def chosen(choice: Choice, item: Candidate, known: dict[tuple[str, str, int], Latency]) -> tuple[Latency, ...]:
    return tuple(
        latency
        for (sha256, engine, threads), latency in known.items()
        if (sha256, threads) == (item.sha256, choice.threads) and engine in choice.engines
    )


def measured(choice: Choice, candidates: Sequence[Candidate], known: Collection[tuple[str, str, int]]) -> Result:
    """Time the candidates by the plan, here or on the device, but for what is `known`: see `wanted`.

    On a device nothing is known.
    """
    accuracy = {item.sha256: item.accuracy for item in candidates if item.accuracy is not None}
    job = Job(
        tuple(Path(item.artifact) for item in candidates),
        replace(choice.plan, threads=(choice.threads,)),
        choice.bench_images(),
        choice.engines,
        as_entries(accuracy),
        but=frozenset(
            (Path(item.artifact), engine)
            for item in candidates
            for sha256, engine, threads in known
            if (sha256, threads) == (item.sha256, choice.threads)
        ),
    )
    if choice.target is not None:
        with progress_bar("measuring there") as progress:
            return results.load(choice.target.measure(job, choice.out, progress))
    with progress_bar("measuring") as progress:
        return measured_latencies(job, choice.out, progress)
