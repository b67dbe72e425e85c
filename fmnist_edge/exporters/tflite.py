"""Export to TFLite with TensorFlow's converter."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection
from itertools import islice
from typing import TYPE_CHECKING

from fmnist_edge.catalog.precisions import Precision, get_precision
from fmnist_edge.catalog.runtimes import Runtime
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.activation_ranges import measure
from fmnist_edge.exporters.exporter import Census, Exporter, OpLayers, batches, export_errors, quiet
from fmnist_edge.exporters.flatbuffer import pack, unpack
from fmnist_edge.exporters.layer_names import LayerNames, check_ops, layer_of, operation_names
from fmnist_edge.exporters.several import Samples, answers, converted_names, has_several
from fmnist_edge.exporters.tflite_operators import INEXACT, WRONG, Operator, float_islands, operators
from fmnist_edge.exporters.tflite_refusals import check_runs, explained, not_integer_only, too_wide
from fmnist_edge.exporters.tflite_repair import with_own_biases, with_small_constants, without_squeezes
from fmnist_edge.exporters.tflite_runtimes import obstacles_in
from fmnist_edge.exporters.tracing import one_signature, operation_scopes

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

__all__ = ["EXPORTER"]


class TFLiteExporter(Exporter):
    packages = ("tensorflow-cpu", "keras", "ai-edge-litert", "flatbuffers")

    def convert(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...] = (),
    ) -> bytes:
        with export_errors(f"TFLite {precision.name} conversion"), quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the converter warns about its own calibration API
            try:
                content = self._converted(model, precision, batch, calibration, keep_float)
                check_runs(content, model, precision, op_makers(content, model))
                if precision.integer_only:
                    self._check_integer_only(content, model)
            except Exception as error:  # the converter raises anything
                refusal = explained(error, model, precision, lambda op: self._layers_with(op, model, batch))
                if refusal is None:
                    raise
                raise refusal from None
            return content if precision.stock else pack(unpack(content))

    def _converted(
        self,
        model: keras.Model,
        precision: Precision,
        batch: int | None,
        calibration: Samples | None,
        keep_float: tuple[str, ...],
    ) -> bytes:
        converter = make_converter(fixed_batch(model, batch), precision, calibration)
        with one_signature(), operation_scopes():
            if precision.activations == "int8" and not precision.stock:
                content = quantize_int8(converter, precision, keep_float, lambda content: op_makers(content, model))
            else:
                content = converter.convert()
        if precision.stock:
            return content
        if precision.weights == "float16":
            return without_squeezes(with_small_constants(content, lambda: self._float_file(model, batch)))
        return without_squeezes(with_own_biases(content) if precision.calibrated else content)

    def _float_file(self, model: keras.Model, batch: int | None) -> bytes:
        return self._converted(model, get_precision("tflite", "float32"), batch, None, ())

    def _layers_with(self, op: str, model: keras.Model, batch: int | None) -> tuple[str, ...]:
        """The layers that have an op of this type, such as "ELU", in the float file."""
        content = self._float_file(model, batch)
        made_by = op_makers(content, model)
        found = (layer for item in operators(content) if item.kind == op for layer in made_by.get(item.name, ()))
        return tuple(dict.fromkeys(found))

    def _check_integer_only(self, content: bytes, model: keras.Model) -> None:
        """Raises ExportError, which names ops and layers, when an op computes in float."""
        made_by = op_makers(content, model)
        ops: dict[str, list[str]] = {}
        for op in operators(content):
            if op.computes_in_float:
                ops.setdefault(op.kind, []).extend(made_by.get(op.name, ()))
        if ops:
            raise not_integer_only(model.name, {kind: tuple(dict.fromkeys(layers)) for kind, layers in ops.items()})

    def census(self, content: bytes) -> Census:
        with export_errors("reading the TFLite file"):
            graph = unpack(content).subgraphs[0]
            ends = {graph.tensors[index].name.decode() for index in graph.outputs}
            return Census.of(
                [(op.kind, op.name, op.writes_float and not at_end(op, ends)) for op in operators(content)]
            )

    def obstacles_in(self, content: bytes) -> Callable[[Runtime], list[str]]:
        return obstacles_in(content)

    def op_layers(self, content: bytes, model: keras.Model) -> OpLayers:
        """See Exporter. TFLite ops have no names, so an op is identified by the name of its output."""
        with export_errors("reading the TFLite file"):
            made_by = op_makers(content, model)
        layers = {layer.name for layer in model.layers}
        return {name: tuple(layer for layer in made if layer in layers) for name, made in made_by.items()}


def op_makers(content: bytes, model: keras.Model) -> OpLayers:
    """The layers and operations of `model` behind each op of a file, by the name of the op's output."""
    graph = unpack(content).subgraphs[0]
    names = [graph.tensors[op.outputs[0]].name.decode() for op in graph.operators]
    read = LayerNames(operation_names(model), names, model.name)
    made_by = {name: read.of(name) for name in names}
    for index, tensor in zip(graph.outputs, model.outputs, strict=True):
        output = graph.tensors[index].name.decode()
        made_by[output] = (*made_by.get(output, ()), layer_of(tensor))  # its name is the signature's, not the layer's
    return made_by


