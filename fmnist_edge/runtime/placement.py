"""Where a loaded model runs. A GPU engine finds it out after loading, not from a list of supported ops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from fmnist_edge.aliases import JsonObject

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
    """Which device runs which of a model's ops.

    Attributes:
        device: name of the GPU.
        software: whether the device is a CPU that emulates a GPU. Its answers are valid, its latency is not.
        on_cpu: op type -> number of ops that fell back to the CPU.
        ops: number of all ops; None when the engine does not tell.
        settings: the engine's settings that affect answers or speed, e.g. {"use_tf32": "0"}.

    >>> Placement("a GPU", False, {"LRN": 2}, 10).reason
    '2 of 10 ops ran on the CPU: 2 LRN'
    """

    device: str
    software: bool
    on_cpu: Mapping[str, int] = field(default_factory=dict)
    ops: int | None = None
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def reason(self) -> str | None:
        """One line about the ops that ran on the CPU; None when all ran on the GPU."""
        if not self.on_cpu:
            return None
        of = "" if self.ops is None else f" of {self.ops}"
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.on_cpu.items()))
        return f"{sum(self.on_cpu.values())}{of} ops ran on the CPU: {kinds}"

    def as_dict(self) -> JsonObject:
        return asdict(self)
