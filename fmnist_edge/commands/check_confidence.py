"""What `check` says about a file's fitted confidence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.console import table

if TYPE_CHECKING:
    from fmnist_edge.parity.check import CheckedArtifact
    from fmnist_edge.parity.reliability import Fraction, Reliability

__all__ = ["confidence_failures", "confidence_table"]

HEADER = ["artifact", "ECE before", "ECE", "answered %", "error %", "error of answered % [95 %]"]


def confidence_table(checked: Sequence[CheckedArtifact]) -> str:
    """A table of the files with a fitted confidence, between empty lines; empty where there are none."""
    found = [(row, row.reliability) for row in checked if row.reliability is not None]
    if not found:
        return ""
    kinds = list(dict.fromkeys(kind for _, worth in found for kind in worth.unknown))
    rows = [[f"{row.artifact.model}/{row.artifact.path.name}", *cells(worth, kinds)] for row, worth in found]
    header = [*HEADER, *(f"{kind} unknown %" for kind in kinds)]
    return (
        f"\nFitted confidence, on these images and on images that are none of the classes:\n\n{table(header, rows)}\n"
    )


def cells(worth: Reliability, kinds: Sequence[str]) -> list[str]:
    return [
        f"{worth.ece_before:.4f}",
        f"{worth.ece:.4f}",
        f"{worth.coverage.share * 100:.1f}",
        f"{worth.error.share * 100:.2f}",
        with_interval(worth.error_answered),
        *(f"{worth.unknown[kind].share * 100:.1f}" if kind in worth.unknown else "–" for kind in kinds),
    ]


def with_interval(share: Fraction | None) -> str:
    if share is None:
        return "–"
    return f"{share.share * 100:.2f} [{share.lower * 100:.2f}, {share.upper * 100:.2f}]"


def confidence_failures(checked: Sequence[CheckedArtifact]) -> dict[str, str]:
    """Path of the file -> one line, for each file whose confidence misses a gate."""
    return {
        str(row.artifact.path): f"FAILED {row.artifact.path}: its confidence: {'; '.join(row.reliability.failures)}"
        for row in checked
        if row.reliability is not None and row.reliability.failures
    }
