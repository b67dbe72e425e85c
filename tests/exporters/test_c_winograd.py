"""Convolutions of 3 x 3 in WebAssembly: the bits of fe_convolve, for all shapes, and no byte beyond their memory."""

import json
import shutil
import subprocess

from support.web_models import needs_node, needs_wasm_compiler

from fmnist_edge.exporters.c.files import KERNELS
from fmnist_edge.exporters.c.linear import tile_for
from fmnist_edge.exporters.c.winograd import LEAST_TILES, MOST_TRANSFORMED, POSITIONS, winograd_scratch
from fmnist_edge.parity.c_form.targets import TARGETS

HEADERS = "".join(
    f'#include "{KERNELS}/{name}.h"\n'
    for name in ("target", "rescale", "linear", "wasm", "finish", "convolve", "winograd")
)
# Numbers of a simple generator: all of a range, or its two ends only.
SOURCE = (
    """#include <stdint.h>
#include <string.h>
#include <wasm_simd128.h>
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count) { return __builtin_memcpy(to, from, count); }
void *memset(void *to, int value, __SIZE_TYPE__ count) { return __builtin_memset(to, value, count); }
"""
    + HEADERS
    + """
#define MOST 400000
static fe_act in[MOST], plain[MOST], fast[MOST], scratch[MOST];
static int8_t weights[MOST], shifts[512];
static int32_t bias[512], factors[512];
static uint32_t state;

static int32_t draw(int32_t low, int32_t high, int32_t ends) {
  state = state * 1664525u + 1013904223u;
  const uint32_t found = state >> 8;
  return ends ? (found % 2 ? high : low) : low + (int32_t)(found % (uint32_t)(high - low + 1));
}

__attribute__((export_name("differences")))
int differences(int rows, int columns, int inputs, int outputs, int tile, int scratch_size, int low, int ends,
                int seed) {
  const int width = columns + 2, out_step = outputs + 3, groups = 3 * inputs / 4;
  const fe_linear op = {.weights = weights, .bias = bias, .factors = factors, .shifts = shifts, .channels = outputs,
                        .groups = groups, .run_rows = 3, .run_columns = 1, .run_row_step = width * inputs,
                        .run_column_step = inputs, .rows = rows, .columns = columns, .in_row_step = width * inputs,
                        .in_column_step = inputs, .out_row_step = (columns + 1) * out_step,
                        .out_column_step = out_step, .tile = tile, .zero_point = -5, .low = low, .high = 127};
  int wrong = 0;
  state = (uint32_t)seed;
  for (int i = 0; i < MOST; i++) {
    in[i] = (fe_act)draw(-128, 127, ends);
    weights[i] = (int8_t)draw(-128, 127, ends);
    plain[i] = fast[i] = scratch[i] = 12345;
  }
  for (int i = (rows + 2) * width * inputs; i < MOST; i++) in[i] = (fe_act)draw(-32768, 32767, 0);
  for (int i = 0; i < 512; i++) {
    bias[i] = draw(-50000, 50000, 0);
    factors[i] = draw(1 << 30, 2147483647 - 64, 0) | 1 << 30;
    shifts[i] = (int8_t)draw(ends ? 44 : 38, 46, 0);
  }
  fe_convolve(&op, in, plain);
  fe_convolve_3x3(&op, in, fast, scratch);
  for (int i = 0; i < MOST; i++) wrong += plain[i] != fast[i];
  for (int i = scratch_size; i < MOST; i++) wrong += scratch[i] != 12345;
  return wrong;
}
"""
)
RUNNER = """import { readFileSync } from "node:fs";
const { instance } = await WebAssembly.instantiate(readFileSync("f.wasm"));
const cases = JSON.parse(readFileSync("cases.json"));
console.log(JSON.stringify(cases.map((values) => instance.exports.differences(...values))));
"""
SHAPES = (  # rows, columns, inputs, outputs
    (3, 3, 8, 4), (4, 4, 16, 1), (7, 7, 24, 18), (5, 8, 8, 16), (9, 2, 40, 7), (14, 14, 32, 36), (4, 4, 128, 20),
    (11, 6, 16, 33), (2, 9, 8, 3), (4, 22, 8, 5), (1, 9, 16, 8),
)  # fmt: skip


@needs_node()
@needs_wasm_compiler()
def test_bits_and_memory(tmp_path):
    target = TARGETS["wasm"]
    compiler = next(name for name in target.compilers if shutil.which(name))
    (tmp_path / "f.c").write_text(SOURCE)
    subprocess.run([compiler, "-Wall", "-Wextra", "-Wpedantic", "-Werror", *target.options, tmp_path / "f.c", "-o",
                    tmp_path / "f.wasm"], check=True)  # fmt: skip
    cases = []
    for rows, columns, inputs, outputs in SHAPES:
        scratch = winograd_scratch((3, 3, inputs), (rows, columns))
        assert scratch is not None
        for low in (-128, -5):
            for ends in (0, 1):
                shape = (rows, columns, inputs, outputs, tile_for(rows * columns, 6))
                cases.append((*shape, scratch, low, ends, len(cases) + 1))
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    (tmp_path / "f.mjs").write_text(RUNNER)
    found = subprocess.run(["node", "f.mjs"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    assert json.loads(found) == [0] * len(cases)


def test_only_what_fits():
    assert winograd_scratch((3, 3, 32), (14, 14)) is not None
    assert winograd_scratch((3, 3, 12), (14, 14)) is None  # eight channels are read at a time
    assert winograd_scratch((1, 3, 32), (14, 14)) is None
    assert winograd_scratch((3, 3, 32), (5, 2)) is None
    assert winograd_scratch((3, 3, 64), (56, 56)) is None


def test_four_times_a_sum_fits_32_bits():
    channels = MOST_TRANSFORMED // (POSITIONS * LEAST_TILES)
    assert winograd_scratch((3, 3, channels), (3, 3)) is not None
    assert winograd_scratch((3, 3, channels + 8), (3, 3)) is None
    assert 4 * 9 * channels * 128 * 128 < 1 << 31
