"""What is read from results: every figure, null for unknown, and a clear line for what is no results file."""

import copy
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.bench_results import cell, result, state, steady
from support.report_results import CALIBRATION, HOSTILE, bare_cell, entry, family, markup_of, read, saved

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.series import encode
from fmnist_edge.errors import FileError, FmnistEdgeError
from fmnist_edge.report import markdown, page, runs, summary
from fmnist_edge.report.curve import percentile_curve


def test_a_row_has_the_figures_of_its_cell(tmp_path):
    (run,) = read(tmp_path, result(entry(size_bytes=1234, threads=1), calibration=CALIBRATION))
    (row,) = run.rows
    whole = results.load(run.path)["cells"][0]["summary"]
    assert (row.p50_us, row.p90_us, row.p99_us) == tuple(whole["engine"][name] for name in ("p50", "p90", "p99"))
    assert (row.load_us, row.first_us) == (whole["load"]["p50"], whole["first"]["p50"])
    assert (row.end_to_end_us, row.images_per_s) == (whole["end_to_end"]["p50"], whole["engine"]["images_per_s"])
    assert (row.burst_us, row.sustained_us) == (whole["engine"]["burst_p50"], whole["engine"]["sustained_p50"])
    assert row.share_of_limit == whole["roofline"]["share_of_limit"]
    assert row.share_of_peak == whole["roofline"]["share_of_gemm_peak"]
    assert (row.accuracy, row.size_bytes, row.peak_rss_bytes, row.samples) == (0.95, 1234, 50_000_000, 1050)
    assert (row.kind, row.validity, row.reasons, row.file) == ("measured", "VALID", (), "float32.tflite")


def test_what_is_not_known_stays_so(tmp_path):
    (run,) = read(tmp_path, result(bare_cell(), cell(status="failed", reason="it crashed", rounds=[], memory=None)))
    (row,) = run.rows
    unknown = ("model", "precision", "p99_us", "burst_us", "sustained_us", "peak_rss_bytes", "size_bytes", "accuracy")
    assert [getattr(row, name) for name in (*unknown, "share_of_peak", "share_of_limit")] == [None] * 10
    assert (row.sustained_by_burst, row.front, row.file, row.group) == (None, False, "mine.onnx", "mine.onnx")
    assert run.missing == ("failed: onnxruntime: it crashed (linear/float32.onnx)",)


def test_what_speaks_against_the_run_speaks_against_every_cell(tmp_path):
    busy = cell(rounds=steady(other_cores=0.5))
    (run,) = read(tmp_path, result(cell(threads=2), busy))
    assert [row.validity for row in run.rows] == ["VALID", "INVALID"]
    assert run.verdict == "INVALID" and [rule for rule, _ in run.reasons] == ["other load"]
    (run,) = read(tmp_path, result(cell(threads=2), busy, before=state(on_battery=True)))
    assert [[rule for rule, _ in row.reasons] for row in run.rows] == [["battery"], ["battery", "other load"]]
    assert not any(row.valid for row in run.rows)


def test_the_front_is_of_all_cells_and_validity_only_marks_it(tmp_path):
    fast = entry(us=10, share=0.94, rounds=steady(10, other_cores=1))
    (run,) = read(tmp_path, result(fast, entry(us=100, share=0.93)))
    assert [(row.front, row.valid) for row in run.rows] == [(True, False), (False, True)]
    assert run.rows[0].estimate.rounds == 5 and run.rows[0].known_us == pytest.approx(10, rel=0.01)


def test_the_front_has_no_cell_of_unknown_accuracy_and_one_for_each_batch(tmp_path):
    (run,) = read(tmp_path, result(*family(), entry(us=1, share=None, threads=3), entry(us=900, share=0.1, batch=8)))
    assert [(row.p50_us < 51, row.batch) for row in run.rows if row.front] == [
        (False, 1),
        (False, 1),
        (True, 1),
        (False, 8),
    ]
    small = [row for row in run.rows if row.precision == "stock_int8"]
    assert [(row.front, row.unbeaten) for row in small] == [(False, True)]  # slower and less accurate, but smaller


def test_devices_are_in_order_and_the_newest_run_first(tmp_path):
    made = [
        result(machine={"device": "b"}, created="2026-01-01T00:00:00+00:00"),
        result(machine={"device": "a"}, created="2026-01-01T00:00:00+00:00"),
        result(machine={"device": "a"}, created="2026-01-02T00:00:00+00:00"),
    ]
    found = read(tmp_path, *made)
    assert [(run.device, run.created[:10]) for run in found] == [
        ("a", "2026-01-02"),
        ("a", "2026-01-01"),
        ("b", "2026-01-01"),
    ]
    assert len({row.id for run in found for row in run.rows}) == 3


