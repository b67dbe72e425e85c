"""The tables of `check` for models that are no classification over several classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fmnist_edge.console import table

if TYPE_CHECKING:
    from fmnist_edge.parity.check import CheckedArtifact
    from fmnist_edge.parity.report import TaskReport
    from fmnist_edge.parity.tensors import TensorReport

__all__ = ["task_tables"]

BINARY_HEADER = ["artifact", "positive", "threshold", "ROC AUC Keras", "ROC AUC"]
TENSOR_HEADER = ["artifact", "output", "relative error", "SQNR dB", "cosine"]
MULTILABEL_HEADER = ["artifact", "label", "agreement %", "accuracy % Keras", "accuracy %", "AP Keras", "AP"]


def task_tables(checked: Sequence[CheckedArtifact]) -> str:
    """The tables, each after an empty line; an empty text for classifications alone."""
    from fmnist_edge.parity.tensors import TensorReport

    tensor = [line for row in checked if isinstance(row.report, TensorReport) for line in tensor_rows(row, row.report)]
    found = [(row, row.report.task) for row in checked if row.report.task is not None]
    binary = [binary_row(row, task) for row, task in found if not task.labels]
    multilabel = [line for row, task in found if task.labels for line in multilabel_rows(row, task)]
    parts = [table(BINARY_HEADER, binary)] * bool(binary) + [table(MULTILABEL_HEADER, multilabel)] * bool(multilabel)
    parts += [table(TENSOR_HEADER, tensor)] * bool(tensor)
    return "".join(f"\n{part}\n" for part in parts)


def tensor_rows(row: CheckedArtifact, report: TensorReport) -> list[list[str]]:
    return [
        [
            name_of(row),
            output.name,
            f"{output.relative_error:.1e}",
            "∞" if output.sqnr_db is None else f"{output.sqnr_db:.1f}",
            "–" if output.cosine is None else f"{output.cosine:.5f}",
        ]
        for output in report.outputs
    ]


def name_of(row: CheckedArtifact) -> str:
    return "/".join(row.artifact.path.parts[-2:])


def binary_row(row: CheckedArtifact, task: TaskReport) -> list[str]:
    positive = row.artifact.contract.labels[1]
    return [name_of(row), positive, f"{task.thresholds[0]:g}", decimals(task.reference_auc), decimals(task.auc)]


def multilabel_rows(row: CheckedArtifact, task: TaskReport) -> list[list[str]]:
    lines = []
    for label in task.labels:
        shares = map(percent, (label.agreement, label.reference_accuracy, label.accuracy))
        precision = map(decimals, (label.reference_average_precision, label.average_precision))
        lines.append([name_of(row), label.label, *shares, *precision])
    return [*lines, [name_of(row), "mean", "", "", "", decimals(task.reference_mean_ap), decimals(task.mean_ap)]]


def decimals(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.2f}"
