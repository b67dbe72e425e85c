"""The order of AVX2's 16-bit sums: every weight once, and no sum that saturates, in Python and in C."""

import ctypes
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT, TARGETS, runs_here

from fmnist_edge.exporters.c.linear import grouped, pack
from fmnist_edge.exporters.c.pairs import CHOICES, COPIES, EVEN, HALVES, PANEL, ZERO, ordered_bytes, orders, panel_order
from fmnist_edge.exporters.c.program import KERNELS

CHOSEN = (*COPIES, *HALVES)
SOURCE = """#include <stdint.h>
#include <string.h>
#include <immintrin.h>
#include "{kernels}/target.h"
#include "{kernels}/rescale.h"
#include "{kernels}/linear.h"
#include "{kernels}/avx2.h"
#include "{kernels}/convolve.h"
void sums(const int8_t *weights, const int32_t *panels, int32_t stride, int32_t copies, int32_t length, int32_t groups,
          uint8_t *in, int32_t scratch, int32_t pixels, int32_t *found) {{
  fe_linear op;
  const fe_act *from[2] = {{in, in}};
  const int8_t *blocks[2] = {{weights, weights + 32}};
  memset(&op, 0, sizeof op);
  op.groups = groups;
  op.run_rows = op.run_columns = 1;
  op.tile = pixels;
  op.order.panels = panels;
  op.order.stride = stride;
  op.order.copies = copies;
  op.order.length = length;
  op.order.scratch = scratch;
  fe_copy_groups(&op, in);
  const int32_t *panel = fe_panel(&op, 0, 2, in, blocks);
  fe_sums(pixels, 2, panel, from, blocks, 0, found);
  (void)fe_convolve;
}}
"""


def drawn(seed: int, groups: int, channels: int, large: float) -> np.ndarray:
    """int8 (groups, channels, 4), a share `large` of them near the ends of int8."""
    rng = np.random.default_rng(seed)
    lanes = np.clip(rng.normal(0, 30, (groups, channels, 4)), -127, 127)
    extreme = rng.choice([-128, -127, -64, 64, 65, 127], lanes.shape)
    return np.where(rng.random(lanes.shape) < large, extreme, lanes).astype(np.int8)


def read(order: np.ndarray, lanes: np.ndarray, copies: int) -> list[list[tuple[int, int]]]:
    """The (group, choice) of each sum: pairs, then groups alone. `places` were copy * 1000 + group."""
    pairs, alone = order[:2]
    count = 2 * pairs + alone
    place, code = order[2 : 2 + count], order[2 + count : 2 + 2 * count]
    group, rest = np.divmod(code // CHOICES, lanes.shape[1] * 4)
    choice = code % CHOICES
    assert not rest.any() and np.array_equal(place, np.where(choice < EVEN, choice, 0) * 1000 + group)
    assert choice[choice < EVEN].max(initial=0) < copies
    items = list(zip(group.tolist(), choice.tolist(), strict=True))
    return [items[i : i + 2] for i in range(0, 2 * pairs, 2)] + [[item] for item in items[2 * pairs :]]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 999), st.integers(1, 40), st.integers(1, PANEL), st.sampled_from([0, 0.02, 0.3, 1]),
       st.sampled_from([1, 3]))  # fmt: skip
def test_every_weight_comes_once_and_no_sum_saturates(seed, groups, channels, large, copies):
    lanes = drawn(seed, groups, channels, large)
    places = np.arange(copies)[:, None] * 1000 + np.arange(groups)
    seen = np.zeros(lanes.shape, int)
    wide = np.pad(lanes.astype(int), ((0, 0), (0, 0), (0, 1)))
    for together in read(panel_order(lanes, places), lanes, copies):
        least = most = np.zeros((channels, 2), int)
        for group, choice in together:
            chosen = list(CHOSEN[choice])
            for number in set(chosen) - {ZERO}:
                seen[group, :, number] += 1
            products = 255 * wide[group][:, chosen].reshape(channels, 2, 2)
            least = least + np.minimum(products, 0).sum(axis=2)
            most = most + np.maximum(products, 0).sum(axis=2)
            assert least.min() >= -32768 and most.max() <= 32767
    assert (seen == 1).all()


@pytest.mark.parametrize(("weights", "count"), [
    ((64, 64, 0, 0), 1), ((65, 64, 0, 0), 1), ((65, 64, 65, 64), 2), ((-64, -64, -64, -64), 1), ((65, -65, 1, -1), 1),
    ((65, 65, 65, -1), 2), ((-128, 127, 127, -128), 1), ((-128, 1, 127, 2), 1),
])  # fmt: skip
def test_a_group_comes_twice_just_beyond_the_bound(weights, count):
    """128 weights of one sign fit, 129 do not; a copy may bring others together."""
    order = panel_order(np.array([[weights]], np.int8), np.zeros((len(COPIES), 1), int))
    assert 2 * order[0] + order[1] == count


def test_two_groups_are_partners_up_to_the_bound():
    def pairs(one, two):
        return panel_order(np.array([[[one, 0, 0, 0]], [[two, 0, 0, 0]]], np.int8), np.zeros((1, 2), int))[0]

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
    matrix = drawn(int(100 * large), 75, PANEL, large).transpose(0, 2, 1).reshape(1, 1, 300, PANEL)
    lanes, length, scratch = grouped(matrix, True), 320, 384
    shifts = np.array([0, scratch, scratch + length])[:copies]
    panels = orders(lanes, shifts[:, None] + 4 * np.arange(75))
    packed, groups = pack(matrix, True)
    wide = matrix[0, 0].astype(int)
    cases = [255 * (sign * wide[:, channel] > 0) for channel in range(PANEL) for sign in (1, -1)]
    arena = np.zeros(scratch + 2 * length + ordered_bytes(panels), np.uint8)
    for case in [*cases, np.random.default_rng(1).integers(0, 256, 300)]:
        arena[:300], found = case, np.zeros((pixels, PANEL), np.int32)
        ctypes.CDLL(str(tmp_path / "s.so")).sums(
            *(ctypes.c_void_p(array.ctypes.data) for array in (packed, panels)),
            panels.shape[1], copies, length, groups, ctypes.c_void_p(arena.ctypes.data), scratch, pixels,
            ctypes.c_void_p(found.ctypes.data),
        )  # fmt: skip
        assert (found == case @ wide).all()
