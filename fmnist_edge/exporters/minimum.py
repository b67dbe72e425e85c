"""The oldest release of each runtime that runs a file."""

from __future__ import annotations

from collections.abc import Callable

from fmnist_edge.catalog.runtimes import Runtime, get_runtime, releases_of
from fmnist_edge.errors import ExportError

__all__ = ["check_oldest", "runs_in"]

Obstacles = Callable[[Runtime], list[str]]


def runs_in(format: str, obstacles: Obstacles) -> dict[str, str | None]:
    """Runtime -> the oldest release that, like all later ones, runs a file; None if no known release does."""
    found: dict[str, str | None] = {}
    for family, releases in releases_of(format).items():
        found[family] = None
        for runtime in reversed(releases):
            if obstacles(runtime):
                break
            found[family] = runtime.release
    return found


def check_oldest(name: str, format: str, obstacles: Obstacles) -> None:
    """Raises ExportError, which says what the runtime `name` lacks, unless it runs the file."""
    missing = obstacles(get_runtime(name))
    if missing:
        able = [f"{family} {release}" for family, release in runs_in(format, obstacles).items() if release]
        raise ExportError(
            f"{name} does not have {', '.join(missing)}, which the file needs; it runs in {' or '.join(able) or 'none'}"
            " and later, so name one of these with --oldest, or choose another precision"
        )
