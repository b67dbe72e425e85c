"""The parts of `bench --target browser` that need no browser: its table, its server, its options."""

import json
import urllib.error
import urllib.request

import pytest
from support.bench_results import cell, result, round_of, steady
from support.report_results import read

from fmnist_edge.benchmark import browser_table, monitor, outcome, results, summary, upgrades
from fmnist_edge.benchmark.browser import calls_per_sample
from fmnist_edge.benchmark.cells import cells_for, engines_timed_on
from fmnist_edge.cli import main
from fmnist_edge.errors import InputError, UnavailableError
from fmnist_edge.report import markdown
from fmnist_edge.runtime.engine_catalog import BROWSER, ENGINES
from fmnist_edge.runtime.engines.browser import npm_folder
from fmnist_edge.runtime.engines.chromium import VARIABLE, find_browser
from fmnist_edge.runtime.engines.page_server import served

FACTS = {"name": "Chrome", "version": "156.0.1.2", "clock_ns": 5000, "isolated": True, "bytes_loaded": 1_294_029}


def in_browser(us, engine, each=1, **changes):
    """A cell in a browser whose p50 is `us`, or a little more in each round after the first."""
    rounds = steady(us)
    for part in rounds:
        part["first_answer_ns"] = (300 + part["round"]) * 1_000_000
        part["engine"]["calls_per_sample"] = each
    return cell(target="browser", engine=engine, rounds=rounds, **{"browser": FACTS, "memory": None, **changes})


class TestTable:
    def test_ours_is_first_and_the_ratio_is_to_each_peer(self):
        peer = in_browser(400, "onnxruntime-web", browser={**FACTS, "bytes_loaded": 19_100_000})
        ours = in_browser(100, "web-browser", artifact="linear/int8_only.web")
        rows = browser_table.rows(result(peer, ours, cell(model="other")))
        assert [row[:4] for row in rows] == [
            ["linear/int8_only.web", "web-browser", "1,294", "302"],
            ["linear/float32.onnx", "onnxruntime-web", "19,100", "302"],
        ]
        assert [row[-1] for row in rows] == ["–", "0.250 [0.250, 0.250]"]

    def test_a_ratio_that_is_not_known_well_says_so(self):
        peer = in_browser(400, "onnxruntime-web")
        for part, us in zip(peer["rounds"], (300, 350, 400, 450, 500), strict=True):
            part["engine"] = round_of(0, [[us * 1000]])["engine"]
        rows = browser_table.rows(result(peer, in_browser(100, "web-browser")))
        assert rows[1][-1].endswith("INVALID")

    def test_another_model_has_no_ratio(self):
        rows = browser_table.rows(result(in_browser(9, "web-browser"), in_browser(9, "litert-web", model="other")))
        assert {row[-1] for row in rows} == {"–"}

    def test_the_notes_name_the_clock_and_the_batches(self):
        made = result(in_browser(100, "web-browser", each=7), in_browser(900, "onnxruntime-web"))
        text = outcome.text(made)
        assert "note: Chrome 156.0.1.2, headless; its clock has steps of 5 µs\n" in text
        assert "float32.onnx on web-browser: a sample is the mean of 7 calls" in text
        assert "on onnxruntime-web: a sample is" not in text

    def test_a_coarse_clock_says_why(self):
        coarse = {**FACTS, "clock_ns": 100_000, "isolated": False}
        notes = browser_table.notes(result(in_browser(9, "web-browser", browser=coarse)))
        assert notes == [
            "note: Chrome 156.0.1.2, headless; its clock has steps of 100 µs, because the page was not isolated"
        ]

    def test_the_report_has_the_same_table(self, tmp_path):
        peer = in_browser(400, "onnxruntime-web", browser={**FACTS, "bytes_loaded": 19_100_000})
        found = read(tmp_path, result(peer, in_browser(100, "web-browser", artifact="linear/int8_only.web"), cell()))
        lines = markdown.BLOCKS["browser"](found, lambda run: "a-file").splitlines()
        cells = [[part.strip() for part in line.split("|")[1:-1]] for line in lines[2:4]]
        assert cells[0][:6] == ["linear", "int8_only.web", "web-browser", "1,294", "302", "100.1"]
        assert cells[1][:5] == ["linear", "float32.onnx", "onnxruntime-web", "19,100", "302"]
        assert (cells[0][-1], cells[1][-1]) == ("–", "0.250 \\[0.250, 0.250\\]")
        assert lines[4] == "" and "a-file" in lines[5]

    def test_other_runs_have_neither(self):
        made = result()
        assert browser_table.rows(made) == [] == browser_table.notes(made)
        assert "first answer" not in outcome.text(made)


class TestResults:
    def test_a_result_of_schema_4_has_no_browser(self, tmp_path):
        made = result()
        expected = json.loads(json.dumps(made))
        made["schema"] = 4
        del made["cells"][0]["browser"]
        for part in made["cells"][0]["rounds"]:
            del part["first_answer_ns"]
            for name in ("engine", "end_to_end"):
                del part[name]["calls_per_sample"]
        path = tmp_path / "old.json"
        path.write_text(json.dumps(made))
        assert results.load(path) == expected

    def test_damage_is_left_to_the_reader(self):
        damaged = {"schema": 4, "cells": [None, {"rounds": [None, {"engine": 3}]}]}
        upgrades.upgrade(damaged)
        assert damaged["schema"] == 5

    def test_a_p50_of_batched_samples_is_of_one_call(self):
        assert summary.summarize(in_browser(100, "web-browser", each=9))["engine"]["p50"] == pytest.approx(100, abs=1)


