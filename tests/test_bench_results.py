import copy
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.bench import results
from fmnist_edge.errors import FileError, InputError

SAMPLES = st.lists(st.integers(1, 10**12), min_size=1, max_size=50)


@given(SAMPLES)
def test_percentiles_are_numpys_inverted_cdf(samples):
    summary = results.summarize(samples)
    for percent in (50, 90):
        expected = np.percentile(samples, percent, method="inverted_cdf")
        assert summary[f"p{percent}"] == expected / 1000
    assert summary["mean"] == pytest.approx(np.mean(samples) / 1000)
    assert (summary["min"], summary["max"]) == (min(samples) / 1000, max(samples) / 1000)
    assert summary["count"] == len(samples)


@given(st.integers(0, 2**32 - 1), st.integers(results.SAMPLES_FOR_P99, 3000))
def test_percentiles_are_ordered_and_the_99th_is_numpys(seed, count):
    samples = np.random.default_rng(seed).lognormal(12, 1, count).astype(int).tolist()
    summary = results.summarize(samples)
    assert summary["min"] <= summary["p50"] <= summary["p90"] <= summary["p99"] <= summary["max"]
    assert summary["p99"] == np.percentile(samples, 99, method="inverted_cdf") / 1000


@given(SAMPLES.flatmap(lambda samples: st.tuples(st.just(samples), st.permutations(samples))))
def test_order_does_not_matter(pair):
    samples, shuffled = pair
    assert results.summarize(samples) == results.summarize(shuffled)


def test_the_slowest_sample_counts():
    assert results.summarize([1000] * 9 + [10**9])["max"] == 10**6


def test_no_samples_is_an_error_not_a_zero():
    with pytest.raises(InputError, match="no samples"):
        results.summarize([])


def two_beyond_the_percentile(count: int, percentile: float) -> float:
    """Chance that fewer than two of `count` samples lie beyond it."""
    return percentile**count + count * (1 - percentile) * percentile ** (count - 1)


def test_a_p99_needs_as_many_samples_as_its_confidence_does():
    assert two_beyond_the_percentile(results.SAMPLES_FOR_P99, 0.99) <= 0.01
    assert two_beyond_the_percentile(results.SAMPLES_FOR_P99 - 1, 0.99) > 0.01
    assert results.summarize([1] * (results.SAMPLES_FOR_P99 - 1))["p99"] is None
    assert results.summarize([1] * results.SAMPLES_FOR_P99)["p99"] is not None


MEASURED = {
    "artifact": "linear/float32.onnx",
    "engine": "onnxruntime",
    "threads": 1,
    "status": "measured",
    "reason": None,
    "size_bytes": 31_400,
    "cold_load_ns": [9_000_000, 8_000_000],
    "load_ns": [2_000_000, 3_000_000],
    "first_ns": [50_000, 60_000],
    "rounds": [
        {"engine_ns": [10_000, 20_000], "end_to_end_ns": [30_000, 40_000]},
        {"engine_ns": [11_000], "end_to_end_ns": [31_000]},
    ],
}
FAILED = {
    **MEASURED,
    "status": "failed",
    "reason": "[\n crashed, [1, 2]",
    "size_bytes": None,
    "summary": None,
    **{key: [] for key in ("cold_load_ns", "load_ns", "first_ns", "rounds")},
}
RESULT = {
    "schema": results.SCHEMA,
    "created": "2026-01-02T03:04:05+00:00",
    "plan": {"name": "quick"},
    "environment": {"machine": {"device": "a-board"}},
    "cells": [{**MEASURED, "summary": results.summary_of(MEASURED)}, FAILED],
}


def test_a_result_comes_back_from_disk_as_it_was(tmp_path):
    path = results.save(RESULT, results.path_for(RESULT, tmp_path))
    assert path == tmp_path / "a-board" / "20260102030405-quick.json"
    assert results.load(path) == RESULT
    assert "[10000,20000]" in path.read_text()


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        results.save({**RESULT, "mean": float("nan")}, tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("schema", [results.SCHEMA + 1, 0, "1", True, None])
def test_another_schema_is_refused_in_one_line(tmp_path, schema):
    other = copy.deepcopy(RESULT) | {"schema": schema}
    path = tmp_path / "other.json"
    path.write_text(json.dumps(other))
    with pytest.raises(FileError, match="this version reads 1") as caught:
        results.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000])
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged.json"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"damaged\.json"):
        results.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="cannot be read"):
        results.load(tmp_path / "none.json")


def test_the_table_has_a_row_per_cell_and_dashes_for_the_unmeasured():
    measured, failed = results.rows(RESULT)
    assert len(measured) == len(failed) == len(results.HEADER)
    assert dict(zip(results.HEADER, measured, strict=True)) == {
        "artifact": "linear/float32.onnx",
        "engine": "onnxruntime",
        "threads": "1",
        "status": "measured",
        "load ms": "2.00",
        "first ms": "0.05",
        "p50 µs": "11.0",
        "p90 µs": "20.0",
        "p99 µs": "–",
        "end-to-end p50 µs": "31.0",
        "kB": "31",
        "reason": "",
    }
    assert failed[3:11] == ["failed", *["–"] * 7]
