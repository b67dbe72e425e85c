"""From the entries of a journal to the cells of a result."""

from __future__ import annotations

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark import results, validity
from fmnist_edge.benchmark.results import Result
from fmnist_edge.benchmark.summary import summarize
from fmnist_edge.runtime.placement import Placement

__all__ = ["MEMORY_PASS", "add_entry", "add_summaries", "cpu_fallback"]

MEMORY_PASS = -1  # round number of the pass that measures memory; it also finds the cells that cannot run at all


def cpu_fallback(cell: results.Cell) -> str | None:
    """Which ops of a GPU cell ran on the CPU, one line; None if none did."""
    return None if cell["placement"] is None else Placement(**cell["placement"]).reason


def add_summaries(result: Result) -> None:
    """Compute the cells' summaries and verdicts from the measurements."""
    for cell in result["cells"]:
        cell["summary"] = summarize(cell, result["calibration"])
        cell["verdict"] = validity.judge_cell(cell, result["plan"])


def add_entry(cell: results.Cell, number: int, entry: JsonObject) -> None:
    """Add one line of the journal to the cell. After a failure the earlier rounds stay."""
    reply = entry["reply"]
    cell["placement"] = reply.get("placement") or cell["placement"]
    cell["parity"] = reply.get("parity") or cell["parity"]
    if reply["status"] != "measured":
        cell["status"] = "partial" if cell["rounds"] else reply["status"]
        cell["reason"] = reply["reason"]
    elif number == MEMORY_PASS:
        cell["memory"], cell["complexity"] = reply["memory"], reply["complexity"]
    else:
        cell["engine_version"], cell["images"] = reply["engine_version"], reply["images"]
        cell["browser"] = reply.get("browser")
        keys = (
            "cold_load_ns", "load_ns", "first_ns", "first_answer_ns", "warm_up", "engine", "end_to_end", "device",
        )  # fmt: skip
        values = {key: reply[key] for key in keys}
        cell["rounds"].append({"round": number, **values, "during": entry["during"]})  # type: ignore[typeddict-item]
