import copy
import gzip
import json
from pathlib import Path

import pytest
from support import ROOT
from support.bench_results import cell, result, steady

from fmnist_edge.benchmark import cells, results, tables
from fmnist_edge.benchmark.journal import Journal
from fmnist_edge.errors import FileError

RESULT = result(cell(), cell(status="failed", reason="[\n crashed, [1, 2]", rounds=[], engine="openvino"))
COMMITTED = sorted((ROOT / "benchmarks/results").glob("*/*"))


def test_a_result_comes_back_from_disk_as_it_was_and_as_the_same_bytes(tmp_path):
    path = results.save(RESULT, results.path_for(RESULT, tmp_path))
    assert path == tmp_path / "a-board" / "20260102030405-mine.json.gz"
    assert results.load(path) == RESULT
    first = path.read_bytes()
    assert results.save(results.load(path), path).read_bytes() == first
    text = gzip.decompress(first).decode()
    assert json.loads(text) == RESULT and "[100000,1,1," in text


def test_a_result_that_was_unpacked_is_read_too(tmp_path):
    path = tmp_path / "unpacked.json"
    path.write_text(json.dumps(RESULT))
    assert results.load(path) == RESULT


def test_nan_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        results.save({**RESULT, "idle_cores": float("nan")}, tmp_path / "a.json.gz")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("schema", [results.SCHEMA + 1, 1, 0, "2", True, None])
def test_another_schema_is_refused_in_one_line(tmp_path, schema):
    path = tmp_path / "other.json"
    path.write_text(json.dumps({**RESULT, "schema": schema}))
    with pytest.raises(FileError, match=f"schema is {schema!r}, this version reads 2 to {results.SCHEMA}") as caught:
        results.load(path)
    assert "\n" not in str(caught.value)


