"""What was emulated and estimated, in a report: apart from measurements, never without its sign."""

import json

import pytest
from support.report_page import Parsed
from support.report_results import HOSTILE, family, markup_of, read

from fmnist_edge.boards.emulation import results
from fmnist_edge.catalog.boards import boards as known_boards
from fmnist_edge.errors import FileError
from fmnist_edge.report import boards, markdown, page, summary

PI4 = known_boards()["pi4"]


def cell(artifact="m/int8.tflite", **changes):
    return {
        "artifact": artifact, "sha256": "ab", "model": "m", "precision": "int8", "engine": "litert", "status": "ok",
        "instructions": 2_000_000, "cycles": {"cycles": 1_800_000}, "parity": {"agreement": 0.998, "images": 500},
        **changes,
    }  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    def save(core, *cells):
        made = {"schema": results.SCHEMA, "kind": results.KIND, "core": core, "qemu": "7", "packages": {}}
        results.save({**made, "cells": list(cells)}, tmp_path)
        return tmp_path

    return save


def test_a_line_holds_every_core_and_the_worst_agreement(folder):
    folder("cortex-a76", cell(instructions=1_000_000, parity={"agreement": 1.0, "images": 20}, cycles=None))
    (line,) = boards.read(folder("cortex-a72", cell(), cell("m/float32.onnx", status="failed")))
    assert line.instructions == {"cortex-a72": 2.0, "cortex-a76": 1.0}
    assert (line.agreement, line.images) == (0.998, 20)
    assert line.milliseconds["pi4"] == pytest.approx(PI4.constant) and "pi5" not in line.milliseconds


def test_estimates_are_approximate_wherever_they_are_shown(folder, tmp_path):
    lines = boards.read(folder("cortex-a72", cell()))
    runs = read(tmp_path)
    wanted = f"≈ {PI4.constant:.2f} ms ± 30 %"
    for text in (markdown.document(runs, lines), markdown.terminal(runs, lines), page.page(runs, lines)):
        assert wanted in text
        assert f">{PI4.constant:.2f}" not in text and f"| {PI4.constant:.2f}" not in text
        assert "never measured" in text
    made = summary.as_json(runs, lines)["emulated_and_estimated"]
    assert made["kinds"] == {"instructions": "emulated", "milliseconds": "estimated"} and made["error"] == 0.3
    assert made["artifacts"][0]["milliseconds"]["pi4"] == pytest.approx(PI4.constant)


def test_an_estimate_that_something_speaks_against_has_a_star(folder, tmp_path):
    """As many bytes of weights as cycles: more than the networks that the constants are fitted on ever read."""
    text = markdown.document(read(tmp_path), boards.read(folder("cortex-a72", cell(size_bytes=1_800_000))))
    assert f"≈ {PI4.constant:.2f} ms ± 30 %\\*" in text and "probably slower" in text
    assert "%\\*" not in markdown.document(read(tmp_path), boards.read(folder("cortex-a72", cell(size_bytes=1000))))


def test_the_page_marks_each_kind_and_filters_leave_them_alone(folder, tmp_path):
    parsed = Parsed(page.page(read(tmp_path), boards.read(folder("cortex-a72", cell()))))
    badges = {attributes.get("class") for attributes in parsed.all("span")}
    assert {"badge measured", "badge emulated", "badge estimated"} <= badges
    assert "" not in {attributes.get("data-row") for attributes in parsed.all("tr")}


def test_without_results_nothing_is_shown(tmp_path):
    runs = read(tmp_path)
    assert boards.read(tmp_path / "none") == []
    assert "Emulated" not in markdown.document(runs, []) and "badge estimated" not in page.page(runs, [])
    assert len(family()) == len(runs[0].rows)


def test_what_a_file_says_is_escaped(folder, tmp_path):
    lines = boards.read(folder("cortex-a72", cell(model=HOSTILE, engine=HOSTILE)))
    text = markup_of(page.page(read(tmp_path), lines))
    assert "<img" not in text and "<script>document" not in text
    assert "\x1b" not in markdown.terminal(read(tmp_path), lines)
    json.dumps(summary.as_json([], lines), allow_nan=False)


@pytest.mark.parametrize("broken", [{"instructions": "many"}, {"parity": None}, {"cycles": {"cycles": -1}}])
def test_a_damaged_file_is_refused(folder, broken):
    with pytest.raises(FileError, match="damaged"):
        boards.read(folder("cortex-a72", cell(**broken)))
