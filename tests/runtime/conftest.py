"""Every engine with every model file that it runs."""

import sys
from types import ModuleType

import pytest
from support.engines import CASES, as_parameter

from fmnist_edge.runtime import Classifier


@pytest.fixture(params=[as_parameter(*case) for case in CASES])
def case(request):
    return request.param


@pytest.fixture
def name(case):
    return case[0]


@pytest.fixture
def engine(case):
    return case[1]


@pytest.fixture(params=[pytest.param(model, marks=as_parameter(model, model.rpartition(".")[2]).marks)
                        for model in dict.fromkeys(model for model, _ in CASES)])  # fmt: skip
def any_file(request):
    """Each model file once, for tests that do not depend on the engine."""
    return request.param


@pytest.fixture(autouse=True)
def tflite_runtime(monkeypatch):
    """A stand-in for the module tflite_runtime, which needs NumPy 1: its successor has the same Interpreter."""
    import ai_edge_litert.interpreter

    package = ModuleType("tflite_runtime")
    package.__version__ = "2.14.0"  # older ones are refused some files
    package.interpreter = ai_edge_litert.interpreter
    monkeypatch.setitem(sys.modules, "tflite_runtime", package)
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", ai_edge_litert.interpreter)


@pytest.fixture
def classifier(linear_models, name, engine):
    with Classifier.load(linear_models[name], engine=engine) as loaded:
        yield loaded
