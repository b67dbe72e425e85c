"""Charts show what the rows say, fit the Vega that the page brings, and have room on their axes."""

import hashlib
import re
from pathlib import Path

import altair
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bench_results import result, steady
from support.report_results import bare_cell, entry, family, read

from fmnist_edge.report import charts, encodings, page
from fmnist_edge.report.encodings import MIN_US, linear, logarithmic
from fmnist_edge.report.markers import SHAPES, STATES, UNKNOWN_PRECISION, Markers, state_of

VENDOR = Path(page.__file__).parent / "assets/vendor"
VALUES = st.lists(st.floats(0, 1e12), min_size=1, max_size=20)


@pytest.fixture
def rows(tmp_path):
    (run,) = read(tmp_path)
    return run.rows


@given(VALUES)
def test_a_logarithmic_axis_holds_its_values(values):
    low, high = logarithmic(values)
    assert 0 < low < high and all(low <= max(value, MIN_US) < high for value in values)


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=20))
def test_a_linear_axis_does_too_and_is_never_too_short(values):
    low, high = linear(values, least=0.5)
    assert all(low < value < high for value in values) and high - low >= 0.5 - 1e-9


def test_a_scatter_shows_every_figure_of_its_rows(rows):
    made = charts.scatter(rows, rows, Markers.of(rows))
    shown = {item["id"]: item for item in made["datasets"]["cells"]}
    assert set(shown) == {row.id for row in rows}
    for row in rows:
        item = shown[row.id]
        assert (item["p50"], item["bytes"], item["precision"]) == (
            row.p50_us,
            row.size_bytes,
            row.precision.removeprefix("stock_"),
        )
        assert item["accuracy"] == pytest.approx(100 * row.accuracy) and item["engine"] == row.engine
        assert item["state"] == ("stock, VALID" if row.precision.startswith("stock_") else "VALID")
    tooltip = made["layer"][0]["encoding"]["tooltip"]
    titles = [field["title"] for field in tooltip]
    for title in ("model", "precision", "engine", "p50 µs", "p99 µs", "acc %", "kB", "verdict", "RSS MB", "images/s"):
        assert title in titles
    assert all(field["field"] in shown[rows[0].id] for field in tooltip)


def test_the_front_is_drawn_through_its_members(rows):
    made = charts.scatter(rows, rows, Markers.of(rows))
    members = sorted((row for row in rows if row.front), key=lambda row: row.p50_us)
    corners = [(item["p50"], item["accuracy"]) for item in made["datasets"]["front"]]
    assert corners[:-1] == [(row.p50_us, 100 * row.accuracy) for row in members] and len(members) == 3
    assert corners[-1] == (logarithmic(row.p50_us for row in rows)[1], corners[-2][1])
    assert [(item["number"], item["id"]) for item in made["datasets"]["numbers"]] == [
        (str(place), row.id) for place, row in enumerate(members, 1)
    ]
    assert [item["id"] for item in made["datasets"]["cells"]][-3:] == [row.id for row in members]  # on top
    outlined = {item["id"] for item in made["datasets"]["cells"] if item["outlined"]}
    assert outlined == {row.id for row in rows if row.unbeaten and not row.precision.startswith("stock_")}


def test_what_is_not_known_has_a_place(tmp_path):
    (run,) = read(tmp_path, result(entry(size_bytes=1000), bare_cell(), entry("x", us=7, share=None)))
    known, unknown = run.rows[:1], run.rows[1:]
    markers = Markers.of(run.rows)
    made = charts.unknown_accuracies(unknown, run.rows, markers, legend=False)
    beside = charts.scatter(known, run.rows, markers)
    assert [item["accuracy"] for item in made["datasets"]["cells"]] == [0, 0]
    assert {item["bytes"] for item in made["datasets"]["cells"]} >= {1000}  # of the smallest, where none is known
    axes = [spec["layer"][0]["encoding"]["x"]["scale"]["domain"] for spec in (made, beside)]
    assert axes[0] == axes[1]
    assert UNKNOWN_PRECISION in markers.precisions


def test_a_line_has_every_point_of_its_curve(rows):
    made = charts.percentiles(rows, Markers.of(rows))
    for row, item in zip(rows, made["datasets"]["curves"], strict=True):
        assert list(zip(map(float, item["percentile"]), item["us"], strict=True)) == [
            (pytest.approx(place, abs=1e-5), value) for place, value in row.curve
        ]
        assert len(item["nines"]) == len(item["latency"]) == len(row.curve)


