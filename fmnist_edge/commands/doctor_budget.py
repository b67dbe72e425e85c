"""`doctor`'s part about the budget in a manifest: whether the file keeps it on this device."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from fmnist_edge.runtime.engine_catalog import engines_for

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.benchmark.budgets import Finding
    from fmnist_edge.parity.verdict import ParityVerdict

__all__ = ["budget_finding"]


def budget_finding(artifact: Artifact, verdict: ParityVerdict | None, options: argparse.Namespace) -> Finding | None:
    """Hold the file to the budget in its manifest; None without one. The latency is timed here, with one thread unless
    the options say otherwise.

    verdict: the recorded parity check of this very file.

    Raises ArtifactError or UnavailableError when the file cannot be timed.
    """
    from fmnist_edge.benchmark.budgets import finding_of
    from fmnist_edge.benchmark.spot_check import spot_check

    budget = artifact.manifest.budget
    if not budget:
        return None
    accuracy = (None, None) if verdict is None else (verdict.accuracy, verdict.reference_accuracy)
    timed = None
    if budget.max_latency_ms is not None:
        engine, threads = options.engine or engines_for(artifact.path)[0], options.threads or 1
        timed = (spot_check(artifact.path, engine, threads, artifact.manifest.batch or 1), engine, threads)
    return finding_of(budget, artifact.size_bytes, accuracy, timed)
