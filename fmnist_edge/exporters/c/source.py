"""Write the files of a C model: header, code, weights, golden vectors, an example program and a README."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from fmnist_edge.exporters.c.files import fill, kernel, template
from fmnist_edge.exporters.c.image import image_example, image_header, image_source, takes_any_size
from fmnist_edge.exporters.c.program import AVX2, X86, Fields, Program
from fmnist_edge.exporters.c_source import float_initialiser, float_literal, number_rows, string_literal
from fmnist_edge.exporters.tflite_sources import meaning_of
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.embedded import contract_text
from fmnist_edge.runtime.engine import TensorSpec

__all__ = ["CModel", "c_name"]

NOTICE = "/* Written by `fmnist-edge export --format c`; export again rather than edit. */\n"
# The files of kernels/ that compute sums of products, by the macro of target.h that asks for them.
BACK_ENDS = {
    "FE_AVX512VNNI": "avx512vnni.h", "FE_AVXVNNI": "avx2.h", "FE_AVX2": "avx2.h", "FE_NEON": "neon.h",
    "FE_DSP": "cortex_m.h", "FE_WASM": "wasm.h",
}  # fmt: skip
# Where activations have two bytes.
WIDE = "defined(__wasm_simd128__)"
LONGEST_LITERAL = 4000
# Kernels read four weights at a time. Cortex-M4 takes longer for words that are not aligned.
ALIGNED = """
#if defined(__GNUC__)
#define FE_ALIGNED __attribute__((aligned(4)))
#else
#define FE_ALIGNED
#endif
"""
WIDE_WEIGHTS = "/* A weight is -128: the sum of two products may exceed 16 bits. */\n#define FE_WIDE_WEIGHTS 1\n"
SLACK = 64  # bytes, to align the arena
C_TYPES = {"int8": "int8_t", "uint8": "uint8_t", "int32": "int32_t"}


def c_name(model: str) -> str:
    """The prefix of all names and files: "My net" -> "my_net".

    A name of one word gets a suffix. It may be a keyword, or a header of the compiler.
    """
    stem = re.sub(r"[^a-z0-9]+", "_", model.lower()).strip("_")
    stem = "_".join(filter(None, ("m" if stem[:1].isdigit() else "", stem)))
    compilers = stem.startswith(("arm_", "wasm_", "sys_", "linux_"))
    return stem if "_" in stem and not compilers else "_".join(filter(None, (stem, "model")))


@dataclass(frozen=True)
class CModel:
    """Everything that the files contain.

    Attributes:
        program: the steps; its prefix is the name of the model in C.
        sha256: of the `.tflite` file.
        pixels: int8 (256,), the input value of each uint8 pixel; or (channels, 256), for each of the model's channels.
        golden_inputs, golden_outputs: int8 (n, ...), with the numpy engine's outputs.
    """

    program: Program
    sha256: str
    input: TensorSpec
    output: TensorSpec
    contract: Contract
    pixels: np.ndarray
    golden_inputs: np.ndarray
    golden_outputs: np.ndarray

    @property
    def name(self) -> str:
        return self.program.prefix

    @property
    def label_count(self) -> str:
        """The length of the array of labels, in C."""
        labels, scores = len(self.contract.labels), self.contract.score_count
        return f"{self.name.upper()}_CLASSES" if labels == scores else str(labels)

    @property
    def arena_bytes(self) -> int:
        """The most of any target; the header says which needs how many."""
        return max(self.wasm_arena_bytes, self.board_arena_bytes + self.program.scratch_size)

    @property
    def wasm_arena_bytes(self) -> int:
        """In WebAssembly, where activations have two bytes."""
        return 2 * (self.program.memory.size + self.program.wide_scratch_size) + SLACK

    @property
    def board_arena_bytes(self) -> int:
        """On Arm, where activations have one byte."""
        return self.program.memory.size + SLACK

    @property
    def constant_bytes(self) -> int:
        """Of weights and tables, on targets other than AVX2."""
        return sum(values.nbytes for values in self.program.arrays_but(AVX2).values())

    @property
    def pixel_count(self) -> str:
        """The length of the table of pixels, in C."""
        return "256" if self.pixels.ndim == 1 else f"256 * {self.name.upper()}_CHANNELS"

    @property
    def pixel_rows(self) -> str:
        """A sentence about a table of several rows; empty for one."""
        order = self.contract.preprocessing.order
        return "" if self.pixels.ndim == 1 else f" 256 of each channel, in the model's order, {order}; pixels are RGB."

    def files(self) -> dict[str, str]:
        """File name -> text."""
        image = {f"{self.name}_image.c": NOTICE + image_source(self.name, self.contract)}
        return {
            f"{self.name}.h": self.header(),
            f"{self.name}.c": self.code(),
            **(image if takes_any_size(self.contract) else {}),
            f"{self.name}_weights.h": self.weights_header(),
            f"{self.name}_weights.c": self.weights(),
            "golden.c": self.golden(),
            "main.c": fill(template("main.c"), NAME=self.name.upper(), name=self.name),
            "README.md": self.readme(),
        }

    def header(self) -> str:
        prep, shape = self.contract.preprocessing, self.contract.input_shape
        return fill(
            template("model.h"),
            NAME=self.name.upper(),
            name=self.name,
            sha256=self.sha256,
            wide=WIDE,
            x86=X86,
            arena=self.program.memory.size,
            scratch=self.program.scratch_size,
            wide_scratch=self.program.wide_scratch_size,
            slack=SLACK,
            shape=" x ".join(map(str, shape)),
            height=shape[0],
            width=shape[1],
            channels=shape[2],
            inputs=self.program.value(self.program.graph.input).size,
            classes=self.contract.score_count,
            labels=self.label_count,
            meaning=meaning_of(self.contract),
            output=self.contract.output,
            is_logits=int(self.contract.output == "logits"),
            input_scale=float_literal(self.input.scale),
            input_zero_point=self.input.zero_point,
            output_scale=float_literal(self.output.scale),
            output_zero_point=self.output.zero_point,
            pixel_scale=float_literal(prep.scale),
            pixel_mean=float_initialiser(prep.mean),
            pixel_std=float_initialiser(prep.std),
            pixel_count=self.pixel_count,
            pixel_rows=self.pixel_rows,
            image=image_header(self.name, self.contract),
        )

    def code(self) -> str:
        steps = [structure(step.kind, step.name, step.fields) for step in self.program.steps]
        kernels = [back_ends() if name == "back_end" else kernel(name) for name in self.program.kernels]
        if self.pixels.ndim > 1:
            kernels.append(kernel("channels.h"))
        source, out = (self.program.value(number) for number in (self.program.graph.input, self.program.graph.output))
        source_view, out_view = self.program.view(source.number), self.program.view(out.number)
        load = {
            "rows": source.rows, "columns": source.columns, "channels": source.channels,
            "in_row_step": source.columns * source.channels, "in_column_step": source.channels,
            "out_row_step": source_view.row_step, "out_column_step": source_view.column_step,
        }  # fmt: skip
        store = {
            "rows": out.rows, "columns": out.columns, "channels": out.channels, "in_row_step": out_view.row_step,
            "in_column_step": out_view.column_step, "out_row_step": out.columns * out.channels,
            "out_column_step": out.channels,
        }  # fmt: skip
        steps += [structure("fe_move", "load", load), structure("fe_move", "store", store)]
        return NOTICE + fill(
            template("model.c"),
            NAME=self.name.upper(),
            name=self.name,
            kernels="\n".join([WIDE_WEIGHTS] * self.program.wide_weights + kernels).strip(),
            steps="\n".join(steps).strip(),
            calls="\n  ".join(self.program.calls),
            input=f"at + {source_view.offset}",
            output=f"at + {out_view.offset}",
            label_count=self.label_count,
            labels=",\n    ".join(string_literal(label) for label in self.contract.labels),
            contract=long_text(contract_text(self.contract)),
            pixels=number_rows(self.pixels.ravel().tolist()),
            pixel_count=self.pixel_count,
            load_pixels="fe_load" if self.pixels.ndim == 1 else "fe_load_channels",
            is_reversed="" if self.pixels.ndim == 1 else f" {int(self.contract.preprocessing.order == 'BGR')},",
            classes=out.size,
        )

    def weights_header(self) -> str:
        declared = [f"extern const {C_TYPES[v.dtype.name]} {n}[{v.size}];" for n, v in self.program.arrays.items()]
        guard = f"{self.name.upper()}_WEIGHTS_H"
        body = "\n".join(declared)
        return f"""{NOTICE}#ifndef {guard}