def test_burst_and_sustained_are_those_of_the_rows(tmp_path):
    (run,) = read(tmp_path, result(entry(), entry(precision="int8", us=50)))
    made = charts.sustained(run.rows, Markers.of(run.rows))
    for row, item in zip(run.rows, made["datasets"]["cells"], strict=True):
        assert (item["burst"], item["ratio"]) == (row.burst_us, row.sustained_us / row.burst_us)


def test_a_precision_keeps_its_colour_and_an_engine_its_shape_in_every_chart(rows):
    markers = Markers.of(rows)
    made = [
        charts.scatter(rows[:1], rows, markers),
        charts.percentiles(rows[1:], markers),
        charts.sustained(rows, markers),
    ]
    marks = [next(layer["encoding"] for layer in spec["layer"] if "shape" in layer["encoding"]) for spec in made]
    assert [mark["fill"]["scale"] for mark in marks] == [{"domain": ["float32", "int8"]}] * 3
    assert [mark["shape"]["scale"]["domain"] for mark in marks] == [["litert"]] * 3
    assert marks[0]["fill"]["legend"]["values"] == ["float32"]
    assert len(set(SHAPES)) == len(SHAPES) >= 10


def test_states_look_unlike_each_other(tmp_path):
    looks = [(state.fill, state.width, state.dash) for state in STATES]
    assert len(set(looks)) == len({state.line_dash for state in STATES}) == len(STATES) == 4
    loaded = [entry(precision=name, rounds=steady(100, other_cores=1)) for name in ("int8", "stock_int8")]
    (run,) = read(tmp_path, result(entry(precision="float32"), entry(precision="stock_float32"), *loaded))
    assert [state_of(row) for row in run.rows] == ["VALID", "stock, VALID", "INVALID", "stock, INVALID"]
    assert {state_of(row) for row in run.rows} == {state.name for state in STATES}


def test_the_vega_on_the_page_understands_what_this_altair_writes(rows):
    versions = dict(re.findall(r"\| (vega\S*)@(\d+\.\d+\.\d+) \|", (VENDOR / "README.md").read_text()))
    written = [int(part) for part in altair.SCHEMA_VERSION.removeprefix("v").split(".")]
    brought = [int(part) for part in versions["vega-lite"].split(".")]
    assert brought[0] == written[0] and brought >= written
    assert set(versions) == {"vega", "vega-lite", "vega-embed"}
    made = charts.percentiles(rows, Markers.of(rows))
    assert made["$schema"].endswith(f"/{altair.SCHEMA_VERSION}.json") and made["width"] == "container"


def test_the_vendored_files_are_those_that_npm_has():
    """By the hashes that scripts/get_vega.py wrote, and each says which version it is."""
    found = re.findall(
        r"\| (\S+\.js) \| \S+@(\S+) \| ([0-9a-f]{64}) \|",
        (VENDOR / "README.md").read_text(),
    )
    assert {name for name, _, _ in found} == {path.name for path in VENDOR.glob("*.js")} == set(page.VENDORED)
    for name, version, digest in found:
        content = (VENDOR / name).read_bytes()
        assert hashlib.sha256(content).hexdigest() == digest and version.encode() in content
        assert b"</script" not in content and b"<!--" not in content
    licences = (VENDOR / "LICENSES.txt").read_text()
    for name in ("vega: BSD-3-Clause", "vega-interpreter: BSD-3-Clause", "d3-scale: ISC", "fast-json-patch: MIT"):
        assert name in licences


def test_what_the_script_sets_is_in_every_chart(tmp_path):
    (run,) = read(tmp_path, result(*family(), bare_cell()))
    markers = Markers.of(run.rows)
    known, paced = [row for row in run.rows if row.accuracy], [row for row in run.rows if row.sustained_us]
    made = [
        charts.scatter(known, run.rows, markers),
        charts.unknown_accuracies(run.rows[-1:], run.rows, markers, legend=True),
        charts.percentiles(run.rows, markers),
        charts.sustained(paced, markers),
    ]
    for spec in made:
        names = [param["name"] for param in spec["params"]]
        assert set(encodings.PAGE_PARAMS) <= set(names) and "view" in names
