"""NEON's last stages on emulated Arm cores: in registers, in 32 bits from sums, and in 64 bits."""

import shutil
import subprocess

import numpy as np
import pytest
from support.c_models import STRICT

from fmnist_edge.exporters.c.files import KERNELS
from fmnist_edge.runtime.engines.numpy.fixed_point import Multiplier, multiply, multiply_once

AARCH64, BLOCK, CASES = "aarch64-linux-gnu-gcc", 8, 3000
pytestmark = pytest.mark.skipif(
    not (shutil.which(AARCH64) and shutil.which("qemu-aarch64")),
    reason=f"no {AARCH64} or qemu-aarch64; run: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
)
# A tile without inputs: its sums are the biases. Lines of numbers in, lines of outputs out.
SOURCE = """#include <arm_neon.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include "{kernels}/target.h"
#include "{kernels}/rescale.h"
#include "{kernels}/linear.h"
#include "{kernels}/neon.h"
int main(void) {{
  int once, low, count, shift;
  while (scanf("%d %d %d", &once, &low, &count) == 3) {{
    int32_t bias[8], factors[8], sums[8];
    int8_t shifts[8], weights[64] = {{0}}, in[16] = {{0}}, out[9];
    for (int c = 0; c < 8; c++)
      if (scanf("%d %d %d", &bias[c], &factors[c], &shift) == 3) shifts[c] = (int8_t)shift;
    const fe_linear op = {{.bias = bias, .factors = factors, .shifts = shifts, .channels = count, .once = once,
                          .zero_point = 3, .low = low, .high = 125}};
    const fe_act *from[FE_MOST_PIXELS] = {{in}};
    const int8_t *panels[FE_MOST_BLOCKS] = {{weights}};
    fe_act *to[FE_MOST_PIXELS] = {{out}};
    fe_last last;
    memset(out, 77, sizeof out);
    fe_prepare(&op, 0, &last);
    const fe_outputs outputs = fe_outputs_of(&op, &last, to, 1, count);
    fe_tile(1, 1, &outputs, from, panels, 64, sums);
    if (!outputs.ends) fe_finish_tile(1, sums, 0, &last, &op, count, to, 0);
    printf("%d", outputs.ends ? 2 : last.twice ? 1 : 0);
    for (int c = 0; c < 9; c++) printf(" %d", out[c]);
    puts("");
  }}
  return 0;
}}
"""


def case(rng):
    """(once, low, count, sums, factors, shifts); shifts of 31 and less occur, and sums that make ties."""
    once, count = int(rng.integers(5) == 0), int(rng.choice([8, 8, 8, *range(1, 8)]))
    least = 32 if once else int(rng.choice([28, 31, 32, 36]))
    shifts = rng.integers(least, least + int(rng.choice([1, 3, 10])), BLOCK)
    factors = np.where(rng.integers(2, size=BLOCK), 1 << 30, rng.integers(1 << 30, 1 << 31, BLOCK))
    largest = np.minimum((1 << 31) - 1, (300 << shifts) // factors)
    return once, int(rng.choice([-120, 3])), count, rng.integers(-largest, largest + 1), factors, shifts


@pytest.mark.parametrize(("core", "flags"), [("cortex-a53", "-march=armv8-a"), ("cortex-a76", "-mcpu=cortex-a76")])
def test_rounds_like_tensorflow_lite(core, flags, tmp_path):
    (tmp_path / "f.c").write_text(SOURCE.format(kernels=KERNELS))
    command = [AARCH64, *STRICT, "-O2", "-static", flags, tmp_path / "f.c", "-o", tmp_path / "f"]
    subprocess.run(command, check=True)
    rng = np.random.default_rng(7)
    cases = [case(rng) for _ in range(CASES)]
    lines = [
        " ".join(map(str, (once, low, count, *np.stack([sums, factors, shifts], 1).reshape(-1))))
        for once, low, count, sums, factors, shifts in cases
    ]
    ran = subprocess.run(
        ["qemu-aarch64", "-cpu", core, tmp_path / "f"],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        check=True,
    )
    answers = [list(map(int, line.split())) for line in ran.stdout.splitlines()]
    assert len(answers) == CASES
    for (once, low, count, sums, factors, shifts), (_, *out) in zip(cases, answers, strict=True):
        scaled = (multiply_once if once else multiply)(sums, Multiplier(factors, 31 - shifts))
        assert out[:count] == np.clip(scaled + 3, low, 125)[:count].tolist()
        assert set(out[count:]) == {77}, "it writes beyond the channels"
    assert min(np.bincount([stage for stage, *_ in answers])) > CASES / 10
