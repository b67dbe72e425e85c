"""The last stage of every back end that this CPU can run: rounding of ties, signs, small and large shifts."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import TARGETS, runs_here
from support.web_models import needs_node, needs_wasm_compiler

from fmnist_edge.exporters.c.linear import MOST_SHIFT, of_zeros
from fmnist_edge.exporters.c.program import KERNELS
from fmnist_edge.parity.c_form.targets import TARGETS as EMULATED
from fmnist_edge.runtime.engines.numpy.fixed_point import Multiplier, multiply, multiply_once

# cortex_m.h has no instruction of its own in its last stage.
FILES = {
    "AVX-512 VNNI": "avx512vnni.h",
    "AVX-VNNI": "avx2.h",
    "AVX2": "avx2.h",
    "any C99 compiler": "finish.h",
    "Cortex-M": "cortex_m.h",
}
QUICK = ("AVX2", "Cortex-M")
FLAGS = {**TARGETS, "Cortex-M": TARGETS["any C99 compiler"]}
SOURCE = """#include <stdint.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#endif
#include "{kernels}/target.h"
#include "{kernels}/rescale.h"
#include "{kernels}/linear.h"
#include "{kernels}/{file}"
typedef struct {{
  int32_t sums[64], factors[64], once, zero_point, low;
  int8_t shifts[64], out[64];
}} a_case;
#if defined(__wasm__)
#define EXPORT(name) __attribute__((export_name(#name)))
void *memcpy(void *to, const void *from, __SIZE_TYPE__ count) {{ return __builtin_memcpy(to, from, count); }}
static a_case memory[{count}];
EXPORT(at) a_case *at(void) {{ return memory; }}
#else
#define EXPORT(name)
#endif
EXPORT(finish) int finish(a_case *cases) {{
  static const int32_t zeros[FE_BLOCK];
  for (int i = 0; i < {count}; i++) {{
    a_case *it = &cases[i];
    const fe_linear op = {{.bias = zeros, .sums = zeros, .factors = it->factors, .shifts = it->shifts,
                          .channels = FE_BLOCK, .once = it->once, .zero_point = it->zero_point,
                          .low = it->low, .high = 125}};
    fe_last last;
    fe_act found[64];
    fe_prepare(&op, 0, &last);
    fe_finish(it->sums, &last, &op, FE_BLOCK, found);
    for (int c = 0; c < FE_BLOCK; c++) it->out[c] = (int8_t)(found[c] - FE_OFFSET);
  }}
  return FE_BLOCK;
}}
"""
RUNNER = """import {{ readFileSync, writeFileSync }} from "node:fs";
const {{ instance }} = await WebAssembly.instantiate(readFileSync("f.wasm"));
const {{ memory, at, finish }} = instance.exports, cases = readFileSync("cases.bin");
new Uint8Array(memory.buffer, at(), cases.length).set(cases);
const block = finish(at());
writeFileSync("cases.bin", new Uint8Array(memory.buffer, at(), cases.length));
process.exit(block);
"""
COUNT = 1500
CASE = np.dtype([("sums", "<i4", 64), ("factors", "<i4", 64), ("once", "<i4"), ("zero_point", "<i4"), ("low", "<i4"),
                 ("shifts", "i1", 64), ("out", "i1", 64)])  # fmt: skip


def draw(rng, shift):
    """(sum, factor): scaled to int8 or a little more, or a sum of any size; a factor of 2^30 makes ties."""
    factor = 1 << 30 if rng.integers(2) else int(rng.integers(1 << 30, 1 << 31))
    scaled = 300 if rng.integers(4) else (1 << 31) - 256
    largest = min((1 << 31) - 1, (scaled << shift) // factor)
    return int(rng.integers(-largest, largest + 1)), factor


def drawn(rng):
    """Cases; every fourth has shifts that are much smaller or larger than those of trained models."""
    cases = np.zeros(COUNT, CASE)
    for number, case in enumerate(cases):
        case["once"] = rng.integers(2)
        shifts = rng.integers(20, MOST_SHIFT + 1, 64) if number % 4 == 0 else rng.integers(28, 45, 64)
        pairs = [draw(rng, int(shift)) for shift in shifts]
        case["sums"], case["factors"] = zip(*pairs, strict=True)
        case["shifts"] = shifts
        case["zero_point"] = rng.choice([-128, 3, 90])
        case["low"] = rng.choice([-128, case["zero_point"]])  # the zero point: as with ReLU
    return cases


def check(cases, block):
    ties = 0
    for case in cases:
        sums, factors, shifts = (case[name][:block].astype(np.int64) for name in ("sums", "factors", "shifts"))
        by = Multiplier(factors, 31 - shifts)
        scaled = (multiply_once if case["once"] else multiply)(sums.copy(), by)
        assert np.array_equal(case["out"][:block], np.clip(scaled + case["zero_point"], case["low"], 125))
        pairs = zip(sums.astype(object) * factors.astype(object), shifts.astype(object), strict=True)
        ties += sum(value % (1 << shift) == 1 << (shift - 1) for value, shift in pairs)
    assert ties > 25 * block


@needs_c_compiler()
@pytest.mark.parametrize("target", [pytest.param(it, marks=[] if it in QUICK else [pytest.mark.slow]) for it in FILES])
def test_rounds_like_tensorflow_lite(target, tmp_path):
    flags, needed = FLAGS[target]
    if not runs_here(needed):
        pytest.skip(f"this CPU has no {target}")
    (tmp_path / "f.c").write_text(SOURCE.format(kernels=KERNELS, file=FILES[target], count=COUNT))
    command = [c_compiler(), "-std=c99", "-O1", *flags.split(), "-shared", "-fPIC", tmp_path / "f.c"]
    subprocess.run([*command, "-o", tmp_path / "f.so"], check=True)
    cases = drawn(np.random.default_rng(6))
    block = ctypes.CDLL(str(tmp_path / "f.so")).finish(cases.ctypes.data_as(ctypes.c_void_p))
    check(cases, block)


@needs_node()
@needs_wasm_compiler()
def test_rounds_like_tensorflow_lite_in_webassembly(tmp_path):
    wasm = EMULATED["wasm"]
    compiler = next(name for name in wasm.compilers if shutil.which(name))
    (tmp_path / "f.c").write_text(SOURCE.format(kernels=KERNELS, file="wasm.h", count=COUNT))
    subprocess.run([compiler, *wasm.options, tmp_path / "f.c", "-o", tmp_path / "f.wasm"], check=True)
    (tmp_path / "f.mjs").write_text(RUNNER.format())
    (tmp_path / "cases.bin").write_bytes(drawn(np.random.default_rng(6)).tobytes())
    block = subprocess.run(["node", "f.mjs"], cwd=tmp_path, check=False).returncode
    check(np.fromfile(tmp_path / "cases.bin", CASE), block)


def test_a_channel_whose_results_are_all_zero_has_no_large_shift():
    factors, shifts = np.full(3, 1 << 30), np.array([54, 55, 62])
    largest = np.array([1 << 28, (1 << 24) - 1, 1 << 30])
    found = of_zeros(factors, shifts, largest)
    assert found is not None
    assert [list(row) for row in found] == [[1 << 30, 0, 0], [54, 31, 31]]
    assert of_zeros(factors, shifts, largest + np.array([0, 1, 0])) is None  # half of a step: not always 0
