"""Tables say what the rows say: ratios within a run, devices side by side, Markdown that shows hostile text as text."""

import json
from dataclasses import replace

import pytest
from support.bench_results import result, round_of, steady
from support.report_results import CALIBRATION, HOSTILE, bare_cell, entry, family, read

from fmnist_edge.report import markdown, summary, tables
from fmnist_edge.report.markdown import BLOCKS, escaped
from fmnist_edge.report.ratios import by_precision, claims, fastest


@pytest.fixture
def run(tmp_path):
    (run,) = read(tmp_path)
    return run


def test_ours_is_held_against_stock_and_twin_of_the_same_precision(run):
    found = {trio.ours.precision: trio for trio in by_precision(run.rows)}
    assert list(found) == ["float32", "int8"]
    int8 = found["int8"]
    assert int8.stock_by_ours == pytest.approx(3, rel=0.01) and int8.twin_by_ours == pytest.approx(0.5, rel=0.01)
    assert (int8.stock.precision, int8.twin.model, int8.valid) == ("stock_int8", "tiny_resnet_edge", True)
    assert found["float32"].stock_by_ours == pytest.approx(1.25, rel=0.01)


def test_the_fastest_of_each_are_of_any_precision(run):
    (trio,) = fastest(run.rows)
    assert [row.precision for row in (trio.ours, trio.stock, trio.twin)] == ["int8", "stock_float32", "int8"]
    assert trio.stock_by_ours == pytest.approx(2.5, rel=0.01)


def test_other_engines_threads_and_batches_are_no_counterpart(tmp_path):
    ours = entry(precision="int8")
    others = [
        entry(precision="stock_int8", engine="litert-builtin"),
        entry(precision="stock_int8", threads=2),
        entry("tiny_resnet_edge", "int8", batch=8),
        entry("compact_cnn", "stock_int8"),
    ]
    (run,) = read(tmp_path, result(ours, *others))
    assert by_precision(run.rows) == fastest(run.rows) == []
    assert tables.ratios(run) == [] and "multiples" not in markdown.document([run])


def test_another_format_is_a_counterpart_of_the_fastest_alone(tmp_path):
    (run,) = read(tmp_path, result(entry(precision="int8"), entry(precision="stock_float32", format="onnx", us=200)))
    assert by_precision(run.rows) == [] and fastest(run.rows)[0].stock_by_ours == pytest.approx(2, rel=0.01)


def changing(us, pace):
    """Rounds in which the machine is more and less fast."""
    return [round_of(number, [[round(1000 * us * share)] * 210] * 2) for number, share in enumerate(pace)]


def test_a_ratio_can_be_valid_where_neither_cell_is(tmp_path):
    pace = [1, 1.5, 2, 1.2, 1.7, 1.1, 1.9]
    stock = entry(precision="stock_int8", rounds=changing(300, pace))
    (run,) = read(tmp_path, result(entry(precision="int8", rounds=changing(100, pace)), stock))
    assert not any(row.valid for row in run.rows)
    assert [(trio.valid, trio.stock_by_ours) for trio in by_precision(run.rows)] == [(True, pytest.approx(3))]
    assert tables.ratios(run)[0].rows[0][-1] == "yes"
    assert tables.every_ratio(run).rows == [
        ["tiny_resnet", "stock_int8 ÷ int8, litert", "1", "3.00 [3.00, 3.00]", "7", "VALID"]
    ]


def test_a_ratio_that_is_not_known_well_is_invalid_and_in_no_block_of_claims(tmp_path):
    stock = entry(precision="stock_int8", rounds=changing(300, [1, 1.5, 2, 1.2, 1.7, 1.1, 1.9]))
    (run,) = read(tmp_path, result(entry(precision="int8"), stock))
    assert [trio.valid for trio in by_precision(run.rows)] == [False]
    (row,) = tables.every_ratio(run).rows
    assert row[-1] == "INVALID" and tables.sound_ratios(run).items == []
    text = markdown.BLOCKS["claims"]([run], lambda run: "a-file")
    assert "0 of 1 ratios are VALID" in text and "INVALID" not in text and "3.00" not in text


