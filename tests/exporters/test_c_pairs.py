"""The order of AVX2's 16-bit sums: every weight once, and no sum that saturates, in Python and in C."""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT, TARGETS, runs_here

from fmnist_edge.exporters.c.linear import grouped
from fmnist_edge.exporters.c.pairs import BLOCK, COPIES, HEAD, block_order, orders
from fmnist_edge.exporters.c.program import KERNELS

SOURCE = """#include <stdint.h>
#include <string.h>
#include <immintrin.h>
#include "{kernels}/target.h"
#include "{kernels}/rescale.h"
#include "{kernels}/linear.h"
#include "{kernels}/avx2.h"
#include "{kernels}/convolve.h"
void sums(const int8_t *weights, const int32_t *order, int32_t copies, int32_t length, uint8_t *in, int32_t scratch,
          int32_t pixels, int32_t *found) {{
  fe_linear op;
  const fe_act *from[2] = {{in, in}};
  memset(&op, 0, sizeof op);
  op.order.copies = copies;
  op.order.length = length;
  op.order.scratch = scratch;
  fe_copy_groups(&op, in);
  weights += order[2];
  fe_sums(pixels, 1, order, from, &weights, 0, found);
  (void)fe_convolve;
}}
"""


def drawn(seed: int, groups: int, channels: int, large: float) -> np.ndarray:
    """int8 (groups, channels, 4), a share `large` of them near the ends of int8."""
    rng = np.random.default_rng(seed)
    lanes = np.clip(rng.normal(0, 30, (groups, channels, 4)), -127, 127)
    extreme = rng.choice([-128, -127, -64, 64, 65, 127], lanes.shape)
    return np.where(rng.random(lanes.shape) < large, extreme, lanes).astype(np.int8)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(1, 3 * BLOCK), st.sampled_from([0, 0.02, 0.3, 1]),
       st.sampled_from([1, 3]))  # fmt: skip
def test_every_weight_comes_once_and_no_sum_saturates(seed, groups, channels, large, copies):
    lanes = drawn(seed, groups, channels, large)
    places = np.arange(copies)[:, None] * 1000 + np.arange(groups)
    blocks, weights = orders(lanes, places)
    seen, begin = np.zeros((groups, len(blocks) * BLOCK, 4), int), 0
    for number, block in enumerate(blocks):
        pairs, alone, start = block[:HEAD]
        assert start == begin
        slots = weights[begin // (4 * BLOCK) :][: 2 * pairs + alone].astype(int)
        begin += slots.size
        for slot, place in zip(slots, block[HEAD:], strict=False):
            copy, group = divmod(place, 1000)
            seen[group, number * BLOCK :][:BLOCK, COPIES[copy]] += slot
        products = 255 * slots.reshape(-1, BLOCK, 2, 2)
        for sums in (np.minimum(products, 0).sum(axis=3), np.maximum(products, 0).sum(axis=3)):
            partners = sums[: 2 * pairs].reshape(-1, 2, BLOCK, 2).sum(axis=1)
            assert all(-32768 <= part.min(initial=0) <= part.max(initial=0) <= 32767 for part in (sums, partners))
    assert begin == weights.size
    assert (seen[:, :channels] == lanes).all() and not seen[:, channels:].any()


@pytest.mark.parametrize(("weights", "count"), [
    ((64, 64, 0, 0), 1), ((65, 64, 0, 0), 1), ((65, 64, 65, 64), 2), ((-64, -64, -64, -64), 1), ((65, -65, 1, -1), 1),
    ((65, 65, 65, -1), 2), ((-128, 127, 127, -128), 1), ((-128, 1, 127, 2), 1),
])  # fmt: skip
def test_a_group_comes_twice_just_beyond_the_bound(weights, count):
    """128 weights of one sign fit, 129 do not; a copy may bring others together."""
    assert len(block_order(np.array([[weights]], np.int8), len(COPIES))[1]) == count


def test_two_groups_are_partners_up_to_the_bound():
    def pairs(one, two):
        return block_order(np.array([[[one, 0, 0, 0]], [[two, 0, 0, 0]]], np.int8), 1)[0]

    assert pairs(64, 64) == 1 and pairs(64, 65) == 0
    assert pairs(-64, -64) == 1 and pairs(-65, -64) == 0 and pairs(-127, 127) == 1


@needs_c_compiler()
@pytest.mark.parametrize("pixels", [1, 2])
@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("large", [0, 0.05, 1])
def test_sums_in_c_at_their_largest(tmp_path, copies, large, pixels):
    flags, needed = TARGETS["AVX2"]
    if not runs_here(needed):
        pytest.skip("this CPU has no AVX2")
    (tmp_path / "s.c").write_text(SOURCE.format(kernels=KERNELS))
    command = [c_compiler(), *STRICT, "-Wno-unused-function", "-O1", flags, "-shared", "-fPIC", tmp_path / "s.c"]
    subprocess.run([*command, "-o", tmp_path / "s.so"], check=True)
    matrix = drawn(int(100 * large), 75, BLOCK, large).transpose(0, 2, 1).reshape(1, 1, 300, BLOCK)
    length, scratch = 320, 384
    shifts = np.array([0, scratch, scratch + length])[:copies]
    blocks, weights = orders(grouped(matrix, True), shifts[:, None] + 4 * np.arange(75))
    wide = matrix[0, 0].astype(int)
    cases = [255 * (sign * wide[:, channel] > 0) for channel in range(BLOCK) for sign in (1, -1)]
    arena = np.zeros(scratch + 2 * length, np.uint8)
    for case in [*cases, np.random.default_rng(1).integers(0, 256, 300)]:
        arena[:300], found = case, np.zeros((pixels, BLOCK), np.int32)
        ctypes.CDLL(str(tmp_path / "s.so")).sums(
            *(ctypes.c_void_p(array.ctypes.data) for array in (weights, blocks)),
            copies, length, ctypes.c_void_p(arena.ctypes.data), scratch, pixels, ctypes.c_void_p(found.ctypes.data),
        )  # fmt: skip
        assert (found == case @ wide).all()
