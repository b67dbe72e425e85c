"""Is the exported model still the same model? Pure: arrays in, report out.

The catalogue of precisions says what each must reach. `paired` compares accuracies image by image, `confidence` what
the models are sure of. `statistics` gathers both with the flips, `report` holds all against the gate.
"""

from fmnist_edge.catalog.gates import Gate
from fmnist_edge.catalog.precisions import gate_for
from fmnist_edge.parity.paired import PairedAccuracy
from fmnist_edge.parity.report import ParityReport, compare
from fmnist_edge.parity.statistics import Statistics

__all__ = ["Gate", "PairedAccuracy", "ParityReport", "Statistics", "compare", "gate_for"]
