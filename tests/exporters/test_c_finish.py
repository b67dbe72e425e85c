"""The last stage of every back end that this CPU can run: rounding of ties, signs, small and large shifts."""

import ctypes
import subprocess

import numpy as np
import pytest
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import TARGETS, runs_here

from fmnist_edge.exporters.c.program import KERNELS
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
#endif
#include "{kernels}/target.h"
#include "{kernels}/rescale.h"
#include "{kernels}/linear.h"
#include "{kernels}/{file}"
int finish(const int32_t *sums, const int32_t *factors, const int8_t *shifts, int32_t once, int32_t low,
           int8_t *out) {{
  static const int32_t zeros[FE_BLOCK];
  const fe_linear op = {{.bias = zeros, .sums = zeros, .factors = factors, .shifts = shifts, .channels = FE_BLOCK,
                        .once = once, .zero_point = 3, .low = low, .high = 125}};
  fe_last last;
  fe_act found[64];
  fe_prepare(&op, 0, &last);
  fe_finish(sums, &last, &op, FE_BLOCK, found);
  for (int c = 0; c < FE_BLOCK; c++) out[c] = (int8_t)(found[c] - FE_OFFSET);
  return FE_BLOCK;
}}
"""


def cases(rng, shift, once):
    """Sums whose scaled value fits int8 or a little more; a factor of 2^30 makes ties."""
    factor = 1 << 30 if rng.integers(2) else int(rng.integers(1 << 30, 1 << 31))
    largest = min((1 << 31) - 1, (300 << shift) // factor)
    return int(rng.integers(-largest, largest + 1)), factor


@needs_c_compiler()
@pytest.mark.parametrize("target", [pytest.param(it, marks=[] if it in QUICK else [pytest.mark.slow]) for it in FILES])
def test_rounds_like_tensorflow_lite(target, tmp_path):
    flags, needed = FLAGS[target]
    if not runs_here(needed):
        pytest.skip(f"this CPU has no {target}")
    (tmp_path / "f.c").write_text(SOURCE.format(kernels=KERNELS, file=FILES[target]))
    command = [c_compiler(), "-std=c99", "-O1", *flags.split(), "-shared", "-fPIC", tmp_path / "f.c"]
    subprocess.run([*command, "-o", tmp_path / "f.so"], check=True)
    finish = ctypes.CDLL(str(tmp_path / "f.so")).finish
    rng, ties = np.random.default_rng(6), 0
    for _ in range(1500):
        once = int(rng.integers(2))
        shifts = rng.integers(32 if once else 28, 45, 64).astype(np.int8)
        pairs = [cases(rng, int(shift), once) for shift in shifts]
        sums, factors = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
        out = np.empty(64, np.int8)
        low = int(rng.choice([-120, 3]))  # 3, the zero point: as with ReLU
        count = finish(*(array.ctypes.data_as(ctypes.c_void_p) for array in (sums, factors, shifts)), once, low,
                       out.ctypes.data_as(ctypes.c_void_p))  # fmt: skip
        by = Multiplier(factors.astype(np.int64), 31 - shifts.astype(np.int64))
        scaled = (multiply_once if once else multiply)(sums.astype(np.int64), by)
        assert np.array_equal(out[:count], np.clip(scaled + 3, low, 125)[:count])
        product = sums.astype(object) * factors.astype(object)
        pairs = zip(product, shifts.astype(object), strict=True)
        ties += sum(value % (1 << shift) == 1 << (shift - 1) for value, shift in pairs)
    assert ties > 1000
