"""Generate the C++ header, source and README of a `.tflite` file for firmware. No input or output besides text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fmnist_edge.exporters.tflite_sources import meaning_of
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.preprocess import Levels

__all__ = ["CModel", "identifier", "resolver_call"]

NUMBERS_PER_LINE = 16
ALIGNMENT = 16  # bytes: the largest alignment in a flatbuffer
# Ops that TensorFlow Lite Micro's resolver spells differently from the schema.
SPELLINGS = {
    "BATCH_MATMUL": "BatchMatMul",
    "CUMSUM": "CumSum",
    "PADV2": "PadV2",
    "UNIDIRECTIONAL_SEQUENCE_LSTM": "UnidirectionalSequenceLSTM",
}


@dataclass(frozen=True)
class CModel:
    """Everything that the sources contain.

    Attributes:
        name: namespace and stem of the files, see `identifier`.
        content, sha256: the `.tflite` file and its hash.
        arena_size: bytes of tensor arena.
        measured_by: the engine that measured `arena_size`, name and version.
        ops: the model's ops as the schema names them, e.g. "CONV_2D", each once.
        input, output: the int8 or uint8 tensors of one image.
        golden_input, golden_output: of the same types, a quantised image and the model's output for it.
    """

    name: str
    content: bytes
    sha256: str
    arena_size: int
    measured_by: str
    ops: tuple[str, ...]
    input: TensorSpec
    output: TensorSpec
    contract: Contract
    golden_input: np.ndarray
    golden_output: np.ndarray

    def files(self) -> dict[str, str]:
        """File name -> text."""
        return {f"{self.name}.h": self.header(), f"{self.name}.cc": self.source(), "README.md": self.readme()}

    @property
    def label_count(self) -> str:
        """The length of the array of labels, in C++."""
        labels = len(self.contract.labels)
        return "kClassCount" if labels == self.contract.score_count else str(labels)

    @property
    def input_type(self) -> str:
        return f"std::{self.input.dtype}_t"

    @property
    def output_type(self) -> str:
        return f"std::{self.output.dtype}_t"

    @property
    def channels(self) -> int | None:
        """The number of tables of pixels; None for one that all channels share."""
        return self.contract.preprocessing.channels

    @property
    def table_size(self) -> str:
        return "[256]" if self.channels is None else f"[{self.channels}][256]"

    def table_rows(self) -> str:
        """The input value of each uint8 pixel 0..255, computed as the runtime computes it."""
        values = self.input.quantize(self.contract.preprocessing.levels())
        if self.channels is None:
            return number_rows(values.tolist())
        return "\n".join(f"    {{\n{number_rows(row.tolist())}\n    }}," for row in values.T)

    def input_value(self) -> str:
        """A C++ function for tables of several channels; empty for one table."""
        count, order = self.channels, self.contract.preprocessing.order
        if count is None:
            return ""
        pixel = f"i / {count} * {count} + {count - 1} - i % {count}" if order == "BGR" else "i"
        return f"""\
// The first index is the model's channel, in the order {order}. The i-th input of an image of RGB pixels is:
inline {self.input_type} InputValue(const std::uint8_t* pixels, std::size_t i) {{
  return kPixelToInput[i % {count}][pixels[{pixel}]];
}}
"""

    def header(self) -> str:
        guard = f"{self.name}_h_".upper()
        shape, prep, taken = self.contract.input_shape, self.contract.preprocessing, self.input.dtype
        calls = " &&\n         ".join(f"resolver.{resolver_call(op)}() == 0" for op in self.ops)
        return f"""\
// Written by `fmnist-edge export --format c-array`; export again rather than edit.
#ifndef {guard}
#define {guard}

#include <cstddef>
#include <cstdint>

namespace {self.name} {{

// The .tflite file. SHA-256: {self.sha256}
constexpr std::size_t kModelLength = {len(self.content)};
extern const unsigned char kModel[kModelLength];

// Bytes of tensor arena, as measured with the reference kernels of {self.measured_by} on a 64-bit
// machine. 32-bit pointers take less; kernels that have scratch buffers, such as CMSIS-NN's, take more.
constexpr std::size_t kArenaSize = {self.arena_size};

// The ops of the model, for a tflite::MicroMutableOpResolver<kOpCount>. False where one cannot be added.
constexpr unsigned int kOpCount = {len(self.ops)};
template <typename Resolver>
bool AddOps(Resolver& resolver) {{
  return {calls};
}}

// Input: {taken}, one image as {" x ".join(map(str, shape))}. kPixelToInput has the value of each uint8 pixel, which is
// (pixel * kPixelScale - kPixelMean) / kPixelStd / kInputScale + kInputZeroPoint, rounded half to even and saturated.
constexpr std::size_t kInputShape[] = {{{", ".join(map(str, shape))}}};
constexpr std::size_t kInputLength = {self.golden_input.size};
constexpr float kPixelScale = {float_literal(prep.scale)};
constexpr float kPixelMean{brackets(prep.mean)} = {float_initialiser(prep.mean)};
constexpr float kPixelStd{brackets(prep.std)} = {float_initialiser(prep.std)};
constexpr float kInputScale = {float_literal(self.input.scale)};
constexpr std::int32_t kInputZeroPoint = {self.input.zero_point};
extern const {self.input_type} kPixelToInput{self.table_size};
{self.input_value()}
// Output: {self.output.dtype}, {self.contract.output}, one of each class. {meaning_of(self.contract)}
constexpr std::size_t kClassCount = {self.contract.score_count};
constexpr bool kOutputIsLogits = {"true" if self.contract.output == "logits" else "false"};
constexpr float kOutputScale = {float_literal(self.output.scale)};
constexpr std::int32_t kOutputZeroPoint = {self.output.zero_point};
extern const char* const kLabels[{self.label_count}];  // UTF-8
inline float Score({self.output_type} output) {{ return kOutputScale * static_cast<float>(output - kOutputZeroPoint); }}

// An image and the answer of the reference kernels, bit for bit, to try a port with.
extern const {self.input_type} kGoldenInput[kInputLength];
extern const {self.output_type} kGoldenOutput[kClassCount];

}}  // namespace {self.name}

