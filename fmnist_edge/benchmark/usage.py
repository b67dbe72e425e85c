"""CPU time and context switches, of this process or of its children that have ended; Windows knows the time alone."""

from __future__ import annotations

import os
from typing import NamedTuple

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["Usage", "usage"]


class Usage(NamedTuple):
    """`cpu_seconds` in user and kernel mode; the switches are None on a system that does not count them."""

    cpu_seconds: float
    voluntary_switches: int | None
    involuntary_switches: int | None

    def since(self, before: Usage) -> Usage:
        """What was added since `before`."""
        added = [None if now is None or then is None else now - then for now, then in zip(self, before)]
        return Usage(*added)  # type: ignore[arg-type]


def usage(*, children: bool = False) -> Usage:
    if resource is None:
        spent = os.times()
        times = (spent.children_user, spent.children_system) if children else (spent.user, spent.system)
        return Usage(sum(times), None, None)
    found = resource.getrusage(resource.RUSAGE_CHILDREN if children else resource.RUSAGE_SELF)
    return Usage(found.ru_utime + found.ru_stime, found.ru_nvcsw, found.ru_nivcsw)
