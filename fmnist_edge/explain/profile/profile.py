"""Profile an artifact: run the rounds, make times of ops, and add them up by Keras layer."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark import environment
from fmnist_edge.benchmark.monitor import Monitor
from fmnist_edge.benchmark.results import During, Verdict
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.benchmark.validity import judge_rounds
from fmnist_edge.errors import ArtifactError, InputError, UnavailableError
from fmnist_edge.explain.profile.prefixes import prefixes
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.loading import check_hash, read_whole
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status
from fmnist_edge.worker.temporary import temporary_folder, write_temporary

__all__ = ["OpTime", "Profile", "profilable", "profile"]

SCHEMA = 1
ROUNDS = 5
TIMEOUT_S = 600
PREFIX, PROFILER = "prefix timing", "ONNX Runtime's profiler"
# Implementation of an engine -> how its ops are timed.
METHODS = {
    "fmnist_edge.runtime.engines.litert:LiteRTEngine": PREFIX,
    "fmnist_edge.runtime.engines.onnxruntime:OnnxRuntimeEngine": PROFILER,
}
NO_LAYER = "(of no layer)"
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class OpTime:
    """An op with its time in µs: the median over the rounds, with the lowest and the highest round.

    Attributes:
        layers: the Keras layers whose ops it computes; empty for an op that the engine added.
        samples: for each round, ns of each call: of the op, or of the prefix that ends with it.
    """

    name: str
    kind: str
    layers: tuple[str, ...]
    rounds_us: tuple[float, ...]
    samples: tuple[tuple[int, ...], ...]

    @property
    def us(self) -> float:
        return statistics.median(self.rounds_us)


@dataclass(frozen=True)
class Profile:
    """The times of an artifact's ops.

    Attributes:
        version: name and version of the engine.
        method: how the ops were timed.
        whole_us: p50 of a call in each round, without a profiler.
        whole: for each round, ns of each such call.
    """

    artifact: Artifact
    engine: str
    version: str
    method: str
    threads: int
    ops: tuple[OpTime, ...]
    whole_us: tuple[float, ...]
    whole: tuple[tuple[int, ...], ...]
    during: tuple[During, ...]

    @property
    def verdict(self) -> Verdict:
        return judge_rounds(self.during, self.whole_us)

    @property
    def total_us(self) -> float:
        return statistics.median(self.whole_us)

    @property
    def is_estimate(self) -> bool:
        """Whether the times of ops are differences between cuts."""
        return self.method == PREFIX

    def layer_of(self, op: OpTime, groups: Mapping[str, str]) -> str:
        """The name under which an op's layer is shown."""
        return group_of(op, groups)

    def by_layer(self, groups: Mapping[str, str]) -> dict[str, float]:
        """Layer -> µs, in graph order. `groups`: layer -> the name under which it is shown, with others."""
        found: dict[str, float] = {}
        for op in self.ops:
            name = group_of(op, groups)
            found[name] = found.get(name, 0.0) + op.us
        return found

    def as_dict(self, groups: Mapping[str, str], noise: Mapping[str, float]) -> JsonObject:
        times: dict[str, float | None] = {**self.by_layer(groups)}
        times.update({name: None for name, share in noise.items() if share and name not in times})
        layers = [{"layer": name, "us": us, "noise_share": noise.get(name)} for name, us in times.items()]
        return {
            "schema": SCHEMA,
            "artifact": str(self.artifact.path),
            "sha256": self.artifact.manifest.sha256,
            "model": self.artifact.model,
            "precision": self.artifact.precision,
            "engine": self.engine,
            "engine_version": self.version,
            "method": self.method,
            "threads": self.threads,
            "machine": environment.describe(),
            "verdict": self.verdict,
            "whole_us": list(self.whole_us),
            "layers": layers,
            "ops": [{**asdict(op), "us": op.us, "layer": group_of(op, groups)} for op in self.ops],
            "whole_samples": self.whole,
            "during": list(self.during),
        }


def group_of(op: OpTime, groups: Mapping[str, str]) -> str:
    known = [groups[layer] for layer in op.layers if layer in groups]
    return next(iter([*known, *op.layers]), NO_LAYER)


def profilable(path: Path) -> list[str]:
    """The engines whose ops can be timed, for a file with this suffix; the default one first."""
    return [name for name in engines_for(path) if ENGINES[name].implementation in METHODS]


def profile(
    artifact: Artifact,
    owners: Callable[[str], tuple[str, ...]],
    *,
    engine: str | None,
    threads: int,
    rounds: int = ROUNDS,
    progress: Progress = lambda done, total, text: None,
) -> Profile:
    """Time the ops of `artifact`. `owners`: name of an op -> its Keras layers.

    Raises InputError for an engine whose ops cannot be timed, ArtifactError when the file is not the manifest's or does
    not run, UnavailableError when the engine is not installed.
    """
    known = profilable(artifact.path)
    if not known or (engine or known[0]) not in known:
        what = f"the ops of {engine} cannot be timed" if engine else f"no engine can time the ops of {artifact.path}"
        raise InputError(f"{what}; {'choose from: ' + ', '.join(known) if known else 'name a .tflite or .onnx file'}")
    name = engine or known[0]
    content = read_whole(artifact.path)
    check_hash(artifact.path, content, artifact.manifest.sha256)
    by_prefix = METHODS[ENGINES[name].implementation] == PREFIX
    with temporary_folder("profile") as folder:
        request = {"artifact": str(artifact.path), "engine": name, "threads": threads, "out": str(folder / "out.json")}
        request["images"] = str(save_images(folder / "images.npy", images_for(artifact)))
        run = run_prefixes if by_prefix else run_profiler
        return run(artifact, content, request, folder, rounds, owners, progress)


