"""What a reader must know about the figures of a choice: how old they are, of which machine, on which images."""

from __future__ import annotations

import math
from collections.abc import Sequence

from fmnist_edge.report.choice.gather import Gathered
from fmnist_edge.report.choice.ranking import Candidate
from fmnist_edge.report.values import clean_text
from fmnist_edge.runtime.budget import Budget

__all__ = ["remarks"]

FEW_IMAGES = 10_000


def remarks(gathered: Gathered, kept: Sequence[Candidate], budget: Budget) -> list[str]:
    """One line each."""
    latencies = [best for item in kept if (best := item.best(budget))]
    lines = []
    if latencies and gathered.machine is not None:
        days = sorted({item.measured[:10] for item in latencies})
        threads = f"{latencies[0].threads} thread{'s' * (latencies[0].threads > 1)}"
        when = " to ".join(dict.fromkeys([days[0], days[-1]]))
        where = clean_text(gathered.machine.get("device"))
        lines.append(f"latency: on {where}, {threads}, measured {when}; files with overlapping intervals come by size")
        if not all(item.valid for item in latencies):
            lines.append("latency: some are INVALID; `fmnist-edge report` says why")
        if any(item.batch > 1 for item in latencies):
            lines.append("latency: of one call; some of these files take more than one image a call")
    images = sorted({f"{item.accuracy.images:,} images of {item.accuracy.source}" for item in kept if item.accuracy})
    if images:
        lines.append(f"accuracy: on {'; on '.join(images)}{', which do not compare' * (len(images) > 1)}{doubt(kept)}")
    return lines


def doubt(kept: Sequence[Candidate]) -> str:
    """The end of a line about accuracies on few images: how well the least known one is known, at 95 %."""
    known = [item.accuracy for item in kept if item.accuracy and item.accuracy.images < FEW_IMAGES]
    widths = [1.96 * math.sqrt(item.accuracy * (1 - item.accuracy) / max(item.images, 1)) for item in known]
    return f"; these are few, and an accuracy is known to ±{max(widths) * 100:.1f} pp only" if widths else ""
