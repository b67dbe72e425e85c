"""The suite on real children and tiny real models. Nothing here depends on how long anything takes."""

import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from bench_models import write_onnx, write_tflite

from fmnist_edge.bench import loop, results, suite
from fmnist_edge.bench.plan import Plan
from fmnist_edge.errors import InputError, UnknownNameError

TINY = Plan("tiny", rounds=1, seconds_per_round=0, min_samples_per_round=3, warm_up_runs=2, warm_up_seconds=0)
TWO_ROUNDS = Plan("two", rounds=2, seconds_per_round=0, min_samples_per_round=3, warm_up_runs=2, warm_up_seconds=0)
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
DEFAULT = ("litert", "onnxruntime")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "linear"
    return {"onnx": write_onnx(folder / "float32.onnx"), "tflite": write_tflite(folder / "float32.tflite")}


def request_for(path, engine="onnxruntime", tmp_path=None, **changes):
    images = tmp_path / "images.npy"
    np.save(images, changes.pop("array", IMAGES))
    values = {"threads": 1, "batch": 1, "seconds": 0, "min_samples": 3, "warm_up_runs": 2, "warm_up_seconds": 0}
    return loop.Request(artifact=str(path), engine=engine, images=str(images), **{**values, **changes})


def one_line_about(entry, *words):
    assert entry["reason"] and "\n" not in entry["reason"]
    for word in words:
        assert word in entry["reason"]
    return True


def test_every_artifact_gets_its_engine_and_every_thread_count(models):
    cells = suite.cells_for([models["onnx"], models["tflite"]], threads=(1, 2))
    assert {(cell.name, cell.engine, cell.threads) for cell in cells} == {
        (f"linear/float32.{suffix}", engine, threads)
        for suffix, engine in (("onnx", "onnxruntime"), ("tflite", "litert"), ("tflite", "litert-builtin"))
        for threads in (1, 2)
    }
    assert {cell.engine for cell in suite.cells_for(list(models.values()), (1,), ["litert"])} == {"litert"}


def test_cells_that_cannot_be_are_refused(models, tmp_path):
    with pytest.raises(UnknownNameError, match="choose from: litert"):
        suite.cells_for([models["onnx"]], (1,), ["tensorrt"])
    with pytest.raises(InputError, match="no artifact"):
        suite.cells_for([models["onnx"]], (1,), ["litert"])
    with pytest.raises(InputError, match="unknown suffix"):
        suite.cells_for([tmp_path / "a.pt"], (1,))
    with pytest.raises(InputError, match="threads"):
        suite.cells_for([models["onnx"]], (0,))


@pytest.mark.parametrize("images", [IMAGES.astype(np.float32), IMAGES[0], IMAGES[:0]])
def test_images_that_cannot_be_are_refused(models, images):
    with pytest.raises(InputError, match="expected uint8"):
        suite.run(suite.cells_for([models["onnx"]], (1,)), images, TINY)


def test_every_round_goes_through_every_cell_once_in_an_order_of_its_own():
    sequence = list(suite.order(cells=8, rounds=5, seed=0))
    rounds = [sequence[start : start + 8] for start in range(0, 40, 8)]
    assert all(sorted(part) == list(range(8)) for part in rounds)
    assert len(set(map(tuple, rounds))) == 5
    assert sequence == list(suite.order(8, 5, 0)) != list(suite.order(8, 5, 1))


def test_two_engines_two_rounds_to_disk_and_back(models, tmp_path):
    seen = []
    cells = suite.cells_for(list(models.values()), threads=(1,), engines=DEFAULT)
    result = suite.run(cells, IMAGES, TWO_ROUNDS, lambda *call: seen.append(call), seed=7)
    assert [(done, total) for done, total, _ in seen] == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]
    assert not result["interrupted"] and result["seed"] == 7
    assert set(result["environment"]) == {"machine", "before", "after"}
    for cell, model in zip(result["cells"], models.values(), strict=True):
        assert cell["status"] == "measured", cell["reason"]
        assert (cell["model"], cell["precision"], cell["batch"], cell["images"]) == ("linear", "float32", 1, "given")
        assert cell["format"] == model.suffix[1:] and cell["size_bytes"] == model.stat().st_size
        assert cell["engine_version"].split()[0] in ("onnxruntime", "ai-edge-litert")
        assert [len(cell[key]) for key in ("cold_load_ns", "load_ns", "first_ns", "rounds")] == [2] * 4
        for part in cell["rounds"]:
            assert len(part["engine_ns"]) == len(part["end_to_end_ns"]) == 3
            assert all(isinstance(value, int) and value > 0 for value in part["engine_ns"] + part["end_to_end_ns"])
            assert part["warm_up"]["runs"] == 2
        assert cell["summary"]["engine"]["count"] == cell["summary"]["end_to_end"]["count"] == 6
        assert cell["summary"]["first"]["count"] == 2
    assert str(tmp_path) not in json.dumps(result)
    assert results.load(results.save(result, results.path_for(result, tmp_path))) == json.loads(json.dumps(result))
    assert [row[3] for row in results.rows(result)] == ["measured", "measured"]


def test_a_broken_file_costs_no_other_cell(models, tmp_path):
    damaged = tmp_path / "damaged.onnx"
    damaged.write_bytes(models["onnx"].read_bytes()[:-50])
    (tmp_path / "damaged.onnx.json").write_bytes((models["onnx"].parent / "float32.onnx.json").read_bytes())
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(b"nothing")
    (tmp_path / "folder.onnx").mkdir()
    paths = [damaged, tmp_path / "missing.onnx", tmp_path / "folder.onnx", alone, models["onnx"]]
    cells = suite.run(suite.cells_for(paths, (1,), DEFAULT), IMAGES, TINY)["cells"]
    assert [cell["status"] for cell in cells] == ["failed"] * 4 + ["measured"]
    broken, missing, _, orphan, whole = cells
    assert one_line_about(broken, "SHA-256") and one_line_about(missing, "no such file")
    assert one_line_about(orphan, "no manifest")
    assert missing["size_bytes"] is None and broken["summary"] is None and whole["summary"]["engine"]["count"] == 3


