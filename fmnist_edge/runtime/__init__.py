"""The part to embed in your own program. It needs NumPy, one engine and the standard library.

from fmnist_edge.runtime import Classifier

with Classifier.load("exported/tiny_resnet/int8.tflite") as classify:
    print(classify(image).label)          # image: uint8 (28, 28)

`Model` runs what has no labels, with any number of inputs and outputs: Model.load(path)({"name": array}).
"""

from fmnist_edge.runtime.classifier import Classifier
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.images import AspectWarning
from fmnist_edge.runtime.model import Model
from fmnist_edge.runtime.polarity import PolarityWarning
from fmnist_edge.runtime.prediction import Prediction
from fmnist_edge.runtime.preprocess import Preprocessing

__all__ = [
    "AspectWarning", "Classifier", "Contract", "Model", "PolarityWarning", "Prediction", "Preprocessing",
]  # fmt: skip