def at_end(op: Operator, outputs: Collection[str]) -> bool:
    """Whether an op only gives the integers of the last one as the float output that was asked for."""
    return op.kind == "DEQUANTIZE" and op.name in outputs


def fixed_batch(model: keras.Model, batch: int | None) -> keras.Model:
    """`model` with an input of a fixed batch size. An open batch (None) costs SHAPE, STRIDED_SLICE and PACK ops."""
    import keras

    if not has_several(model):
        inputs = keras.Input(batch_shape=(batch, *model.input_shape[1:]), name="image")
        return keras.Model(inputs, model(inputs, training=False), name=model.name)
    several = [
        keras.Input(batch_shape=(batch, *tuple(tensor.shape)[1:]), name=name)
        for name, tensor in zip(converted_names(model), model.inputs, strict=True)
    ]
    # By names, whose alphabetical order TensorFlow takes.
    outputs = {f"output_{index:02}": output for index, output in enumerate(answers(model, several))}
    return keras.Model(several, outputs, name=model.name)


def make_converter(model: keras.Model, precision: Precision, calibration: Samples | None) -> tf.lite.TFLiteConverter:
    """A TFLiteConverter set up for `precision`."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter._experimental_disable_per_channel = precision.scales == "per_tensor"
    converter._experimental_disable_per_channel_quantization_for_dense_layers = precision.scales != "per_channel"
    if precision.weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision.weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision.calibrated:
        if calibration is None:
            raise ExportError(f"TFLite {precision.name} needs calibration images; got none")
        size = model.inputs[0].shape[0] or 1
        converter.representative_dataset = lambda: map(list, batches(calibration, size))
        converter.target_spec.supported_ops = operator_sets(precision)
        converter.inference_input_type = converter.inference_output_type = tf.as_dtype(precision.io)
    return converter


def operator_sets(precision: Precision) -> list[tf.lite.OpsSet]:
    """The sets of kernels that the converter may use, preferred first; float kernels only if the precision allows."""
    import tensorflow as tf

    sets = tf.lite.OpsSet
    if precision.activations == "int16":
        return [sets.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8]
    return [sets.TFLITE_BUILTINS_INT8] if precision.integer_only else [sets.TFLITE_BUILTINS]


def quantize_int8(
    converter: tf.lite.TFLiteConverter,
    precision: Precision,
    keep_float: tuple[str, ...],
    op_layers: Callable[[bytes], OpLayers],
) -> bytes:
    """Convert to int8 and keep the ops of some layers in float; `op_layers` finds the layers of the ops in a file.

    Ops that eight bits would make useless stay in float too, see `float_islands`. An integer-only precision refuses
    them.

    The converter calibrates, then quantises. Here both steps run separately: between them the measured ranges replace
    the converter's wrong ones, and only the second step accepts ops to leave in float. TensorFlow's
    QuantizationDebugger takes the same two steps, but gives the file a float interface.
    """
    from tensorflow.lite.python.convert import mlir_quantize

    images = converter.representative_dataset
    converter.representative_dataset = lambda: islice(images(), 1)
    converter._experimental_calibrate_only = True
    measured = measure(converter.convert(), map(tuple, images()))
    content = measured.content
    made_by = op_layers(content)
    kinds = WRONG["int8"] if precision.integer_only else (*WRONG["int8"], *INEXACT)
    islands = float_islands(content, measured.lost, made_by, kinds)
    if precision.integer_only and islands:
        raise too_wide({name: made_by.get(name, ()) for name in islands})
    check_ops(keep_float, {layer for made in made_by.values() for layer in made})
    return mlir_quantize(
        content,
        disable_per_channel=converter._experimental_disable_per_channel,
        disable_per_channel_for_dense_layers=converter._experimental_disable_per_channel_quantization_for_dense_layers,
        input_data_type=converter.inference_input_type,
        output_data_type=converter.inference_output_type,
        denylisted_nodes=[*islands, *(name for name, made in made_by.items() if not set(keep_float).isdisjoint(made))],
    )


EXPORTER = TFLiteExporter()