def test_an_engine_that_is_not_installed_is_unavailable(models, tmp_path, monkeypatch):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (cell,) = suite.run(suite.cells_for([models["onnx"]], (1,)), IMAGES, TINY)["cells"]
    assert cell["status"] == "unavailable"
    assert one_line_about(cell, "pip install onnxruntime")


def test_a_child_that_is_killed_fails_its_cell_and_is_not_tried_again(models, monkeypatch):
    code = f"import os; os.kill(os.getpid(), {signal.SIGKILL.value})"
    started = []
    monkeypatch.setattr(loop, "child_command", lambda: started.append(1) or [sys.executable, "-c", code])
    (cell,) = suite.run(suite.cells_for([models["onnx"]], (1,)), IMAGES, TWO_ROUNDS)["cells"]
    assert cell["status"] == "failed" and cell["rounds"] == [] and len(started) == 1
    assert one_line_about(cell, "onnxruntime crashed", "SIGKILL")


def test_a_failure_keeps_the_rounds_before_it(models, monkeypatch):
    replies = [
        {"status": "measured", "engine_version": "e 1", "images": "given", "cold_load_ns": 1, "load_ns": 1,
         "first_ns": 1, "warm_up": {}, "engine_ns": [1], "end_to_end_ns": [1], "peak_rss_bytes": 1},
        {"status": "failed", "reason": "it broke"},
    ]  # fmt: skip
    monkeypatch.setattr(suite, "run_child", lambda request: replies.pop(0))
    (cell,) = suite.run(suite.cells_for([models["onnx"]], (1,)), IMAGES, TWO_ROUNDS)["cells"]
    assert (cell["status"], cell["reason"], len(cell["rounds"])) == ("failed", "it broke", 1)
    assert cell["summary"]["engine"]["count"] == 1


@pytest.mark.parametrize(
    "code, words",
    [
        ("import time; time.sleep(60)", ["not done after 1 s"]),
        ("print('chatter')", ["code 0"]),
        ("raise SystemExit('lost its way')", ["code 1", "lost its way"]),
    ],
)
def test_a_child_that_does_not_answer_is_a_one_line_failure(models, tmp_path, monkeypatch, code, words):
    monkeypatch.setattr(loop, "child_command", lambda: [sys.executable, "-S", "-c", code])
    reply = loop.run_child(request_for(models["onnx"], tmp_path=tmp_path), timeout_s=1)
    assert reply["status"] == "failed" and one_line_about(reply, *words)


def test_a_child_that_does_not_start_is_a_one_line_failure(models, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "child_command", lambda: [str(tmp_path / "none")])
    reply = loop.run_child(request_for(models["onnx"], tmp_path=tmp_path))
    assert reply["status"] == "failed" and one_line_about(reply, "did not start")


def test_ctrl_c_keeps_what_was_measured(models):
    def progress(done, total, text):
        if done == 1:
            raise KeyboardInterrupt

    result = suite.run(suite.cells_for([models["onnx"]], (1, 2)), IMAGES, TINY, progress)
    assert result["interrupted"] and result["environment"]["after"]
    assert sorted(cell["status"] for cell in result["cells"]) == ["measured", "not measured"]
    assert [cell["summary"] is None for cell in result["cells"]].count(True) == 1
    assert len(results.rows(result)) == 2


def test_what_an_engine_prints_does_not_spoil_the_reply(models, tmp_path, monkeypatch):
    (tmp_path / "sitecustomize.py").write_text("import os, atexit; atexit.register(os.write, 1, b'bye')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    reply = loop.run_child(request_for(models["onnx"], tmp_path=tmp_path))
    assert reply["status"] == "measured"


def test_a_model_of_another_input_shape_is_timed_on_noise_and_says_so(models, tmp_path):
    wide = request_for(models["onnx"], tmp_path=tmp_path, array=np.zeros((2, 32, 32), np.uint8))
    assert loop.measure(wide)["images"] == "noise"


def test_a_fixed_batch_that_is_not_the_one_asked_is_refused_and_the_one_asked_runs(tmp_path):
    path = write_onnx(tmp_path / "batch3.onnx", batch=3)
    refused = loop.reply_to(request_for(path, tmp_path=tmp_path))
    assert refused["status"] == "failed" and one_line_about(refused, "takes 3 images a call", "--batch 1")
    assert loop.reply_to(request_for(path, tmp_path=tmp_path, batch=3))["status"] == "measured"


def test_a_series_cycles_its_items_and_keeps_one_sample_per_call():
    calls = []
    assert len(loop.series(calls.append, "abc", seconds=0, least=7)) == 7
    assert "".join(calls) == "abcabca"


def test_a_series_lasts_its_seconds_and_no_longer_than_the_limit(monkeypatch):
    clock = iter(range(0, 10**13, 400_000_000))  # 0.4 s a look
    monkeypatch.setattr(loop, "perf_counter_ns", lambda: next(clock))
    assert len(loop.series(id, [0], seconds=2, least=1)) == 3  # ends seen at 0.8, 1.6 and 2.4 s
    assert len(loop.series(id, [0], seconds=0, least=10**6)) < 50


def test_the_peak_is_the_childs_own():
    if not Path("/proc/self/status").exists():
        pytest.skip("Linux only")
    assert loop.peak_rss_bytes() > 10_000_000
