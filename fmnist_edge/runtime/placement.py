"""Where a loaded model really runs: what an engine on a GPU found out after loading, and never from a list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Placement"]


@dataclass(frozen=True)
class Placement:
    """Which device runs which of a model's ops.

    Attributes:
        device: the GPU's own name.
        software: whether that is a CPU in a GPU's place; such a device proves answers and no speed.
        on_cpu: op type -> how many of them fell back to the CPU.
        ops: how many there are in all; None where the engine does not tell.
        settings: what changes the answers or the speed, as the engine has it, e.g. {"use_tf32": "0"}.

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
        """Why this is not all on the GPU, one line; None when it is."""
        if not self.on_cpu:
            return None
        of = "" if self.ops is None else f" of {self.ops}"
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.on_cpu.items()))
        return f"{sum(self.on_cpu.values())}{of} ops ran on the CPU: {kinds}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)
