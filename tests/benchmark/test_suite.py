"""The suite on real children and tiny real models. Nothing here depends on how long anything takes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.bench_models import write_onnx, write_tflite
from support.stand_ins import script

from fmnist_edge.benchmark import cells as bench_cells
from fmnist_edge.benchmark import loop, process, results, suite, tables, validity
from fmnist_edge.benchmark.images import own_images
from fmnist_edge.benchmark.plan import Plan
from fmnist_edge.benchmark.series import count_of, decode, encode
from fmnist_edge.errors import FileError, InputError, UnknownNameError
from fmnist_edge.runtime.manifest import Manifest

TINY = Plan("tiny", 1, 0, 0, min_queries=3, warm_up_runs=2, warm_up_seconds=0, threads=(1,))
TWO_ROUNDS = Plan("two", 2, 0, 0, min_queries=6, warm_up_runs=2, warm_up_seconds=0, threads=(1,))
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)
DEFAULT = ("litert", "onnxruntime")


@pytest.fixture(scope="session")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "linear"
    return {"onnx": write_onnx(folder / "float32.onnx"), "tflite": write_tflite(folder / "float32.tflite")}


@pytest.fixture(autouse=True)
def no_idle_second(monkeypatch):
    monkeypatch.setattr(suite, "IDLE_S", 0.01)


def begun(paths, plan, out, engines=DEFAULT, threads=(1,), **more):
    made = bench_cells.cells_for(paths, threads, engines)
    return suite.begin(made, IMAGES, plan, out, **{"calibrated": False, **more})


def request_for(path, engine="onnxruntime", tmp_path=None, **changes):
    images = tmp_path / "images.npy"
    np.save(images, changes.pop("array", IMAGES))
    values = {
        "threads": 1, "batch": 1, "seconds": 0, "end_to_end_seconds": 0, "min_queries": 3, "warm_up_runs": 2,
        "warm_up_seconds": 0,
    }  # fmt: skip
    return loop.Request(artifact=str(path), engine=engine, images=str(images), **{**values, **changes})


def one_line_about(entry, *words):
    assert entry["reason"] and "\n" not in entry["reason"]
    for word in words:
        assert word in entry["reason"]
    return True


class TestCells:
    def test_every_artifact_gets_its_engines_and_every_thread_count(self, models):
        made = bench_cells.cells_for([models["onnx"], models["tflite"]], (1, 2), ["litert", "litert-builtin", *DEFAULT])
        assert {(cell.name, cell.engine, cell.threads) for cell in made} == {
            (f"linear/float32.{suffix}", engine, threads)
            for suffix, engine in (("onnx", "onnxruntime"), ("tflite", "litert"), ("tflite", "litert-builtin"))
            for threads in (1, 2)
        }
        assert {cell.engine for cell in bench_cells.cells_for(list(models.values()), (1,), ["litert"])} == {"litert"}

    def test_two_of_one_name_cannot_be_told_apart_and_are_refused(self, models, tmp_path):
        other = tmp_path / "linear/float32.onnx"
        other.parent.mkdir()
        for suffix in ("", ".json"):
            shutil.copy(f"{models['onnx']}{suffix}", f"{other}{suffix}")
        with pytest.raises(InputError, match=r"two artifacts are called linear/float32\.onnx"):
            bench_cells.cells_for([models["onnx"], other], (1,))

    def test_all_is_every_engine_that_claims_the_file_and_none_named_those_worth_timing(self, models):
        every = {cell.engine for cell in bench_cells.cells_for([models["tflite"]], (1,), ["all"])}
        timed = {cell.engine for cell in bench_cells.cells_for([models["tflite"]], (1,))}
        assert {"litert", "tflite-micro"} <= every and timed < every and "tflite-micro" not in timed

    def test_a_fixed_batch_is_the_files_own_and_an_open_one_the_plans(self, models, tmp_path):
        manifest = json.loads(models["onnx"].with_name("float32.onnx.json").read_text())

        def batches(fixed, asked):
            path = tmp_path / "a.onnx"
            path.write_bytes(b"")
            path.with_name("a.onnx.json").write_text(json.dumps({**manifest, "batch": fixed}))
            return [cell.batch for cell in bench_cells.cells_for([path], (1,), DEFAULT, asked)]

        assert batches(8, (1,)) == [8] == batches(8, (8, 16))
        assert batches(None, (1,)) == [1] and batches(None, (4, 2)) == [2, 4]
        with pytest.raises(InputError, match="with a batch of 2"):
            batches(8, (2,))

    def test_cells_that_cannot_be_are_refused(self, models, tmp_path):
        with pytest.raises(UnknownNameError, match="choose from: litert"):
            bench_cells.cells_for([models["onnx"]], (1,), ["tensorrt"])
        with pytest.raises(InputError, match="no artifact"):
            bench_cells.cells_for([models["onnx"]], (1,), ["litert"])
        with pytest.raises(InputError, match="unknown suffix"):
            bench_cells.cells_for([tmp_path / "a.pt"], (1,))
        with pytest.raises(InputError, match="threads"):
            bench_cells.cells_for([models["onnx"]], (0,))

    def test_every_round_goes_through_every_cell_once_in_an_order_of_its_own(self):
        sequence = list(bench_cells.order(cells=8, rounds=5, seed=0))
        rounds = [[index for number, index in sequence if number == round] for round in range(5)]
        assert [number for number, _ in sequence] == [number for number in range(5) for _ in range(8)]
        assert all(sorted(part) == list(range(8)) for part in rounds)
        assert len(set(map(tuple, rounds))) == 5
        assert sequence == list(bench_cells.order(8, 5, 0)) != list(bench_cells.order(8, 5, 1))


class TestRun:
    @pytest.mark.parametrize("images", [IMAGES.astype(np.float32), IMAGES[0]])
    def test_images_that_cannot_be_are_refused(self, models, tmp_path, images):
        with pytest.raises(InputError, match="expected uint8"):
            suite.begin(bench_cells.cells_for([models["onnx"]], (1,)), images, TINY, tmp_path)

    def test_two_engines_two_rounds_to_disk_and_back(self, models, tmp_path):
        seen, digest = [], results_digest(models["onnx"])
        session = begun(list(models.values()), TWO_ROUNDS, tmp_path, seed=7, accuracies={digest: {"accuracy": 0.5}})
        result = suite.run(session, lambda *call: seen.append(call))
        assert [(done, total) for done, total, _ in seen] == [(step, 6) for step in range(7)]
        assert not result["interrupted"] and result["seed"] == 7 and result["after"] and result["finished"]
        for cell, model in zip(result["cells"], models.values(), strict=True):
            assert cell["status"] == "ok", cell["reason"]
            assert (cell["model"], cell["precision"], cell["batch"], cell["images"]) == (
                "linear",
                "float32",
                1,
                "given",
            )
            assert cell["format"] == model.suffix[1:] and cell["size_bytes"] == model.stat().st_size
            assert cell["engine_version"].split()[0] in ("onnxruntime", "ai-edge-litert")
            assert cell["complexity"]["macs"] == 7840
            assert cell["memory"] is None or cell["memory"]["peak_rss_bytes"] > cell["memory"]["baseline_rss_bytes"] > 0
            assert [part["round"] for part in cell["rounds"]] == [0, 1]
            for part in cell["rounds"]:
                for name in ("engine", "end_to_end"):
                    assert count_of(part[name]["windows"]) == 3
                    assert part[name]["elapsed_ns"] > 0
                assert part["warm_up"]["runs"] == 2
                assert part["during"]["seconds"] > 0
            assert cell["summary"]["engine"]["count"] == cell["summary"]["end_to_end"]["count"] == 6
            assert cell["summary"]["first"]["count"] == 2
        assert [cell["accuracy"] for cell in result["cells"]] == [{"accuracy": 0.5}, None]
        assert result["verdict"]["status"] == "INVALID"  # so short a plan is
        assert str(tmp_path) not in json.dumps(result)
        assert results.load(session.path) == json.loads(json.dumps(result))
        assert [path.name for path in session.path.parent.iterdir()] == [session.path.name]  # no journal is left
        assert len(tables.rows(result)) == 2

    def test_a_run_that_began_in_the_same_second_keeps_its_file(self, models, tmp_path, monkeypatch):
        monkeypatch.setattr(suite, "now", lambda: "2026-11-29T12:00:00+00:00")
        session = begun([models["onnx"]], TINY, tmp_path)
        session.path.touch()
        with pytest.raises(FileError, match="began in the same second; start this one again"):
            begun([models["onnx"]], TINY, tmp_path)

    def test_a_broken_file_costs_no_other_cell(self, models, tmp_path):
        damaged = tmp_path / "damaged.onnx"
        damaged.write_bytes(models["onnx"].read_bytes()[:-50])
        (tmp_path / "damaged.onnx.json").write_bytes((models["onnx"].parent / "float32.onnx.json").read_bytes())
        alone = tmp_path / "alone.tflite"
        alone.write_bytes(b"nothing")
        (tmp_path / "folder.onnx").mkdir()
        paths = [damaged, tmp_path / "missing.onnx", tmp_path / "folder.onnx", alone, models["onnx"]]
        cells = suite.run(begun(paths, TINY, tmp_path / "out"))["cells"]
        assert [cell["status"] for cell in cells] == ["failed"] * 4 + ["ok"]
        broken, missing, _, orphan, whole = cells
        assert one_line_about(broken, "SHA-256") and one_line_about(missing, "no such file")
        assert one_line_about(orphan, "no manifest")
        assert missing["size_bytes"] is None and broken["summary"] is None and whole["summary"]["engine"]["count"] == 3
        assert not any(str(tmp_path) in cell["reason"] for cell in cells[:4])

    def test_an_engine_that_is_not_installed_is_unavailable(self, models, tmp_path, monkeypatch):
        (tmp_path / "onnxruntime.py").write_text("raise ImportError('not here')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        (cell,) = suite.run(begun([models["onnx"]], TINY, tmp_path / "out"))["cells"]
        assert cell["status"] == "unavailable"
        assert one_line_about(cell, "pip install onnxruntime")

    def test_a_child_that_is_killed_fails_its_cell_and_is_not_tried_again(self, models, tmp_path):
        python = script(tmp_path, "echo >>$0.started; kill -KILL $$")
        begin = begun([models["onnx"]], TWO_ROUNDS, tmp_path, pythons={"onnxruntime": python})
        (cell,) = suite.run(begin)["cells"]
        assert cell["status"] == "failed" and cell["rounds"] == []
        assert Path(f"{python}.started").read_text() == "\n"
        assert one_line_about(cell, "onnxruntime crashed", "SIGKILL")

    def test_a_failure_keeps_the_rounds_before_it(self, models, tmp_path, monkeypatch):
        real, asked = suite.run_child, []

        def breaks_at_the_end(request, python):
            asked.append(request)
            return real(request, python) if len(asked) < 3 else {"status": "failed", "reason": "it broke"}

        monkeypatch.setattr(suite, "run_child", breaks_at_the_end)
        (cell,) = suite.run(begun([models["onnx"]], TWO_ROUNDS, tmp_path))["cells"]
        assert (cell["status"], cell["reason"], len(cell["rounds"])) == ("partial", "it broke", 1)
        assert cell["summary"]["engine"]["count"] == 3

    def test_another_interpreter_runs_the_engine_it_is_named_for(self, models, tmp_path):
        named = {"onnxruntime": str(tmp_path / "none")}
        cells = suite.run(begun(list(models.values()), TINY, tmp_path, pythons=named))["cells"]
        assert [cell["status"] for cell in cells] == ["failed", "ok"]
        assert one_line_about(cells[0], "did not start")

    def test_a_loaded_machine_is_caught(self, models, tmp_path):
        if not Path("/proc/stat").exists():
            pytest.skip("Linux only")
        plan = Plan("short", 1, 0.4, 0.4, 3, 2, 0, threads=(1,))
        spinner = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        try:
            result = suite.run(begun([models["onnx"]], plan, tmp_path))
        finally:
            spinner.kill()
            spinner.wait()
        (cell,) = result["cells"]
        assert "other load" in {reason["rule"] for reason in cell["verdict"]["reasons"]}
        assert "other load" in {reason["rule"] for reason in result["verdict"]["reasons"]}


def results_digest(path):
    return bench_cells.size_and_sha256(path)[1]


class TestInterruption:
    def stop_at(self, step):
        def progress(done, total, text):
            if done == step:
                raise KeyboardInterrupt

        return progress

    def test_ctrl_c_keeps_what_was_measured_and_resume_measures_the_rest(self, models, tmp_path):
        session = begun(list(models.values()), TWO_ROUNDS, tmp_path)
        result = suite.run(session, self.stop_at(4))
        assert result["interrupted"] and result["after"] and result["verdict"]["reasons"]
        assert sorted(len(cell["rounds"]) for cell in result["cells"]) == [1, 1]
        assert all(one_line_about(cell, "interrupted after 1 of 2 rounds") for cell in result["cells"])
        assert {cell["status"] for cell in result["cells"]} == {"partial"}
        assert results.load(session.path)["interrupted"]
        before = [cell["rounds"][0] for cell in results.load(session.path)["cells"]]

        again = suite.resume(session.journal.path, IMAGES)
        measured = []
        whole = suite.run(again, lambda *call: measured.append(call))
        assert again.path == session.path and not again.journal.path.exists()
        assert not whole["interrupted"] and len(whole["sessions"]) == 2
        assert [cell["status"] for cell in whole["cells"]] == ["ok", "ok"]
        kept = [cell["rounds"][0] for cell in results.load(session.path)["cells"]]
        assert kept == before

    def test_ctrl_c_before_anything_was_measured_leaves_nothing(self, models, tmp_path):
        session = begun([models["onnx"]], TINY, tmp_path)
        with pytest.raises(KeyboardInterrupt):
            suite.run(session, self.stop_at(0))
        assert list(session.path.parent.iterdir()) == []

    def test_a_run_that_was_killed_can_be_resumed_from_its_journal_alone(self, models, tmp_path):
        session = begun([models["onnx"]], TWO_ROUNDS, tmp_path)
        suite.run(session, self.stop_at(2))
        session.path.unlink()
        with open(session.journal.path, "ab") as file:
            file.write(b'{"round":1,"cell":0,"reply":{"stat')  # the line it was writing
        (cell,) = suite.run(suite.resume(session.journal.path, IMAGES))["cells"]
        assert cell["status"] == "ok" and len(cell["rounds"]) == 2

    def test_what_is_no_longer_the_same_is_not_mixed(self, models, tmp_path, monkeypatch):
        own = write_onnx(tmp_path / "own/float32.onnx")
        session = begun([own], TWO_ROUNDS, tmp_path / "out")
        suite.run(session, self.stop_at(2))
        journal = session.journal.path
        with pytest.raises(InputError, match="the set of images has changed"):
            suite.resume(journal, IMAGES + 1)
        with monkeypatch.context() as patch:
            described = session.result["machine"]
            patch.setattr(suite.environment, "describe", lambda: {**described, "cpu": "another"})
            with pytest.raises(InputError, match=r"the machine .cpu: "):
                suite.resume(journal, IMAGES)
        own.write_bytes(own.read_bytes() + b"\0")
        with pytest.raises(InputError, match=r"own/float32\.onnx has changed"):
            suite.resume(journal, IMAGES)
        journal.write_text('{"result": {}}\n')
        with pytest.raises(FileError, match="not the file of an interrupted run"):
            suite.resume(journal, IMAGES)

    def test_a_full_disk_ends_the_run_and_loses_nothing(self, models, tmp_path):
        if not Path("/dev/full").exists():
            pytest.skip("Linux only")
        session = begun([models["onnx"]], TWO_ROUNDS, tmp_path)
        path, kept = session.journal.path, tmp_path / "kept"

        def fill_up(done, total, text):
            if done == 2:
                path.rename(kept)
                path.symlink_to("/dev/full")

        with pytest.raises(FileError, match=r"No space left on device.*the 2 measurements made before.*--resume"):
            suite.run(session, fill_up)
        path.unlink()
        kept.rename(path)
        (cell,) = suite.run(suite.resume(path, IMAGES))["cells"]
        assert cell["status"] == "ok"

    def test_a_disk_that_is_full_at_the_end_keeps_the_journal(self, models, tmp_path):
        session = begun([models["onnx"]], TINY, tmp_path)
        session.path.mkdir()  # a file cannot replace it
        with pytest.raises(FileError, match=r"cannot be written.*all measurements are in .*--resume"):
            suite.run(session)
        session.path.rmdir()
        result = suite.run(suite.resume(session.journal.path, IMAGES))
        assert result["cells"][0]["status"] == "ok" and results.load(session.path)

    @pytest.mark.slow
    @pytest.mark.serial
    def test_a_real_ctrl_c_keeps_what_was_measured(self, models, tmp_path):
        code = (
            "import sys, numpy as np\n"
            "from pathlib import Path\n"
            "from fmnist_edge.benchmark import cells, suite\n"
            "from fmnist_edge.benchmark.plan import Plan\n"
            "plan = Plan('long', 1, 60, 60, 3, 2, 0)\n"
            "images = np.zeros((4, 28, 28), np.uint8)\n"
            "made = cells.cells_for([Path(sys.argv[1])], (1,), ['onnxruntime'])\n"
            "session = suite.begin(made, images, plan, Path(sys.argv[2]), calibrated=False)\n"
            "def progress(done, total, text):\n"
            "    if done == 1: print('measuring', flush=True)\n"
            "print(suite.run(session, progress)['interrupted'], flush=True)\n"
        )
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(models["onnx"]), str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with child:
            assert child.stdout.readline() == "measuring\n"
            child.send_signal(signal.SIGINT)
            assert child.stdout.read() == "True\n"
        (result, journal) = sorted(tmp_path.glob("*/*"))
        assert results.load(result)["cells"][0]["memory"] and journal.name.endswith(".partial.jsonl")


def test_throttling_of_before_a_reboot_excuses_none_after_it():
    """Bits 16 to 19 are "since boot": gone after a reboot, and new when they come again."""
    before, lines = {"throttled": 0x50000}, [{"during": {"throttled": 0x50000}}, {"during": {"throttled": None}}]
    suite.remove_stale_throttling(before, lines, 0x50000)
    assert before["throttled"] == 0x50000 == lines[0]["during"]["throttled"]
    suite.remove_stale_throttling(before, lines, 0x10000)
    assert before["throttled"] == 0x10000 == lines[0]["during"]["throttled"]
    suite.remove_stale_throttling(before, lines, None)
    assert before["throttled"] == 0x10000
    assert validity.new_throttling(before["throttled"], [0x10000, 0x50000]) == 0x40000


class TestChild:
    @pytest.mark.parametrize(
        "code, words",
        [
            ("exec sleep 60", ["not done after 1 s"]),
            ("echo chatter", ["code 0"]),
            ("echo lost its way >&2; exit 1", ["code 1", "lost its way"]),
        ],
    )
    def test_one_that_does_not_answer_is_a_one_line_failure(self, models, tmp_path, code, words):
        reply = process.run_child(request_for(models["onnx"], tmp_path=tmp_path), script(tmp_path, code), timeout_s=1)
        assert reply["status"] == "failed" and one_line_about(reply, *words)

    def test_one_that_does_not_start_is_a_one_line_failure(self, models, tmp_path):
        reply = process.run_child(request_for(models["onnx"], tmp_path=tmp_path), str(tmp_path / "none"))
        assert reply["status"] == "failed" and one_line_about(reply, "did not start")

    def test_it_may_take_as_long_as_its_plan_lets_a_series_take(self, models, tmp_path):
        short, long = (request_for(models["onnx"], tmp_path=tmp_path, seconds=seconds) for seconds in (0, 120))
        assert process.timeout_for(long) - process.timeout_for(short) >= 120

    def test_what_an_engine_prints_does_not_spoil_the_reply(self, models, tmp_path, monkeypatch):
        (tmp_path / "sitecustomize.py").write_text("import os; os.write(1, b'hello'); print('hi')")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        reply = process.run_child(request_for(models["onnx"], tmp_path=tmp_path))
        assert reply["status"] == "measured"

    @pytest.mark.parametrize("array", [np.zeros((0, 1, 1), np.uint8), np.zeros((2, 32, 32), np.uint8)])
    def test_without_images_of_its_shape_an_artifact_is_timed_on_its_golden_ones(self, tmp_path, array):
        path = ROOT / "exported/compact_cnn/int8.tflite"
        request = request_for(path, "litert", tmp_path, array=array)
        assert loop.measure(request)["images"] == "golden"
        found, _ = own_images(path, Manifest.read(path).contract)
        assert np.array_equal(found, Manifest.read(path).golden_vectors().images)

    def test_a_model_of_another_input_shape_is_timed_on_noise_and_says_so(self, models, tmp_path):
        wide = request_for(models["onnx"], tmp_path=tmp_path, array=np.zeros((2, 32, 32), np.uint8))
        assert loop.measure(wide)["images"] == "noise"

    def test_a_fixed_batch_that_is_not_the_one_asked_is_refused_and_the_one_asked_runs(self, tmp_path):
        path = write_onnx(tmp_path / "batch3.onnx", batch=3)
        refused = process.run_child(request_for(path, tmp_path=tmp_path))
        assert refused["status"] == "failed" and one_line_about(refused, "its batch size is 3", "--batch 1")
        assert str(tmp_path) not in refused["reason"]
        assert loop.measure(request_for(path, tmp_path=tmp_path, batch=3))["status"] == "measured"

    def test_the_memory_pass_times_nothing(self, models, tmp_path):
        reply = process.run_child(request_for(models["onnx"], tmp_path=tmp_path, memory=True))
        assert (
            set(reply) == {"status", "memory", "complexity", "placement", "parity"}
            and reply["complexity"]["macs"] == 7840
        )
        if Path("/proc/self/status").exists():
            assert reply["memory"]["peak_rss_bytes"] > reply["memory"]["baseline_rss_bytes"] > 10_000_000


@pytest.mark.slow
class TestRoundsUntilKnown:
    PLAN = Plan("known", 5, 0, 0, 3, 2, 0, threads=(1,), precision=0.02, budget_seconds=60)

    @pytest.fixture
    def run(self, models, tmp_path, monkeypatch):
        """Run the plan. The .onnx cell's rounds are all alike, those of the .tflite cell take 30 µs more each."""
        whole = process.run_child

        def child(request, python):
            reply = whole(request, python)
            seen.append(request.engine)
            if reply["status"] == "measured" and not request.memory:
                us = 100 + 30 * (seen.count("litert") if request.engine == "litert" else 0)
                reply["engine"]["windows"] = [list(encode([us * 1000]))]
                reply["engine"]["noise"] = None
            return reply

        def during(self, *error):
            exit_monitor(self, *error)
            self.during["seconds"] = 6.0

        seen, exit_monitor = [], suite.Monitor.__exit__
        monkeypatch.setattr(suite, "run_child", child)
        monkeypatch.setattr(suite.Monitor, "__exit__", during)
        return lambda: begun([models["onnx"], models["tflite"]], self.PLAN, tmp_path)

    def test_a_cell_is_measured_until_its_p50_is_known_or_its_budget_is_used(self, run):
        result = suite.run(run())
        assert {cell["engine"]: len(cell["rounds"]) for cell in result["cells"]} == {"onnxruntime": 5, "litert": 10}
        assert all(cell["status"] == "ok" for cell in result["cells"])

    @pytest.mark.slow
    def test_an_interrupted_run_goes_on_as_it_would_have(self, run):
        session, asked = run(), []

        def interrupt(done, total, text):
            asked.append(text)
            if len(asked) == 15:
                raise KeyboardInterrupt

        assert suite.run(session, interrupt)["interrupted"]
        again = suite.resume(session.journal.path, IMAGES)
        result = suite.run(again)
        assert {cell["engine"]: len(cell["rounds"]) for cell in result["cells"]} == {"onnxruntime": 5, "litert": 10}


