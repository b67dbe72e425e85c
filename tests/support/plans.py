"""Plans of `bench` that take no time, for tests that are not about latencies."""

from __future__ import annotations

__all__ = ["tiny_plan"]

LEAST = {
    "rounds": 1, "seconds": 0, "end_to_end_seconds": 0, "min_queries": 3, "warm_up_runs": 1, "warm_up_seconds": 0,
    "threads": [1],
}  # fmt: skip


def tiny_plan(**changes: object) -> str:
    """The text of a plan file: one round of three runs on one thread, but for `changes`."""
    return "".join(f"{name} = {value}\n" for name, value in {**LEAST, **changes}.items())
