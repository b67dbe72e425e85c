"""The judge of the coverage table tells right from wrong answers, and refusals from raw messages."""

import numpy as np
import pytest

from coverage_table.judge import BOUNDS, STEP, Rounded, bound_of, judged, refusal
from fmnist_edge.catalog.precisions import select
from fmnist_edge.errors import ArtifactError, ExportError, InputError

EXACT = np.linspace(-1, 1, 40, dtype=np.float32).reshape(10, 4)  # a range of 2
NONE = np.zeros_like(EXACT)


def rounded(**changes):
    return Rounded(**{"exact": EXACT, "half": NONE, "weights": NONE, "step": NONE, **changes})


def moved(by, images=slice(None), values=slice(None)):
    """EXACT with a difference, as a fraction of its range, in some images and values."""
    scores = EXACT.copy()
    scores[images, values] += np.float32(by * 2)
    return scores


@pytest.mark.parametrize(
    ("by", "kind", "result"),
    [
        (5e-5, "int8", "same"),
        (2e-4, "float32", "wrong"),
        (1e-3, "float16", "within"),
        (2e-2, "float16", "wrong"),
        (STEP * 0.9, "int8", "within"),
        (STEP * 1.2, "int8", "wrong"),  # on average
        (STEP * 1.2, "int16", "wrong"),
    ],
)
def test_a_difference_everywhere(by, kind, result):
    assert judged(moved(by), rounded(), BOUNDS[kind]).result == result


def test_one_value_may_be_further_away_than_the_mean():
    assert judged(moved(STEP * 3.9, 3, 1), rounded(), BOUNDS["int8"]).result == "within"
    assert judged(moved(STEP * 4.1, 3, 1), rounded(), BOUNDS["int8"]).result == "wrong"


def test_what_rounding_does_to_the_layer_is_allowed_twice_in_that_image_alone():
    step = NONE.copy()
    step[3] = 0.2  # a tenth of the range
    assert judged(moved(0.2, 3, 1), rounded(step=step), BOUNDS["int8"]).result == "within"
    assert judged(moved(0.23, 3, 1), rounded(step=step), BOUNDS["int8"]).result == "wrong"
    assert judged(moved(0.2, 4, 1), rounded(step=step), BOUNDS["int8"]).result == "wrong"
    assert judged(moved(0.2, 3, 1), rounded(step=step), BOUNDS["int16"]).result == "wrong"  # its input is exact
    assert judged(moved(0.2, 3, 1), rounded(step=step), BOUNDS["float32"]).result == "wrong"


def test_rounds_widen_the_bounds_of_precisions_that_round():
    assert judged(moved(STEP * 7, 3, 1), rounded(), BOUNDS["int8"], rounds=2).result == "within"
    assert judged(moved(1.5e-4), rounded(), BOUNDS["float32"], rounds=2).result == "wrong"


def test_jumps_spare_a_share_of_the_images():
    assert judged(moved(0.5, 3, 1), rounded(), BOUNDS["int8"], jumps=0.1).result == "within"
    assert judged(moved(0.5, [3, 4], 1), rounded(), BOUNDS["int8"], jumps=0.1).result == "wrong"
    assert judged(moved(0.5, 3, 1), rounded(), BOUNDS["float32"], jumps=0.1).result == "wrong"


def test_other_shapes_and_numbers_that_are_none():
    assert judged(EXACT[:, :3], rounded(), BOUNDS["int8"]).result == "wrong"
    scores = EXACT.copy()
    scores[0, 0] = np.nan
    assert judged(scores, rounded(), BOUNDS["int8"]).result == "wrong"


def test_every_precision_has_a_bound():
    found = {item.name: bound_of(item.weights, item.activations) for item in select("all")}
    assert found["int8"] == found["int8_only"] == BOUNDS["int8"]
    assert found["int16x8"] == BOUNDS["int16"] and found["dynamic_int8"] == BOUNDS["dynamic"]
    assert found["float16"] == BOUNDS["float16"] and found["float32"] == BOUNDS["float32"]


def caused(error, cause):
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ExportError("TFLite has no kernel for Erf, which layer 'a' needs; try --format onnx"), "refused"),
        (caused(ExportError("no kernel for Erf"), InputError("ours")), "refused"),
        (caused(ExportError("TFLite conversion failed: bad"), ValueError("bad")), "raw"),
        (ExportError("<unknown>:0: error: loc(...)"), "raw"),
        (ArtifactError("ai-edge-litert refuses the file"), "raw"),
        (ValueError("bad"), "raw"),
    ],
)
def test_a_refusal_is_in_our_own_words(error, result):
    assert refusal(error).result == result
