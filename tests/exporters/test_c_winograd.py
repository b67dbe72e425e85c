"""Convolutions of 3 x 3 with fewer multiplications: the bits of a plain loop, for all shapes, and no byte beyond their
memory."""

import ctypes
import dataclasses
import json
import shutil
import subprocess

import pytest
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT, runs_here
from support.c_models import TARGETS as X86_TARGETS
from support.web_models import needs_node, needs_wasm_compiler

from fmnist_edge.exporters.c.files import KERNELS
from fmnist_edge.exporters.c.winograd import AVX2, MOST_TRANSFORMED, POSITIONS, WASM, winograd_scratch
from fmnist_edge.parity.c_form.targets import TARGETS

# Numbers of a simple generator: all of a range, or its two ends only.
SOURCE = """#include <stdint.h>
#include <string.h>
#if defined(__wasm__)
#include <wasm_simd128.h>
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count) { return __builtin_memcpy(to, from, count); }
void *memset(void *to, int value, __SIZE_TYPE__ count) { return __builtin_memset(to, value, count); }
__attribute__((export_name("differences")))
#else
#include <immintrin.h>
#endif
int differences(int rows, int columns, int inputs, int outputs, int scratch_size, int low, int ends, int seed);
INCLUDES
#define MOST 400000
static fe_act in[MOST], plain[MOST], fast[MOST];
static int16_t scratch[MOST];
static int8_t weights[MOST], shifts[512];
static int32_t bias[512], factors[512], sums[512];
static uint32_t state;

static int32_t draw(int32_t low, int32_t high, int32_t ends) {
  state = state * 1664525u + 1013904223u;
  const uint32_t found = state >> 8;
  return ends ? (found % 2 ? high : low) : low + (int32_t)(found % (uint32_t)(high - low + 1));
}

static int32_t weight(const fe_linear *op, int32_t row, int32_t input, int32_t channel) {
  const int32_t full = op->channels / FE_PANEL * FE_PANEL, narrow = (op->channels - full + 3) / 4 * 4;
  const int32_t width = channel < full ? FE_PANEL : narrow, group = row * op->groups + input / 4;
  return op->weights[channel / FE_PANEL * FE_PANEL * 3 * op->groups * 4 + group * 4 * width + channel % FE_PANEL * 4 +
                     input % 4];
}

static void convolve_plainly(const fe_linear *op, const fe_act *from, fe_act *to) {
  for (int32_t channel = 0; channel < op->channels; channel += FE_BLOCK) {
    const int32_t left = op->channels - channel, count = left < FE_BLOCK ? left : FE_BLOCK;
    fe_last last;
    fe_prepare(op, channel, &last);
    for (int32_t pixel = 0; pixel < op->rows * op->columns; pixel++) {
      const int32_t row = pixel / op->columns, column = pixel % op->columns;
      int32_t found[FE_BLOCK] = {0};
      for (int32_t r = 0; r < 3; r++) {
        const fe_act *run = from + (row + r) * op->in_row_step + column * op->in_column_step;
        for (int32_t i = 0; i < 3 * op->in_column_step; i++)
          for (int32_t c = 0; c < count; c++) found[c] += run[i] * weight(op, r, i, channel + c);
      }
      fe_finish(found, &last, op, count, to + row * op->out_row_step + column * op->out_column_step + channel);
    }
  }
}

int differences(int rows, int columns, int inputs, int outputs, int scratch_size, int low, int ends, int seed) {
  const int width = columns + 2, out_step = outputs + 3, groups = 3 * inputs / 4;
  const fe_linear op = {.weights = weights, .bias = bias, .sums = sums, .factors = factors, .shifts = shifts,
                        .channels = outputs, .groups = groups, .run_rows = 3, .run_columns = 1,
                        .run_row_step = width * inputs, .run_column_step = inputs, .rows = rows, .columns = columns,
                        .in_row_step = width * inputs, .in_column_step = inputs,
                        .out_row_step = (columns + 1) * out_step, .out_column_step = out_step, .tile = 1,
                        .zero_point = -5, .low = low, .high = 127};
  int wrong = 0;
  state = (uint32_t)seed;
  for (int i = 0; i < MOST; i++) {
    in[i] = fe_stored(draw(-128, 127, ends));
    weights[i] = (int8_t)draw(-128, 127, ends);
    plain[i] = fast[i] = (fe_act)12345;
    scratch[i] = 12345;
  }
  for (int i = (rows + 2) * width * inputs; i < MOST; i++) in[i] = (fe_act)draw(-32768, 32767, 0);
  for (int i = 0; i < 512; i++) {
    bias[i] = draw(-50000, 50000, 0);
    factors[i] = draw(1 << 30, 2147483647 - 64, 0) | 1 << 30;
    shifts[i] = (int8_t)draw(ends ? 44 : 38, 46, 0);
  }
  convolve_plainly(&op, in, plain);
  fe_convolve_3x3(&op, in, fast, (fe_act *)(void *)scratch);
  for (int i = 0; i < MOST; i++) wrong += plain[i] != fast[i];
  for (int i = scratch_size; i < MOST; i++) wrong += scratch[i] != 12345;
  return wrong;
}
"""
RUNNER = """import { readFileSync } from "node:fs";
const { instance } = await WebAssembly.instantiate(readFileSync("f.wasm"));
const cases = JSON.parse(readFileSync("cases.json"));
console.log(JSON.stringify(cases.map((values) => instance.exports.differences(...values))));
"""
SHAPES = (  # rows, columns, inputs, outputs
    (3, 3, 8, 4), (4, 4, 16, 1), (7, 7, 24, 18), (5, 8, 8, 16), (9, 2, 40, 7), (14, 14, 32, 36), (4, 4, 128, 20),
    (11, 6, 16, 33), (2, 9, 8, 3), (4, 22, 8, 5), (1, 9, 16, 8), (20, 19, 16, 20),
    (70, 3, 16, 4), (2, 140, 16, 3), (5, 140, 16, 3),
)  # fmt: skip


