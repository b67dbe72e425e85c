"""All that Keras has built in is allowed in a file, or listed with the reason why not."""

import inspect
from importlib import import_module

import keras
from keras.src.ops.operation import Operation

from fmnist_edge.checkpoints.allowed import (
    ACTIVATIONS,
    HELPERS,
    KERAS_2_LAYERS,
    LAYERS,
    OPERATIONS,
    REFUSED_LAYERS,
    REFUSED_OPERATIONS,
)
from fmnist_edge.checkpoints.tf_operations import FUNCTIONS, NODES

NO_ACTIVATION = {"deserialize", "get", "serialize"}
ABSTRACT = {"Constraint", "Initializer", "Regularizer"}


def classes(module, base):
    return {item.__name__ for item in vars(module).values() if inspect.isclass(item) and issubclass(item, base)}


def test_every_layer_of_keras():
    found = {KERAS_2_LAYERS.get(name, (name,))[0] for name in classes(keras.layers, keras.layers.Layer)}
    assert found == LAYERS | REFUSED_LAYERS.keys()
    assert not LAYERS & REFUSED_LAYERS.keys()


def test_every_activation_of_keras():
    functions = {name for name, item in vars(keras.activations).items() if inspect.isfunction(item)}
    assert functions - NO_ACTIVATION == ACTIVATIONS


def test_every_initialiser_regulariser_and_constraint_of_keras():
    found = {
        "initializers": classes(keras.initializers, keras.initializers.Initializer),
        "regularizers": classes(keras.regularizers, keras.regularizers.Regularizer),
        "constraints": classes(keras.constraints, keras.constraints.Constraint),
    }
    for kind, names in found.items():
        # Some are told by an old name as well.
        assert names - ABSTRACT <= HELPERS[kind]
        assert {name for name in HELPERS[kind] if not hasattr(getattr(keras, kind), name)} == set()


def test_every_operation_of_keras():
    for name in ("numpy", "nn", "math", "core", "image", "linalg", "einops"):
        module = import_module(f"keras.src.ops.{name}")
        items = vars(module).items()
        found = {
            key for key, item in items
            if inspect.isclass(item) and issubclass(item, Operation) and item.__module__ == module.__name__
        }  # fmt: skip
        allowed = OPERATIONS.get(module.__name__, frozenset())
        assert found <= allowed | REFUSED_OPERATIONS.keys(), found - allowed - REFUSED_OPERATIONS.keys()
        assert allowed <= found and not allowed & REFUSED_OPERATIONS.keys()


def test_every_function_of_tensorflow_in_the_table_is_an_operation_that_is_there():
    for name, row in FUNCTIONS.items():
        home, _, class_name = row.operation.partition(".")
        if home == "layers":
            assert class_name in LAYERS | {"LocalResponseNormalization"}
            continue
        assert class_name in OPERATIONS[f"keras.src.ops.{home}"], name
        operation = getattr(import_module(f"keras.src.ops.{home}"), class_name)
        taken = inspect.signature(operation.__init__).parameters
        assert {*row.settings.values(), *row.fixed} <= set(taken), name
        assert len(row.takes) <= len(inspect.signature(operation.call).parameters) - 1, name
    for op, (function, inputs) in NODES.items():
        row = FUNCTIONS[function]
        known = {word.lstrip("?") for word in row.takes} | row.settings.keys()
        assert set(inputs) <= known, op
