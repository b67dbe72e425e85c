"""Parity: compare an exported model with its Keras reference, and decide whether it passes its precision's gate.

The catalogue of precisions has the gates. `paired` compares accuracies image by image, `confidence` compares top
probabilities, `statistics` combines both with flip rates, and `report` applies the gate. These modules take arrays and
return reports; `check` runs the models.
"""

from fmnist_edge.catalog.gates import Gate
from fmnist_edge.catalog.precisions import gate_for
from fmnist_edge.parity.paired import PairedAccuracy
from fmnist_edge.parity.report import ParityReport, compare
from fmnist_edge.parity.statistics import Statistics

__all__ = ["Gate", "PairedAccuracy", "ParityReport", "Statistics", "compare", "gate_for"]