def source(back_end):
    names = ("target", "rescale", "linear", back_end, "finish", "convolve", "winograd")
    return SOURCE.replace("INCLUDES", "".join(f'#include "{KERNELS}/{name}.h"\n' for name in names))


def cases(kernel):
    """Arguments of `differences`."""
    found = []
    for rows, columns, inputs, outputs in SHAPES:
        scratch = winograd_scratch(dataclasses.replace(kernel, least_tiles=4), (3, 3, inputs), (rows, columns))
        assert (scratch is None) == (inputs % kernel.lanes > 0)
        if scratch is not None:
            for low in (-128, -5):
                found += [(rows, columns, inputs, outputs, scratch, low, ends, len(found) + ends) for ends in (0, 1)]
    return found


@needs_node()
@needs_wasm_compiler()
def test_webassembly(tmp_path):
    target = TARGETS["wasm"]
    compiler = next(name for name in target.compilers if shutil.which(name))
    (tmp_path / "f.c").write_text(source("wasm"))
    subprocess.run([compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", *target.options, tmp_path / "f.c", "-o",
                    tmp_path / "f.wasm"], check=True)  # fmt: skip
    (tmp_path / "cases.json").write_text(json.dumps(cases(WASM)))
    (tmp_path / "f.mjs").write_text(RUNNER)
    found = subprocess.run(["node", "f.mjs"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert json.loads(found) == [0] * len(cases(WASM))


@needs_c_compiler()
@pytest.mark.parametrize("level", ["-O0", "-O3"])
@pytest.mark.parametrize("compiler", [c_compiler(), "clang"])
def test_avx2(tmp_path, compiler, level):
    flags, needed = X86_TARGETS["AVX2"]
    if not runs_here(needed) or not shutil.which(compiler):
        pytest.skip(f"needs a CPU with AVX2 and {compiler}")
    (tmp_path / "f.c").write_text(source("avx2"))
    command = [compiler, *STRICT, "-Wno-unused-function", level, flags, "-shared", "-fPIC", tmp_path / "f.c"]
    subprocess.run([*command, "-o", tmp_path / "f.so"], check=True)
    differences = ctypes.CDLL(str(tmp_path / "f.so")).differences
    assert [differences(*case) for case in cases(AVX2)] == [0] * len(cases(AVX2))


def test_only_what_fits():
    assert winograd_scratch(WASM, (3, 3, 32), (14, 14)) is not None
    assert winograd_scratch(WASM, (3, 3, 12), (14, 14)) is None  # eight channels are read at a time
    assert winograd_scratch(WASM, (1, 3, 32), (14, 14)) is None
    assert winograd_scratch(WASM, (3, 3, 32), (5, 2)) is None
    assert winograd_scratch(WASM, (3, 3, 64), (56, 56)) is None
    assert winograd_scratch(AVX2, (3, 3, 32), (14, 14)) is not None
    assert winograd_scratch(AVX2, (3, 3, 24), (14, 14)) is None
    assert winograd_scratch(AVX2, (3, 3, 64), (7, 7)) is None  # fe_convolve is faster
    assert winograd_scratch(AVX2, (3, 3, 64), (560, 560)) is None  # one row of tiles is too large
    parts = [winograd_scratch(AVX2, (3, 3, 64), (rows, 56)) for rows in (4, 56, 1000)]
    assert None not in parts and len(set(parts)) == 1, "memory does not grow with the number of rows"


@pytest.mark.parametrize(("kernel", "highest"), [(WASM, 128), (AVX2, 255)])
def test_four_times_a_sum_fits_32_bits(kernel, highest):
    """`highest`: of the magnitudes of stored activations."""
    channels = MOST_TRANSFORMED // (POSITIONS * kernel.least_tiles)
    outputs = (3, kernel.least_tiles - 1)
    assert winograd_scratch(kernel, (3, 3, channels), outputs) is not None
    assert winograd_scratch(kernel, (3, 3, channels + kernel.lanes), outputs) is None
    assert 4 * 9 * channels * highest * 128 < 1 << 31
