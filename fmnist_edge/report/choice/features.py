"""Say on which CPU feature the choice depends, and what is best on a CPU that differs in it, as far as is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark.environment import int8_dot_flags
from fmnist_edge.report.choice.evidence import Run, latencies
from fmnist_edge.report.choice.ranking import Candidate, ranked
from fmnist_edge.report.values import clean_text
from fmnist_edge.runtime.budget import Budget

__all__ = ["feature_lines"]

WITHOUT = "no int8 dot products (VNNI, dotprod)"


def feature_lines(
    candidates: Sequence[Candidate], machine: JsonObject | None, others: Sequence[Run], budget: Budget
) -> list[str]:
    """Lines about int8 dot products, if a candidate that was measured computes in integers; otherwise none.

    Args:
        machine: the one that was measured; None if nothing was.
        others: runs of any machine.
    """
    measured = [item for item in candidates if item.latencies]
    if machine is None or not any(item.kind == "integer" for item in measured):
        return []
    flags = int8_dot_flags(machine.get("cpu_flags"))
    if flags is None:
        return ["CPU: this machine does not say whether it has int8 dot products (VNNI, dotprod); int8 depends on them"]
    if flags:
        line = f"CPU: this one has int8 dot products ({', '.join(map(clean_text, flags))}); on one without, another "
        line += "precision or engine can be best"
    else:
        line = f"CPU: this one has {WITHOUT}; on one that has them, another precision or engine can be best"
    return [line, elsewhere_line(measured, bool(flags), others, budget)]


def elsewhere_line(measured: Sequence[Candidate], has_dot: bool, others: Sequence[Run], budget: Budget) -> str:
    """What is fastest on the other kind of CPU, by the results of `bench` that are here."""
    kind = f"with {WITHOUT}" if has_dot else "with int8 dot products"
    runs = [run for run in others if int8_dot_flags(run.machine.get("cpu_flags")) is not None]
    runs = [run for run in runs if bool(int8_dot_flags(run.machine.get("cpu_flags"))) != has_dot]
    for device in dict.fromkeys(run.device for run in runs):
        known = latencies([run for run in runs if run.device == device], {item.sha256 for item in measured})
        there = [
            replace(item, latencies=tuple(found))
            for item in measured
            if (found := [latency for key, latency in known.items() if key[0] == item.sha256])
        ]
        if len(there) < len(measured):
            continue
        best, here = (ranked(items, budget)[0] for items in (there, measured))
        latency, own = best.best(budget), here.best(budget)
        if latency is None or own is None:
            continue
        what = f"{best.artifact} in {latency.engine}"
        if (best.artifact, latency.engine) == (here.artifact, own.engine):
            return f"CPU: {what} is also the best on {device}, {kind} (p50 {latency.p50.text} µs)"
        return (
            f"CPU: the best differs: on {device}, {kind}, it is {what} (p50 {latency.p50.text} µs); here it is "
            f"{here.artifact} in {own.engine}"
        )
    return f"CPU: no results of these files from a CPU {kind}; before you ship to one, measure there with --on"