#endif  // {guard}
"""

    def source(self) -> str:
        labels = "\n".join(f"    {string_literal(label)}," for label in self.contract.labels)
        return f"""\
// Written by `fmnist-edge export --format c-array`; export again rather than edit.
#include "{self.name}.h"

namespace {self.name} {{

alignas({ALIGNMENT}) const unsigned char kModel[kModelLength] = {{
{number_rows(self.content)}
}};

const {self.input_type} kPixelToInput{self.table_size} = {{
{self.table_rows()}
}};

const char* const kLabels[{self.label_count}] = {{
{labels}
}};

const {self.input_type} kGoldenInput[kInputLength] = {{
{number_rows(self.golden_input.reshape(-1).tolist())}
}};

const {self.output_type} kGoldenOutput[kClassCount] = {{
{number_rows(self.golden_output.reshape(-1).tolist())}
}};

}}  // namespace {self.name}
"""

    def readme(self) -> str:
        """About ten lines of Markdown."""
        flash, ram = f"{len(self.content):,}", f"{self.arena_size:,}"
        name, shape = self.name, " x ".join(map(str, self.contract.input_shape))
        classes, pixel, score = self.contract.score_count, f"data.{self.input.dtype}[i]", f"data.{self.output.dtype}"
        value = "kPixelToInput[pixel[i]]" if self.channels is None else "InputValue(pixels, i)"
        return f"""\
# {name}: {flash} bytes of flash, {ram} bytes of RAM

Add `{name}.cc` to a firmware that has TensorFlow Lite Micro. One {shape} image in, {classes} scores out:

    alignas(16) static uint8_t arena[{name}::kArenaSize];
    tflite::MicroMutableOpResolver<{name}::kOpCount> ops; {name}::AddOps(ops);
    tflite::MicroInterpreter interpreter(tflite::GetModel({name}::kModel), ops, arena, sizeof(arena));
    interpreter.AllocateTensors();  // input(0)->{pixel} = {value}; Invoke(); output(0)->{score}

Try a port with `kGoldenInput`: the answer is `kGoldenOutput`. `kLabels` has the names of the classes; see the header.
"""


def identifier(name: str) -> str:
    """A model's name as a C++ namespace: "My net" -> "my_net_model". The suffix avoids keywords and reserved names."""
    stem = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
    return "_".join(filter(None, ("m" if stem[:1].isdigit() else "", stem, "model")))


def resolver_call(op: str) -> str:
    """The method of MicroMutableOpResolver that adds an op: "CONV_2D" -> "AddConv2D"."""
    return "Add" + SPELLINGS.get(op, "".join(word.title() for word in op.split("_")))


def brackets(value: Levels) -> str:
    """Of the declaration of a constant: those of an array for one number for each channel."""
    return f"[{len(value)}]" if isinstance(value, tuple) else ""


def number_rows(numbers: Iterable[int] | Sequence[int]) -> str:
    texts = [str(number) for number in numbers]
    lines = (", ".join(texts[start : start + NUMBERS_PER_LINE]) for start in range(0, len(texts), NUMBERS_PER_LINE))
    return "\n".join(f"    {line}," for line in lines)


def float_literal(value: float | None) -> str:
    """A float32 literal that reads back as the same float32."""
    text = f"{np.float32(value or 0):.9g}"
    return f"{text}f" if set(text) & set(".e") else f"{text}.0f"


def float_initialiser(value: Levels) -> str:
    """A literal, or those of an array in braces."""
    return f"{{{', '.join(map(float_literal, value))}}}" if isinstance(value, tuple) else float_literal(value)


def string_literal(text: str) -> str:
    """A UTF-8 string literal. Bytes that are not plain ASCII become three octal digits.

    Unlike a hexadecimal escape, an octal one cannot include the character after it.
    """
    plain = set(range(0x20, 0x7F)) - set(b'"\\?')  # "?" may start a trigraph
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'
