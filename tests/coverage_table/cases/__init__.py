"""The cases, one file a family, and the names that can have none."""

from __future__ import annotations

from coverage_table.case import Case
from coverage_table.cases import (
    activations,
    attention,
    convolutions,
    merging,
    normalisation,
    operations_arrays,
    operations_elements,
    operations_networks,
    operations_reductions,
    pooling,
    preprocessing,
    recurrent,
    reshaping,
    training_only,
)

__all__ = ["ALL", "FAMILIES", "NO_CASE"]

FAMILIES: dict[str, list[Case]] = {
    "Convolutions and dense layers": convolutions.CASES,
    "Pooling and upsampling": pooling.CASES,
    "Normalisation": normalisation.CASES,
    "Activations": activations.CASES,
    "Merging": merging.CASES,
    "Reshaping and lookup": reshaping.CASES,
    "Preprocessing": preprocessing.CASES,
    "Training only": training_only.CASES,
    "Attention": attention.CASES,
    "Recurrent": recurrent.CASES,
    "Operations of neural networks and images": operations_networks.CASES,
    "Operations on single values": operations_elements.CASES,
    "Operations that reduce, sort and search": operations_reductions.CASES,
    "Operations that move values": operations_arrays.CASES,
}
ALL: list[Case] = [case for cases in FAMILIES.values() for case in cases]
# Names of the allow-list without a case -> why.
NO_CASE: dict[str, str] = {
    "activations/threshold": "needs arguments, which a name in a config cannot give; see the operation nn.Threshold",
}