def images_for(artifact: Artifact) -> np.ndarray:
    """As many images as a call takes: the first golden vectors', or noise."""
    count, golden = artifact.manifest.batch or 1, artifact.manifest.golden_vectors()
    if golden is not None:
        return golden.images.take(range(count), axis=0, mode="wrap")
    return np.random.default_rng(0).integers(0, 256, (count, *artifact.contract.input_shape), np.uint8)


def run_prefixes(
    artifact: Artifact,
    content: bytes,
    request: JsonObject,
    folder: Path,
    rounds: int,
    owners: Callable[[str], tuple[str, ...]],
    progress: Progress,
) -> Profile:
    progress(0, 1, "cutting the graph")
    cuts = []
    for number, prefix in enumerate(prefixes(content)):
        save_prefix(folder / f"{number}.tflite", prefix.content)
        cuts.append((prefix.name, prefix.kind))
    request["prefixes"], request["count"] = str(folder), len(cuts)
    replies, version, during = run_rounds("profile_prefixes", request, rounds, len(cuts), progress)
    p50s = [[statistics.median(samples) / 1000 for samples in reply["samples"]] for reply in replies]
    ops = []
    for place, (name, kind) in enumerate(cuts):
        times = tuple(values[place] - (values[place - 1] if place else 0.0) for values in p50s)
        ops.append(OpTime(name, kind, owners(name), times, tuple(tuple(reply["samples"][place]) for reply in replies)))
    whole = tuple(tuple(reply["samples"][-1]) for reply in replies)
    whole_us = tuple(values[-1] for values in p50s)
    return Profile(
        artifact, request["engine"], version, PREFIX, request["threads"], tuple(ops), whole_us, whole, during
    )


def save_prefix(path: Path, content: bytes) -> None:
    write_temporary(path, lambda file: file.write(content))


def run_profiler(
    artifact: Artifact,
    content: bytes,
    request: JsonObject,
    folder: Path,
    rounds: int,
    owners: Callable[[str], tuple[str, ...]],
    progress: Progress,
) -> Profile:
    request["log"] = str(folder / "profile")
    replies, version, during = run_rounds("profile_onnxruntime", request, rounds, 1, progress)
    order = [(name, kind) for name, kind, _ in replies[0]["ops"]]
    times = [{name: durations for name, _, durations in reply["ops"]} for reply in replies]
    if any(set(found) != {name for name, _ in order} for found in times) or not order:
        raise ArtifactError(f"{artifact.path}: its ops differ between two runs of {version}; profile it once more")
    ops = [
        OpTime(
            name,
            kind,
            owners(name),
            tuple(middle_mean(found[name]) for found in times),
            tuple(tuple(1000 * value for value in found[name]) for found in times),
        )
        for name, kind in order
    ]
    whole = tuple(tuple(reply["whole"]) for reply in replies)
    whole_us = tuple(statistics.median(samples) / 1000 for samples in whole)
    return Profile(
        artifact, request["engine"], version, PROFILER, request["threads"], tuple(ops), whole_us, whole, during
    )


def middle_mean(values: Sequence[float]) -> float:
    """The mean of the middle half. The profiler counts whole µs, in which a median would be too coarse.

    >>> middle_mean([1, 2, 2, 3, 4, 3, 3, 900])
    2.75
    """
    ordered = sorted(values)
    cut = len(ordered) // 4
    return statistics.fmean(ordered[cut : len(ordered) - cut])


def run_rounds(
    task: str, request: JsonObject, rounds: int, steps: int, progress: Progress
) -> tuple[list[JsonObject], str, tuple[During, ...]]:
    """(what each round wrote, version of the engine, the machine during each round)."""
    replies, during, version = [], [], ""
    for number in range(rounds):

        def step(done: int, number: int = number) -> None:
            progress(number * steps + done, rounds * steps, f"round {number + 1} of {rounds}")

        step(0)
        with Monitor() as monitor:
            end = call(f"fmnist_edge.explain.profile.child:{task}", request, timeout_s=TIMEOUT_S, on_progress=step)
        if end.status is not Status.DONE:
            kind = UnavailableError if isinstance(end.error, UnavailableError) else ArtifactError
            raise kind(f"{request['artifact']}: could not be profiled in {request['engine']}: {end.reason}")
        replies.append(json.loads(Path(request["out"]).read_bytes()))
        during.append(monitor.during)
        version = end.value["version"]
    return replies, version, tuple(during)
