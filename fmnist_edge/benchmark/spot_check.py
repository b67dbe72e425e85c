"""Time one file for a few seconds, so that `doctor` can hold it to its budget. `bench` measures properly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fmnist_edge.benchmark.budgets import P50
from fmnist_edge.benchmark.estimates import Rounds, calm_p50, estimate, p50s
from fmnist_edge.benchmark.loop import Request
from fmnist_edge.benchmark.process import run_child
from fmnist_edge.benchmark.suite import save_images
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["spot_check"]

ROUNDS = 5  # the fewest that give an interval
SECONDS = 0.25  # of each round
CALLS = 20
WARM_UP_RUNS, WARM_UP_S = 5, 0.1


def spot_check(path: Path, engine: str, threads: int, batch: int) -> P50:
    """The p50 of the engine alone on the artifact's golden images, in µs a call, from ROUNDS fresh processes.

    Raises UnavailableError when the engine is missing, and ArtifactError when the file does not run.
    """
    rounds: Rounds = {}
    with temporary_folder("doctor") as folder:
        file = save_images(folder / "images.npy", np.zeros((0, 1, 1), np.uint8))  # none: its own
        for number in range(ROUNDS):
            request = Request(str(path), engine, threads, batch, str(file), SECONDS, 0, CALLS, WARM_UP_RUNS, WARM_UP_S)
            reply = run_child(request)
            if reply["status"] != "measured":
                kind = UnavailableError if reply["status"] == "unavailable" else ArtifactError
                raise kind(f"{path}: could not be timed in {engine}: {reply['reason']}")
            rounds[number] = p50s(reply["engine"])
    found = estimate(rounds)
    if found is None:  # a p50 of 0 ns
        return P50(calm_p50(rounds), None, None, ROUNDS)
    return P50(found.value, found.lower, found.upper, found.rounds)
