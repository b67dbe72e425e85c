"""Which ops of a file go to an NPU, which stay on the CPU, and why. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from fmnist_edge.aliases import JsonObject

__all__ = ["OnCpu", "Placement"]


@dataclass(frozen=True)
class OnCpu:
    """An op that stays on the CPU. `name`: of its output."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True)
class Placement:
    """Where the ops of a file run.

    Attributes:
        ops: ops of the file.
        on_npu: ops that go to the NPU.
        on_cpu: those that stay.
        limits: limits of the document that nothing here has checked.
        facts: Vela's figures: bytes of SRAM and flash, estimated cycles, what they were computed for. Empty for a list.
    """

    npu: str
    ops: int
    on_npu: int
    on_cpu: tuple[OnCpu, ...]
    limits: tuple[str, ...] = ()
    facts: JsonObject | None = None

    @property
    def removed(self) -> int:
        """Ops that the compiler removed: they only rename a tensor, such as RESHAPE."""
        return self.ops - self.on_npu - len(self.on_cpu)

    def as_dict(self) -> JsonObject:
        return {
            "npu": self.npu,
            "ops": self.ops,
            "on_npu": self.on_npu,
            "removed": self.removed,
            "on_cpu": [vars(item) for item in self.on_cpu],
            "limits_not_checked": list(self.limits),
            **(self.facts or {}),
        }