def test_folders_are_searched_and_a_file_counts_once(tmp_path):
    (tmp_path / "a").mkdir()
    paths = saved(tmp_path / "a", x=result(), y=result())
    assert runs.find([tmp_path, paths["x"], tmp_path / "a"]) == sorted(paths.values())
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileError, match=r"empty: no results file \(\*\.json\.gz\) in this folder; `fmnist-edge bench`"):
        runs.find([tmp_path / "empty"])


@pytest.mark.parametrize(
    "content, said",
    [
        (b"", "not a results file, or a damaged one"),
        (b"\x1f\x8b\x08", "not a results file, or a damaged one"),
        (b"[]", "result schema is None, this version reads 2 to 5"),
        (b'{"schema": 1, "cells": []}', "result schema is 1, this version reads 2 to 5"),
        (b'{"schema": 2}', "is missing; the file is damaged"),
    ],
)
def test_what_is_no_result_is_one_line(tmp_path, content, said):
    saved(tmp_path, good=result())
    (tmp_path / "bad.json.gz").write_bytes(content)
    with pytest.raises(FileError, match=said) as caught:
        runs.read([tmp_path])
    assert "bad.json.gz" in str(caught.value) and "\n" not in str(caught.value)


def test_a_result_without_a_measured_cell_is_one_line(tmp_path):
    with pytest.raises(FileError, match=r"no measured cell in a-board/0\.json\.gz"):
        read(tmp_path, result(cell(rounds=[], status="unavailable", reason="install it", memory=None)))


def test_text_that_does_not_print_is_replaced(tmp_path):
    (run,) = read(tmp_path, result(entry(HOSTILE, engine="\u202egnol\ud800"), machine={"cpu": "\x07\x9b2J"}))
    assert run.rows[0].engine == "\ufffdgnol\ufffd" and dict(run.machine)["CPU"] == "\ufffd\ufffd2J"
    assert "\x1b" not in markdown.terminal([run]) and "\n" not in run.rows[0].model


def places(value, path=()):
    """Every place of a JSON value."""
    yield path
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in pairs:
        yield from places(child, (*path, key))


WHOLE = json.loads(
    json.dumps(result(*family()[:2], cell(status="failed", reason="crashed", rounds=[]), calibration=CALIBRATION))
)
PLACES = [place for place in places(WHOLE) if place and "windows" not in place[:-2]]
VALUES = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1.5,
        10**400,
        float("nan"),
        float("inf"),
        1e308,
        "",
        HOSTILE,
        [],
        [HOSTILE],
        {},
        {HOSTILE: HOSTILE},
        [[]],
    ]
)


def changed_at(folder, place, value):
    """The runs of a file with `value` in that place; None when it is refused, which one line must say."""
    changed = copy.deepcopy(WHOLE)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    path = folder / "changed.json.gz"
    path.write_text(json.dumps(changed))
    try:
        return runs.read([path])
    except FmnistEdgeError as error:
        assert "\n" not in str(error) and "changed.json.gz" in str(error)
        return None


SLOW = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


@pytest.mark.slow
@settings(max_examples=150, suppress_health_check=SLOW)
@given(st.sampled_from(PLACES), VALUES)
def test_whatever_stands_in_a_file_it_is_shown_or_refused_in_a_line(tmp_path, place, value):
    found = changed_at(tmp_path, place, value)
    if found is not None:
        json.dumps(summary.as_json(found), allow_nan=False)
        markdown.terminal(found).encode()
        markdown.document(found).encode()


@pytest.mark.slow
@settings(max_examples=15, suppress_health_check=SLOW, deadline=None)  # a page takes a while
@given(st.sampled_from(PLACES), VALUES)
def test_whatever_stands_in_a_file_the_page_has_no_markup_of_it(tmp_path, place, value):
    found = changed_at(tmp_path, place, value)
    if found is not None:
        text = markup_of(page.page(found))
        assert "<img" not in text and "<script>document" not in text


class TestCurve:
    @given(st.lists(st.lists(st.integers(0, 10**9), min_size=1, max_size=300), min_size=1, max_size=5))
    def test_its_points_are_nearest_rank_percentiles(self, windows):
        samples = np.concatenate(windows)
        curve = percentile_curve(map(encode, windows))
        for share, value in curve:
            assert value * 1000 == pytest.approx(np.percentile(samples, share, method="inverted_cdf"), abs=1e-6)
        assert curve[0] == (0, samples.min() / 1000)

    @pytest.mark.parametrize("count, last", [(67, 90), (662, 99), (6620, 99.9)])
    def test_it_ends_where_too_few_samples_lie_beyond(self, count, last):
        enough, too_few = (percentile_curve([encode(np.arange(number))]) for number in (count, count - 1))
        assert enough[-1][0] == pytest.approx(last)
        assert too_few[-1][0] < last - 0.01

    def test_no_sample_has_none(self):
        assert percentile_curve([]) == ()
