"""The short form of `make coverage-table`, and that its table is complete."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter

import pytest
from support import ROOT

from coverage_table.case import model_of
from coverage_table.cases import ALL, NO_CASE
from coverage_table.judge import SOUND
from coverage_table.page import cell, page, reason_of
from fmnist_edge.catalog.precisions import select
from fmnist_edge.checkpoints.allowed import ACTIVATIONS, APPLICATION_LAYERS, LAYERS, OPERATIONS

PAGE = ROOT / "docs" / "coverage.md"
# What each of them found: ranges of shared scales, 1 / 0 for a black image, a variable in a training-only layer.
FINDERS = ("activations/celu/after", "layers/UnitNormalization/axis=1", "layers/RandomHue")


def allowed():
    operations = {
        f"operations/{home.rpartition('.')[2]}.{name}" for home, names in OPERATIONS.items() for name in names
    }
    layers = {f"layers/{name}" for name in LAYERS | APPLICATION_LAYERS.keys()}
    return layers | operations | {f"activations/{name}" for name in ACTIVATIONS}


def test_every_name_of_the_allow_list_has_a_case_or_a_reason():
    names = {f"{case.kind}/{case.name}" for case in ALL}
    assert not names & NO_CASE.keys()
    assert names | NO_CASE.keys() == allowed()


def test_no_two_cases_share_an_id():
    assert [case for case, count in Counter(case.id for case in ALL).items() if count > 1] == []


def test_the_page_has_a_row_for_each_name():
    text = PAGE.read_text(encoding="utf-8")
    assert [name for name in sorted(allowed()) if f"| `{name.partition('/')[2]}`" not in text] == []


@pytest.mark.filterwarnings("ignore:.*destroy the mask information")  # by Flatten behind Masking, as meant
@pytest.mark.slow
def test_every_case_is_a_model_with_what_it_is_about():
    absent = []
    for case in ALL:
        found = {type(item).__name__ for item in model_of(case).operations}
        if case.kind == "operations" and case.name.partition(".")[2] not in found:
            absent.append(case.id)
    assert absent == []


def results_of(tmp_path, *arguments):
    """The rows of a run. It forks, so it has a process of its own: pytest's has TensorFlow's threads by now."""
    file = tmp_path / "results.jsonl"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
    command = [sys.executable, "-m", "coverage_table", "--results", str(file), *arguments]
    subprocess.run(command, env=environment, cwd=tmp_path, check=False, capture_output=True)
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.mark.slow
def test_what_was_wrong_once_is_right(tmp_path):
    rows = results_of(tmp_path, *(part for name in FINDERS for part in ("--only", name)))
    assert len(rows) == len(FINDERS) * len(select("all"))
    assert [row for row in rows if row["format"] == "tflite" and row["result"] not in SOUND] == []


@pytest.mark.slow
def test_a_spread_sample_of_the_table_is_as_the_page_says(tmp_path):
    faults = [row["case"] for row in results_of(tmp_path, "--every", "75") if row["result"] not in SOUND]
    text = PAGE.read_text(encoding="utf-8")
    rows = {name: line for line in text.splitlines() for name in [line.partition("`")[2].partition("`")[0]] if name}
    assert [case for case in faults if "✗" not in rows[case.split("/")[1]]] == []


def row(result, detail="", case="layers/Dense/default", precision="float32"):
    return {"case": case, "format": "tflite", "precision": precision, "result": result, "detail": detail}


@pytest.mark.parametrize(
    ("results", "expected"),
    [
        (["same", "same"], "="),
        (["same", "within"], "≈"),
        (["within", "crash"], "✗ ≈"),
        (["keras"], "·"),
        (["same", "keras"], "= ·"),
        (["refused"], "–7"),
        ([], ""),
    ],
)
def test_a_cell_tells_of_all_settings(results, expected):
    rows = [row(result, "no kernel") for result in results]
    assert cell(rows, {reason_of(row("refused", "no kernel")): 7}) == expected


def test_a_reason_stands_once_whatever_the_layers_are_called():
    details = [
        f"TFLite has no kernel for {op}, which layer {name!r} needs; try" for op, name in (("Aa", "x"), ("Bb", "y"))
    ]
    rows = [row("refused", detail, f"layers/Dense/{number}") for number, detail in enumerate(details)]
    text = page(rows)
    assert "| 1 | TFLite has no kernel for …; try | Aa, Bb | tflite float32 |" in text
    assert "2 models, 2 exports: 0 the same, 0 within the bound, 2 refused" in text