#define {guard}

#include <stdint.h>

#ifdef __cplusplus
extern "C" {{
#endif
{body}
#ifdef __cplusplus
}}
#endif

#endif
"""

    def weights(self) -> str:
        texts = [f'{NOTICE}#include "{self.name}_weights.h"\n{ALIGNED}']
        for name, values in self.program.arrays.items():
            kind, aligned = C_TYPES[values.dtype.name], " FE_ALIGNED" * ("_weights_" in name)
            text = f"const {kind} {name}[{values.size}]{aligned} = {{\n{number_rows(values.tolist())}\n}};\n"
            guard = self.program.guards.get(name)
            texts.append(f"#if {guard}\n{text}#endif\n" if guard else text)
        return "\n".join(texts)

    def golden(self) -> str:
        count = len(self.golden_inputs)
        return NOTICE + fill(
            template("golden.c"),
            NAME=self.name.upper(),
            name=self.name,
            count=count,
            inputs=number_rows(self.golden_inputs.reshape(-1).tolist()),
            outputs=number_rows(self.golden_outputs.reshape(-1).tolist()),
        )

    def readme(self) -> str:
        return fill(
            template("README.md"),
            NAME=self.name.upper(),
            name=self.name,
            weights=f"{self.constant_bytes:,}",
            arena=f"{self.board_arena_bytes:,}",
            shape=" x ".join(map(str, self.contract.input_shape)),
            classes=self.contract.score_count,
            image=image_example(self.name, self.contract),
        )


def long_text(text: str) -> str:
    """ASCII text as an initialiser of an array. C99 limits string literals to 4,095 characters."""
    literal = string_literal(text)
    return literal if len(literal) < LONGEST_LITERAL else f"{{\n{number_rows([*text.encode(), 0])}\n}}"


def back_ends() -> str:
    """The sums of products and last stages, one back end for each kind of target."""
    by_file: dict[str, list[str]] = {}
    for macro, name in BACK_ENDS.items():
        by_file.setdefault(name, []).append(f"defined({macro})")
    parts = []
    for index, (name, macros) in enumerate(by_file.items()):
        parts += [f"#{'el' if index else ''}if {' || '.join(macros)}", kernel(name).rstrip()]
    return "\n".join([*parts, "#else", kernel("portable.h").rstrip(), "#endif", kernel("finish.h")])


def structure(kind: str, name: str, fields: Fields) -> str:
    lines, line = [], "   "
    for field, value in fields.items():
        item = f" /* {field} */ {value},"
        if len(line) + len(item) > 116:
            lines.append(line)
            line = "   "
        line += item
    body = "\n".join([*lines, line.rstrip(",")])
    return f"static const {kind} {name} = {{\n{body}}};\n"