WHOLE = gzip.compress(json.dumps(RESULT).encode(), mtime=0)  # else the tests of two workers have two names


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, WHOLE[:-20], WHOLE[:40], b"\x1f\x8b\x08\x00rubbish"]
)
def test_a_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "damaged.json.gz"
    path.write_bytes(content)
    with pytest.raises(FileError, match=r"damaged\.json") as caught:
        results.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lost", [("machine",), ("cells",), ("cells", 0, "engine"), ("cells", 0, "rounds", 1, "during"),
             ("cells", 0, "rounds", 1, "engine", "windows")],
)  # fmt: skip
def test_a_missing_field_is_named(tmp_path, lost):
    damaged = copy.deepcopy(RESULT)
    inner = damaged
    for key in lost[:-1]:
        inner = inner[key]
    del inner[lost[-1]]
    path = tmp_path / "damaged.json"
    path.write_text(json.dumps(damaged))
    with pytest.raises(FileError, match=rf"{lost[-1]} is missing"):
        results.load(path)
    inner[lost[-1]] = 5
    path.write_text(json.dumps(damaged))
    if lost[-1] in ("cells", "windows", "during"):
        with pytest.raises(FileError, match="damaged"):
            results.load(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(FileError, match="no such file"):
        results.load(tmp_path / "none.json.gz")


@pytest.mark.parametrize("path", COMMITTED, ids=lambda path: path.name)
def test_what_is_committed_can_be_read(path):
    found = results.load(path)
    assert path.parent.name == found["machine"]["device"]
    assert any(item["status"] == "ok" for item in found["cells"])
    assert "/" not in (found["cells"][0]["reason"] or "")


def test_the_table_has_a_row_per_measured_cell_and_the_others_have_a_reason():
    (measured,) = tables.rows(RESULT)
    assert dict(zip(tables.HEADER, measured, strict=True)) == {
        "artifact": "linear/float32.onnx",
        "engine": "onnxruntime",
        "threads": "1",
        "load ms": "2.00",
        "first ms": "0.05",
        "calm µs": "100.1",
        "p50 µs": "100.1",
        "p90 µs": "100.1",
        "p99 µs": "100.1",
        "images/s": "9,995",
        "end-to-end p50 µs": "100.1",
        "on GPU p50 µs": "–",
        "RSS MB": "50",
        "kB": "31",
        "% of limit": "–",
        "valid": "yes",
    }
    assert tables.unmeasured(RESULT) == ["failed: openvino: [\n crashed, [1, 2] (linear/float32.onnx)"]
    assert tables.verdict_lines(RESULT) == ["VALID"]
    noisy = result(cell(rounds=steady(other_cores=1.0, temperature_c=None)))
    assert tables.verdict_lines(noisy)[0] == "INVALID; this machine does not report: temperature"
    assert "other programs used 1.00 cores" in tables.verdict_lines(noisy)[1]


def test_cells_that_lack_the_same_engine_share_a_line():
    missing = [cell(artifact=name, rounds=[], status="unavailable", reason="not installed") for name in "abc"]
    assert tables.unmeasured(result(cell(), *missing)) == ["unavailable: onnxruntime: not installed (a and 2 more)"]


def test_accuracies_are_those_of_a_parity_report(tmp_path):
    row = {"sha256": "ab", "accuracy": 0.9, "reference_accuracy": 0.91, "images": 10, "passed": True, "agreement": 1.0}
    path = tmp_path / "parity.json"
    path.write_text(json.dumps({"schema": 1, "source": "some images", "rows": [row]}))
    del row["sha256"], row["agreement"]
    assert cells.accuracies_of(path) == {"ab": {**row, "source": "some images"}}
    path.write_text(path.read_text().replace('"some images"', '"some images", "on": "pi@board"'))
    assert cells.accuracies_of(path)["ab"]["source"] == "some images, on pi@board"
    for content in ("", "[]", '{"rows": [{}]}', '{"rows": 5}'):
        path.write_text(content)
        with pytest.raises(FileError, match="not a report"):
            cells.accuracies_of(path)
    with pytest.raises(FileError, match="cannot be read"):
        cells.accuracies_of(tmp_path / "none.json")


class TestJournal:
    def test_it_comes_back_line_by_line(self, tmp_path):
        path = tmp_path / "new/a.partial.jsonl"
        journal = Journal.create(path, {"result": 1})
        for number in range(3):
            journal.append({"round": number})
        again, header, entries = Journal.read(path)
        assert (header, entries, again.lines) == ({"result": 1}, [{"round": 0}, {"round": 1}, {"round": 2}], 3)
        with pytest.raises(FileError, match="--resume"):
            Journal.create(path, {})
        again.remove()
        assert not path.exists()

    @pytest.mark.parametrize("cut", [1, 5, 9])
    def test_a_line_that_was_cut_off_is_dropped_and_the_next_one_stands_alone(self, tmp_path, cut):
        path = tmp_path / "a.partial.jsonl"
        journal = Journal.create(path, {"result": 1})
        journal.append({"round": 0})
        journal.append({"round": 1})
        path.write_bytes(path.read_bytes()[:-cut])
        again, _, entries = Journal.read(path)
        assert entries == [{"round": 0}]
        again.append({"round": 2})
        assert Journal.read(path)[2] == [{"round": 0}, {"round": 2}]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]\n", b"{}\n5\n", b"\xff\n", b"x\n{}\n"])
    def test_what_is_none_is_refused(self, tmp_path, content):
        path = tmp_path / "a.partial.jsonl"
        path.write_bytes(content)
        with pytest.raises(FileError, match="not the"):
            Journal.read(path)
        assert path.read_bytes() == content
        with pytest.raises(FileError, match="no such file"):
            Journal.read(tmp_path / "none")

    def test_a_full_disk_is_said_in_one_line(self, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("Linux only")
        journal = Journal.create(tmp_path / "a.partial.jsonl", {})
        journal.append({})
        journal.path.unlink()
        journal.path.symlink_to("/dev/full")
        with pytest.raises(
            FileError, match=r"No space left on device.*the 1 measurements made before.*--resume"
        ) as caught:
            journal.append({})
        assert "\n" not in str(caught.value)

    def test_a_folder_that_cannot_be_made_is_said(self, tmp_path):
        (tmp_path / "file").write_text("")
        with pytest.raises(FileError, match="cannot be written"):
            Journal.create(tmp_path / "file/a.partial.jsonl", {})
        assert [path.name for path in tmp_path.iterdir()] == ["file"]