def test_cells_that_differ_in_one_thing_have_a_ratio(tmp_path):
    whole = [*family(), entry(us=400, engine="litert-builtin"), entry(us=400, artifact="tiny_resnet/float32.onnx",
             format="onnx", engine="onnxruntime"), entry(us=900, threads=2)]  # fmt: skip
    (run,) = read(tmp_path, result(*whole))
    texts = {claim.kind: [] for claim in claims(run.rows)}
    for claim in claims(run.rows):
        texts[claim.kind].append((tables.claim_text(claim), round(claim.value, 1)))
    assert texts["stock"] == [("stock_float32 ÷ float32, litert", 1.2), ("stock_int8 ÷ int8, litert", 3.0)]
    assert ("tiny_resnet_edge ÷ tiny_resnet, int8, litert", 0.5) in texts["twin"]
    assert ("int8 ÷ float32, litert", 0.5) in texts["precision"]
    assert texts["engine"] == [
        ("litert-builtin ÷ litert, float32", 2.0), ("onnxruntime ÷ litert, float32", 2.0)
    ]  # fmt: skip


def test_the_c_form_is_compared_with_the_same_numbers_on_an_engine_that_ships(tmp_path):
    folder = {"artifact": "tiny_resnet/int8_only.c", "format": "c", "engine": "c"}
    whole = [entry(us=100, precision="int8"), entry(us=80, precision="int8_only", **folder)]
    (run,) = read(tmp_path, result(*whole))
    assert [tables.claim_text(claim) for claim in claims(run.rows)] == ["c int8_only ÷ litert int8"]
    (tmp_path / "more").mkdir()
    (run,) = read(tmp_path / "more", result(*whole, entry(us=90, precision="int8_only")))
    assert [tables.claim_text(claim) for claim in claims(run.rows)] == ["c ÷ litert, int8_only"]


def test_every_figure_is_in_the_full_table(run):
    made = tables.latencies(run)
    row = dict(zip(made.header, made.rows[1], strict=True))
    assert row == {
        "model": "tiny_resnet", "file": "int8.tflite", "engine": "litert", "thr": "1", "calm µs": "100.1",
        "p50 µs": "100.1",
        "p90 µs": "100.1", "p99 µs": "100.1", "end-to-end µs": "100.1", "first ms": "0.05", "load ms": "2.00",
        "RSS MB": "50", "kB": "1,300", "acc %": "94.98", "% peak": "100", "% limit": "100", "verdict": "VALID",
    }  # fmt: skip


def test_floats_beyond_the_peak_are_explained(run):
    assert tables.BEYOND_PEAK not in tables.facts(run)
    row = next(row for row in run.rows if row.precision == "float32")
    assert tables.BEYOND_PEAK in tables.facts(replace(run, rows=(replace(row, share_of_peak=1.2),)))
    integers = replace(row, precision="int8", share_of_peak=1.2)
    assert tables.BEYOND_PEAK not in tables.facts(replace(run, rows=(integers,)))


def test_what_is_not_known_is_a_dash(tmp_path):
    (run,) = read(tmp_path, result(bare_cell()))
    made = tables.latencies(run)
    row = dict(zip(made.header, made.rows[0], strict=True))
    assert {row[name] for name in ("p99 µs", "RSS MB", "kB", "acc %", "% peak", "% limit")} == {"–"}
    assert row["model"] == row["file"] == "mine.onnx" and row["verdict"] == "INVALID: too few samples"


def test_batches_have_a_column_where_there_are_any(tmp_path, run):
    (tmp_path / "other").mkdir()
    (batched,) = read(tmp_path / "other", result(entry(), entry(batch=8)))
    assert "batch" not in tables.latencies(run).header and "batch" in tables.latencies(batched).header