@pytest.mark.parametrize(
    ("call_ns", "clock_ns", "each"), [(500_000, 5_000, 1), (499_999, 5_000, 2), (1, 100_000, 10**7)]
)
def test_a_sample_is_a_hundred_steps_of_the_clock(call_ns, clock_ns, each):
    assert calls_per_sample(call_ns, clock_ns) == each


def test_cpu_time_of_the_browser_is_ours():
    during = {"seconds": 4.0, "own_cpu_seconds": 1.0, "other_cores": 0.75}
    assert monitor.with_own_cpu(during, 3.0) == {"seconds": 4.0, "own_cpu_seconds": 4.0, "other_cores": 0.0}
    assert monitor.with_own_cpu(during, 1.0)["other_cores"] == 0.5
    unknown = {"seconds": 4.0, "own_cpu_seconds": 1.0, "other_cores": None}
    assert monitor.with_own_cpu(unknown, 1.0) == unknown


class TestServer:
    @pytest.fixture
    def server(self, tmp_path):
        (tmp_path / "secret").write_text("x")
        folder = tmp_path / "served"
        folder.mkdir()
        (folder / "a.js").write_text('import { b } from "@scope/name";')
        (folder / "model.wasm").write_bytes(b"12345")
        with served({"/artifact/": folder}, {"@scope/name": "/npm/name.js"}) as found:
            yield found

    def get(self, server, path):
        return urllib.request.urlopen(server.url.rstrip("/") + path, timeout=10)

    def test_the_page_is_isolated_and_may_load_nothing_else(self, server):
        with self.get(server, "/artifact/model.wasm") as answer:
            assert answer.read() == b"12345"
            headers = dict(answer.headers)
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        assert headers["Content-Type"] == "application/wasm" and headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'self' blob: data:;")

    def test_names_of_packages_become_paths(self, server):
        with self.get(server, "/artifact/a.js") as answer:
            assert answer.read() == b'import { b } from "/npm/name.js";'

    def test_bytes_are_counted_by_path(self, server):
        server.published["/data/images"] = b"123"
        for path in ("/artifact/model.wasm", "/artifact/model.wasm", "/data/images"):
            self.get(server, path).close()
        assert server.bytes_below("/artifact/", "/npm/") == 10 and server.bytes_below("/data/") == 3

    @pytest.mark.parametrize("path", ["/artifact/../secret", "/artifact/%2e%2e/secret", "/secret", "/artifact/", "/"])
    def test_nothing_else_is_served(self, server, path):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            self.get(server, path)


class TestWhatIsThere:
    def test_npm_packages_in_other_versions_are_named(self, tmp_path):
        package = tmp_path / "node_modules/@litertjs/core"
        package.mkdir(parents=True)
        with pytest.raises(
            UnavailableError, match=r"^@litertjs/core is not installed .* --prefix DIR @litertjs/core@2"
        ):
            npm_folder({"@litertjs/core": "2.0"}, tmp_path)
        (package / "package.json").write_text('{"version": "1.9"}')
        with pytest.raises(UnavailableError, match=r"^@litertjs/core is 1\.9, not 2\.0 in the npm folder"):
            npm_folder({"@litertjs/core": "2.0"}, tmp_path)
        assert npm_folder({"@litertjs/core": "1.9"}, tmp_path) == tmp_path

    def test_no_browser_on_path(self, monkeypatch):
        monkeypatch.setenv("PATH", "")
        monkeypatch.delenv(VARIABLE, raising=False)
        with pytest.raises(UnavailableError, match="no Chromium or Chrome on PATH; run: apt-get install chromium"):
            find_browser()


class TestOptions:
    def test_the_engines_of_a_browser(self):
        named = {"web-browser", "onnxruntime-web", "litert-web"}
        assert set(engines_timed_on("browser")) == named == set(engines_timed_on("browser", ["all"]))
        assert all(ENGINES[name].target == BROWSER for name in named)
        with pytest.raises(InputError, match="onnxruntime does not run in a browser; choose from: web-browser"):
            engines_timed_on("browser", ["onnxruntime"])

    def test_one_thread_whatever_the_plan_says(self, tmp_path):
        path = tmp_path / "a.onnx"
        path.write_bytes(b"")
        made = cells_for([path], (1, 4), ["onnxruntime-web", "onnxruntime"])
        found = {(item.engine, item.threads) for item in made}
        assert found == {("onnxruntime", 1), ("onnxruntime", 4), ("onnxruntime-web", 1)}

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["--npm", "x"], "--npm: cannot be used without --target browser"),
            (["--browser", "x", "--target", "cpu"], "--browser: cannot be used without --target browser"),
            (["--target", "browser", "--threads", "4"], "--threads 4: in a browser a model runs in one thread"),
            (["--target", "browser", "--batch", "8"], "--batch 8: in a browser a model runs in one thread, one image"),
        ],
    )
    def test_what_a_browser_does_not_have_is_refused(self, capsys, arguments, said):
        assert main(["bench", *arguments]) == 2
        assert said in capsys.readouterr().err