class TestLoop:
    def test_it_cycles_its_items_and_keeps_one_sample_per_call(self):
        called = []
        samples, ends = loop.calls(called.append, "abc", seconds=0, least=7)
        assert len(samples) == 7 and ends == []
        assert "".join(called) == "abcabca"

    def test_it_lasts_its_seconds_and_no_longer_than_the_limit(self, monkeypatch):
        clock = iter(range(0, 10**13, 400_000_000))  # 0.4 s a look
        monkeypatch.setattr(loop, "perf_counter_ns", lambda: next(clock))
        samples, ends = loop.calls(id, [0], seconds=2, least=1)
        assert len(samples) == 3  # ends seen at 0.8, 1.6 and 2.4 s
        assert ends == [1, 2]  # each call is longer than a window
        assert len(loop.calls(id, [0], seconds=0, least=10**6)[0]) < 50

    def test_a_call_over_several_windows_ends_one(self, monkeypatch):
        clock = iter(range(0, 10**13, 1_700_000_000))  # 1.7 s a look
        monkeypatch.setattr(loop, "perf_counter_ns", lambda: next(clock))
        samples, ends = loop.calls(id, [0], seconds=12, least=1)
        assert ends == list(range(1, len(samples)))

    def test_a_series_keeps_every_sample_and_counts_its_own_context_switches(self, monkeypatch):
        monkeypatch.setattr(loop, "WINDOW_S", 0.001)
        found = loop.series(lambda item: os.sched_yield(), [0], seconds=0.02, least=5)
        assert len(found["windows"]) > 1 and found["elapsed_ns"] >= 20_000_000
        assert len(found["noise"]) == len(found["windows"])
        timed = sum(int(np.dot(*decode(window))) for window in found["windows"])
        assert timed <= sum(elapsed for elapsed, _, _ in found["noise"]) <= found["elapsed_ns"]
        assert sum(switches for _, switches, _ in found["noise"]) <= found["involuntary_switches"] + 1
        assert found["voluntary_switches"] + found["involuntary_switches"] >= 0 and found["cpu_ns"] >= 0
