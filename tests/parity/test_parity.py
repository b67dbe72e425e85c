"""The parity report: hand-made cases for each gate, properties for the rest."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from fmnist_edge.catalog.precisions import PRECISIONS
from fmnist_edge.errors import InputError
from fmnist_edge.parity import Gate, compare, gate_for

OPEN = Gate()
scores = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 40), st.integers(2, 10)), elements=st.floats(-50, 50, width=32)
)


def one_hot(classes: list[int], count: int = 3) -> np.ndarray:
    return np.eye(count, dtype=np.float32)[classes]


@given(scores)
def test_a_model_equals_itself(array):
    report = compare(array, array.copy(), Gate(min_agreement=1.0, max_abs_delta=0.0, max_accuracy_drop=0.0),
                     labels=np.zeros(len(array), int))  # fmt: skip
    assert report.passed
    assert (report.agreement, report.max_abs_delta, report.mean_abs_delta, report.accuracy_drop) == (1.0, 0.0, 0.0, 0.0)


@given(scores, st.integers(0, 2**32 - 1))
def test_figures_do_not_depend_on_image_order_or_direction(array, seed):
    rng = np.random.default_rng(seed)
    other = (array + rng.normal(size=array.shape)).astype(np.float32)
    order = rng.permutation(len(array))
    report, swapped, shuffled = (
        compare(array, other, OPEN),
        compare(other, array, OPEN),
        compare(array[order], other[order], OPEN),
    )
    assert report.agreement == swapped.agreement == shuffled.agreement
    assert report.max_abs_delta == swapped.max_abs_delta == shuffled.max_abs_delta
    assert report.mean_abs_delta == pytest.approx(shuffled.mean_abs_delta)
    assert report.max_abs_delta >= report.mean_abs_delta >= 0
    flipped = array.argmax(axis=1) != other.argmax(axis=1)
    damage = list(zip(flipped, np.abs(other.astype(float) - array).max(axis=1), strict=True))
    worst = sorted(damage, reverse=True)[:10]  # not indices: differences may be equal
    assert [damage[image] for image in report.worst_images] == worst
    assert [damage[order[image]] for image in shuffled.worst_images] == worst


def test_known_figures():
    reference = np.array([[3.0, 1.0, 0.0], [0.0, 2.0, 1.0], [0.0, 0.0, 5.0], [1.0, 0.0, 0.0]], np.float32)
    candidate = reference.copy()
    candidate[1, 2] = 2.5  # image 1 flips from class 1 to class 2
    candidate[3, 0] = 5.0  # image 3 changes most and does not flip
    report = compare(reference, candidate, OPEN, labels=np.array([0, 1, 2, 1]))
    assert report.agreement == 0.75
    assert report.max_abs_delta == 4.0
    assert report.mean_abs_delta == pytest.approx(5.5 / 12)
    assert report.reference_accuracy == 0.75
    assert report.accuracy == 0.5
    assert report.accuracy_drop == 0.25
    assert report.worst_images == (1, 3, 0, 2)  # flipped first, then by difference, then by index


@pytest.mark.parametrize(
    ("gate", "wrong", "passes"),
    [
        (Gate(min_agreement=0.99), 100, True),
        (Gate(min_agreement=0.99), 101, False),
        (Gate(max_accuracy_drop=0.005), 50, True),
        (Gate(max_accuracy_drop=0.005), 51, False),
    ],
)
def test_gates_hold_at_their_limit_and_fail_one_image_beyond(gate, wrong, passes):
    labels = np.zeros(10_000, int)
    reference = one_hot([0] * 10_000)
    candidate = one_hot([1] * wrong + [0] * (10_000 - wrong))
    report = compare(reference, candidate, gate, labels=labels)
    assert report.passed is passes
    assert len(report.failures) == int(not passes)
    assert set(report.worst_images[:wrong]) <= set(range(wrong))


def test_largest_difference_gate():
    reference = one_hot([0, 1])
    assert compare(reference, reference + np.float32(0.0009), Gate(max_abs_delta=1e-3)).passed
    assert "2.00e-03" in compare(reference, reference + np.float32(0.002), Gate(max_abs_delta=1e-3)).failures[0]


def test_falling_below_the_published_accuracy_fails():
    reference = one_hot([0] * 10)
    labels = np.array([0] * 9 + [1])
    assert compare(reference, reference, OPEN, labels=labels, published_accuracy=0.9).passed
    report = compare(reference, reference, OPEN, labels=labels, published_accuracy=0.91)
    assert report.failures == ["accuracy 90.00% is below the published 91.00%"]


def test_an_accuracy_gate_without_labels_does_not_pass_silently():
    reference = one_hot([0, 1])
    report = compare(reference, reference, gate_for("int8"))
    (line,) = report.undecided
    assert "name them with --labels" in line and report.outcome == "inconclusive"


@pytest.mark.parametrize(
    ("gate", "images", "wrong", "outcome"),
    [
        (Gate(min_agreement=0.9999), 50, 0, "pass"),
        (Gate(min_agreement=0.9999), 50, 1, "inconclusive"),  # it may be a tie
        (Gate(min_agreement=0.9999), 500, 1, "inconclusive"),
        (Gate(min_agreement=0.999), 500, 2, "inconclusive"),  # exact interval from 0.05 %
        (Gate(min_agreement=0.999), 500, 3, "FAIL"),  # from 0.12 %
        (Gate(min_agreement=0.9999), 9_999, 2, "inconclusive"),
        (Gate(min_agreement=0.9999), 10_000, 2, "FAIL"),
        (Gate(max_accuracy_drop=0.005), 100, 1, "inconclusive"),
        (Gate(max_accuracy_drop=0.005), 100, 5, "inconclusive"),
        (Gate(max_accuracy_drop=0.005), 100, 6, "FAIL"),  # catastrophic
        (Gate(max_accuracy_drop=0.005), 10, 2, "inconclusive"),  # 20 pp, and two images
        (Gate(max_accuracy_drop=0.005), 10, 3, "FAIL"),
        (Gate(max_accuracy_drop=0.005, non_inferiority_margin=0.005), 1000, 8, "inconclusive"),
        (Gate(max_accuracy_drop=0.005, non_inferiority_margin=0.005), 1000, 15, "FAIL"),  # proven
        (Gate(max_abs_delta=1e-3), 10, 1, "FAIL"),  # no share of images
    ],
)
def test_few_images_fail_only_what_they_show(gate, images, wrong, outcome):
    candidate = one_hot([1] * wrong + [0] * (images - wrong))
    report = compare(one_hot([0] * images), candidate, gate, labels=np.zeros(images, int))
    assert report.outcome == report.as_dict()["outcome"] == outcome
    assert report.passed is (outcome != "FAIL")
    assert len(report.undecided) == (outcome == "inconclusive") and len(report.failures) == (outcome == "FAIL")
    if report.undecided:
        assert f"by {wrong} of {images:,} images; 10,000 images decide it" in report.undecided[0]


@pytest.mark.parametrize(("wrong", "verdict", "passes"), [(4, "inconclusive", True), (12, "inferior", False)])
def test_only_a_significant_loss_beyond_the_margin_fails(wrong, verdict, passes):
    labels = np.zeros(400, int)
    candidate = one_hot([1] * wrong + [0] * (400 - wrong))
    report = compare(one_hot([0] * 400), candidate, Gate(non_inferiority_margin=0.01), labels=labels)
    assert report.statistics.accuracy.verdict == verdict
    assert report.passed is passes
    assert report.failures == ([] if passes else [report.statistics.accuracy.finding])


def test_output_kind_is_used_for_the_confidence():
    reference, candidate = one_hot([0, 1]), one_hot([0, 1]) / 2
    assert compare(reference, candidate, OPEN, output="probabilities").statistics.confidence.mean == 0.5
    assert compare(reference, candidate, OPEN).statistics.confidence.mean == pytest.approx(
        np.e / (np.e + 2) - np.sqrt(np.e) / (np.sqrt(np.e) + 2)
    )
    with pytest.raises(InputError, match="'logits' or 'probabilities'"):
        compare(reference, candidate, OPEN, output="scores")


@given(scores, st.booleans(), st.integers(0, 2**32 - 1))
def test_a_report_is_json_without_nan(array, labelled, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, array.shape[1], len(array)) if labelled else None
    report = compare(array, rng.permuted(array, axis=1), gate_for("int8"), labels=labels)
    written = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert written["statistics"]["flip_rate"] == pytest.approx(1 - written["agreement"])
    assert (written["statistics"]["accuracy"] is None) is (labels is None)
    if labelled:
        assert written["statistics"]["accuracy"]["difference"] == pytest.approx(-written["accuracy_drop"])


@pytest.mark.parametrize(
    ("reference", "candidate", "labels", "message"),
    [
        (np.zeros((2, 3)), np.zeros((2, 4)), None, "expected the same"),
        (np.zeros((0, 3)), np.zeros((0, 3)), None, "n >= 1"),
        (np.zeros(3), np.zeros(3), None, "(n, classes)"),
        (np.zeros((2, 3)), np.full((2, 3), np.nan), None, "NaN"),
        (np.full((2, 3), np.inf), np.zeros((2, 3)), None, "infinity"),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.zeros(3, int), "expected (2,)"),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.array([1, 3]), "1 to 3; expected class indices 0 to 2"),
        (np.zeros((2, 3)), np.zeros((2, 3)), np.array([-1, 0]), "-1 to 0; expected class indices 0 to 2"),
    ],
)
def test_scores_that_cannot_be_compared_are_refused(reference, candidate, labels, message):
    with pytest.raises(InputError) as refusal:
        compare(reference, candidate, OPEN, labels=labels)
    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_agreement", 99.9), ("min_agreement", -0.1), ("max_accuracy_drop", 5), ("non_inferiority_margin", np.nan),
        ("non_inferiority_margin", 1.1), ("max_abs_delta", -1e-3), ("max_abs_delta", np.inf), ("max_abs_delta", np.nan),
    ],
)  # fmt: skip
def test_a_gate_that_nothing_or_everything_passes_is_refused(name, value):
    """The most likely mistake is percent instead of fractions."""
    with pytest.raises(InputError, match=f"gate: {name} is .*; expected a f"):
        Gate(**{name: value})
    Gate(1.0, 1e9, 0.0, 1.0)


def test_a_loss_of_accuracy_is_one_failure():
    labels = np.zeros(1000, int)
    report = compare(one_hot([0] * 1000), one_hot([1] * 30 + [0] * 970), gate_for("int8"), labels=labels)
    (line,) = report.failures
    assert line.startswith("accuracy drops 3.00 pp, more than 0.50 pp, and is inferior: accuracy differs by -3.00 pp")


def test_gates_are_as_documented():
    """README: float32 99.99 % and 1e-3, float16 99.9 %, integers 0.5 pp; margins of 0.1 and 0.5 pp."""
    integer = Gate(max_accuracy_drop=0.005, non_inferiority_margin=0.005)
    assert gate_for("float32") == gate_for("stock_float32") == Gate(0.9999, 1e-3, None, 0.001)
    assert gate_for("float16") == Gate(0.999, None, None, 0.001)
    assert {item.gate for item in PRECISIONS if item.kind == "integer"} == {integer}


def test_every_exported_precision_has_a_gate():
    for precision in PRECISIONS:
        assert precision.gate.non_inferiority_margin and gate_for(precision.name) == precision.gate
    with pytest.raises(InputError, match="known: float32"):
        gate_for("int3")