def test_devices_stand_side_by_side_where_they_measured_the_same(tmp_path):
    made = [
        result(*family()),
        result(entry(us=1000, rounds=steady(1000, other_cores=1)), machine={"device": "slow"}),
        result(entry(us=7), machine={"device": "slow"}, created="2020-01-01T00:00:00+00:00"),
    ]
    found = read(tmp_path, *made)
    table = tables.side_by_side(found)
    assert table.header[-2:] == ["a-board", "slow"]
    assert [row[-2:] for row in table.rows] == [["200.1", "1,000.1*"]]  # the newest run's, which is INVALID
    assert tables.side_by_side(found[:1]) is None
    assert table.title in markdown.document(found) and table.title in markdown.terminal(found)
    assert "slow/1.json.gz" in BLOCKS["devices"](found, lambda run: run.file)
    assert BLOCKS["devices"](found[:1], lambda run: run.file) == "No cell was measured on two devices."


def test_the_terminal_has_every_cell_the_verdict_and_what_was_not_measured_in_120_columns(tmp_path):
    long = [
        entry("tiny_googlenet_edge", precision, us=99_999, engine=engine, size_bytes=117_000_000)
        for precision in ("stock_dynamic_int8", "dynamic_int8", "float32")
        for engine in ("litert", "litert-builtin")
    ]
    missing = entry(engine="mnn", rounds=[], status="unavailable", reason="MNN is not installed", us=1)
    (run,) = read(tmp_path, result(*long, *family(), missing, calibration=CALIBRATION))
    text = markdown.terminal([run])
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert max(map(len, lines)) <= 120
    assert "  VALID" in text and "unavailable: mnn: MNN is not installed" in text
    assert sum("| stock_dynamic_int8.tflite" in line for line in lines) == 2


@pytest.mark.parametrize("text", ["a|b", "<b>", "`x", "*x*", "[a](b)", "~~a~~", "_a_", "a\\|b", "&lt;", HOSTILE])
def test_markdown_shows_text_as_it_is(text):
    import html
    import re

    shown = escaped(text)
    assert html.unescape(re.sub(r"\\([\\`*\[\]|~_])", r"\1", shown)) == text
    assert not re.search(r"(?<!\\)(?:\\\\)*[`*\[\]|~]|[<>]", shown)


def test_markdown_leaves_ordinary_names_alone():
    for name in ("tiny_resnet_edge", "stock_dynamic_int8.tflite", "2026-01-02T03:04:05+00:00", "p50 µs", "% limit"):
        assert escaped(name) == name


def test_a_hostile_name_stays_in_its_cell(tmp_path):
    (run,) = read(tmp_path, result(entry(HOSTILE), machine={"device": HOSTILE, "cpu": HOSTILE}))
    document = markdown.document([run])
    assert "<img" not in document and "<script" not in document
    for line in document.splitlines():
        if line.startswith("|"):
            assert line.replace("\\|", "").count("|") in {
                len(part) + 1
                for part in (
                    (*tables.RUNS, 0),
                    *(tables.table_of("", of, run.rows).header for of in (tables.FULL, tables.FRONT)),
                )
            }


def test_the_json_has_every_row_and_names_the_pairs_by_id(run):
    made = json.loads(json.dumps(summary.as_json([run]), allow_nan=False))
    (part,) = made["runs"]
    rows = {row["id"]: row for row in part["rows"]}
    assert len(rows) == 6 and all(len(row["curve"]) > 10 for row in rows.values())
    (fast,) = part["fastest"]
    assert rows[fast["ours"]]["p50_us"] * fast["stock_by_ours"] == pytest.approx(rows[fast["stock"]]["p50_us"])
    assert (made["schema"], part["file"], part["verdict"]["status"]) == (1, "a-board/0.json.gz", "VALID")
