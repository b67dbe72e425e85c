"""TFLite, by TensorFlow's converter."""

from __future__ import annotations

import os
import warnings
from typing import Any

import numpy as np

from fmnist_edge.errors import ExportError
from fmnist_edge.export.exporter import Census, quiet, translated
from fmnist_edge.export.precisions import Precision

__all__ = ["EXPORTER"]


class TFLiteExporter:
    """See `fmnist_edge.export.exporter.Exporter`."""

    format = "tflite"
    packages = ("tensorflow-cpu", "keras")

    def convert(self, model: Any, precision: Precision, batch: int | None, calibration: np.ndarray | None) -> bytes:
        with translated(f"TFLite {precision.name} conversion"), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter's own, about its own calibration API
            converter = configured(fixed_batch(model, batch), precision, calibration)
            return converter.convert()

    def census(self, content: bytes) -> Census:
        with translated("reading the TFLite file"):
            schema = schema_module()
            graph = schema.ModelT.InitFromPackedBuf(content, 0)
            op_names = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}
            floats = (schema.TensorType.FLOAT32, schema.TensorType.FLOAT16)
            found = []
            for subgraph in graph.subgraphs:
                for op in subgraph.operators:
                    code = graph.operatorCodes[op.opcodeIndex]
                    kind = op_names[max(code.builtinCode, code.deprecatedBuiltinCode)]
                    output = subgraph.tensors[op.outputs[0]]
                    found.append((kind, output.name.decode(), output.type in floats))
            return Census.of(found)


def fixed_batch(model: Any, batch: int | None) -> Any:
    """`model` behind an input of a fixed batch; an open batch costs SHAPE, STRIDED_SLICE and PACK ops."""
    import keras

    inputs = keras.Input(batch_shape=(batch, *model.input_shape[1:]), name="image")
    return keras.Model(inputs, model(inputs, training=False), name=model.name)


def configured(model: Any, precision: Precision, calibration: np.ndarray | None) -> Any:
    """A TFLiteConverter set up for `precision`."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if precision.weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision.calibrated:
        if calibration is None:
            raise ExportError(f"TFLite {precision.name} needs calibration images and got none")
        converter.representative_dataset = lambda: ([image[None]] for image in calibration)
        converter.target_spec.supported_ops = operator_sets(precision)
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(precision.io)
    return converter


def operator_sets(precision: Precision) -> list[Any]:
    """The kernels that the converter may use, the preferred ones first; float ones only where float islands may be."""
    import tensorflow as tf

    sets = tf.lite.OpsSet
    if precision.activations == "int16":
        return [sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    return [sets.TFLITE_BUILTINS_INT8] if precision.integer_only else [sets.TFLITE_BUILTINS]


def schema_module() -> Any:
    """The flatbuffer schema classes that come with TensorFlow."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from tensorflow.lite.python import schema_py_generated

    return schema_py_generated


EXPORTER = TFLiteExporter()
