"""`bench --target browser` on real models in a real Chromium; what needs no browser is in test_browser_parts."""

import json
import shutil
import sys

import numpy as np
import pytest
from support import ROOT
from support.bench_models import write_onnx, write_tflite
from support.browser import needs_browser
from support.npm import NPM, needs_packages_of
from support.plans import tiny_plan
from support.web_models import needs_wasm_compiler, web_folder

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.series import count_of
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError
from fmnist_edge.report import runs
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.engines.browser import NPM_VARIABLE, versions_of
from fmnist_edge.runtime.manifest import Manifest, manifest_path

pytestmark = [pytest.mark.slow, needs_browser()]


@pytest.fixture(scope="module")
def web(tmp_path_factory):
    return web_folder("compact_cnn", tmp_path_factory.mktemp("web")).path


@pytest.fixture(autouse=True)
def quick_start(monkeypatch):
    monkeypatch.setattr("fmnist_edge.benchmark.suite.IDLE_S", 0.01)
    monkeypatch.setattr("fmnist_edge.benchmark.suite.calibrate", lambda threads: None)


def bench(tmp_path, *arguments, code=0, **plan):
    """The result of a run in a browser, by the tiny plan."""
    (tmp_path / "tiny.toml").write_text(tiny_plan(**plan))
    command = ["bench", *map(str, arguments), "--target", "browser", "--plan", str(tmp_path / "tiny.toml")]
    assert main([*command, "--out", str(tmp_path / "results")]) == code
    return results.load(next((tmp_path / "results").rglob("*.json.gz")))


def altered(path, out, change):
    """A copy of an artifact, whose manifest `change` alters."""
    copy = out / path.parent.name / path.name
    copy.parent.mkdir(parents=True)
    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
    content = json.loads(manifest_path(path).read_text())
    change(content)
    text = json.dumps(content)
    manifest_path(copy).write_text(text)
    if copy.is_dir():
        (copy / "manifest.json").write_text(text)
    return copy


@needs_wasm_compiler()
class TestWebForm:
    def test_a_run(self, web, tmp_path, capsys):
        result = bench(tmp_path, web, rounds=2, min_queries=30)
        (cell,) = result["cells"]
        assert (cell["status"], cell["engine"], cell["target"], cell["threads"]) == ("ok", "web-browser", "browser", 1)
        browser = cell["browser"]
        assert browser["name"] and browser["version"].count(".") == 3 and browser["version"] in cell["engine_version"]
        assert browser["isolated"] and 0 < browser["clock_ns"] <= 10_000
        # Its modules, its manifest, one of the two WebAssembly files and the weights; not the page, not the photos.
        names = {"classifier.js", "errors.js", "folder.js", "answers.js", "images.js", "manifest.json", "weights.bin"}
        sizes = {path.name: path.stat().st_size for path in web.iterdir()}
        assert browser["bytes_loaded"] == sum(sizes[name] for name in (*names, "model.simd.wasm"))
        assert cell["parity"]["passed"] and cell["parity"]["reference"] == "the golden vectors"
        assert len(cell["rounds"]) == 2
        for part in cell["rounds"]:
            assert part["first_answer_ns"] > part["cold_load_ns"] > 0
            for name in ("engine", "end_to_end"):
                assert count_of(part[name]["windows"]) >= 15
                assert len(part[name]["noise"]) == len(part[name]["windows"])
                assert part[name]["calls_per_sample"] >= 1
        printed = capsys.readouterr().out
        assert "first answer ms" in printed and f"{browser['bytes_loaded'] / 1000:,.0f}" in printed
        (row,) = runs.read([tmp_path / "results"])[0].rows
        assert row.loaded_bytes == browser["bytes_loaded"] and row.first_answer_us > 0 and row.target == "browser"

    def test_other_answers_are_not_timed(self, web, tmp_path, capsys):
        def other_scores(content):
            golden = Manifest.read(web).golden_vectors()
            content["golden"] = type(golden)(golden.images, golden.scores[::-1], 0.5, "x").as_dict()

        result = bench(tmp_path, altered(web, tmp_path / "other", other_scores), code=1)
        (cell,) = result["cells"]
        assert cell["status"] == "failed" and not cell["rounds"]
        assert "differ from those of the golden vectors" in cell["reason"] and "allowed are 0.5" in cell["reason"]

    def test_the_engine_answers_as_in_node(self, web):
        images = Manifest.read(web).golden_vectors().images
        with Classifier.load(web, engine="web-browser") as in_browser, Classifier.load(web, engine="web") as in_node:
            assert np.array_equal(in_browser.scores(images), in_node.scores(images))
            assert in_browser.self_test().passed

    def test_no_request_leaves_the_machine(self, web):
        with Classifier.load(web, engine="web-browser") as classifier:
            page = classifier.engine._page
            for url in ("http://example.com/", classifier.engine.server.url.replace("127.0.0.1", "localhost")):
                asked = f"fetch({json.dumps(url)}, {{mode: 'no-cors'}}).then(() => 'sent', () => 'refused')"
                assert page.run(asked) == "refused"

    def test_a_page_that_crashes_is_one_line(self, web):
        with Classifier.load(web, engine="web-browser") as classifier:
            page = classifier.engine._page
            page._connection.call("Browser.close")
            with pytest.raises(ArtifactError, match=r"int8_only\.web: in the browser: the browser (ended|refuses)"):
                classifier.scores(np.zeros((1, 28, 28), np.uint8))

    def test_a_damaged_module_is_one_line(self, web, tmp_path):
        copy = altered(web, tmp_path / "other", lambda content: None)
        (copy / "classifier.js").write_text("export const Classifier = 1;")
        result = bench(tmp_path, copy, code=1)
        assert result["cells"][0]["status"] == "failed"


class TestWhatIsMissing:
    def test_a_wrong_browser(self, tmp_path):
        path = with_specs(write_onnx(tmp_path / "linear/float32.onnx"))
        command = ("--npm", fake_npm(tmp_path), "--browser", tmp_path / "none")
        (cell,) = bench(tmp_path, path, *command, code=3)["cells"]
        assert cell["status"] == "unavailable"
        assert "no such browser; run: apt-get install chromium, or name one: --browser PATH" in cell["reason"]

    def test_a_program_that_is_no_browser(self, tmp_path):
        path = with_specs(write_onnx(tmp_path / "linear/float32.onnx"))
        (cell,) = bench(tmp_path, path, "--npm", fake_npm(tmp_path), "--browser", sys.executable, code=3)["cells"]
        assert cell["status"] == "unavailable" and "did not start as a headless browser" in cell["reason"]

    def test_no_npm_packages(self, tmp_path):
        path = with_specs(write_onnx(tmp_path / "linear/float32.onnx"))
        (cell,) = bench(tmp_path, path, "--npm", tmp_path, code=3)["cells"]
        assert cell["status"] == "unavailable"
        assert "run: npm install --prefix DIR onnxruntime-web@" in cell["reason"] and "--npm DIR" in cell["reason"]


def specs():
    tensor = {"scale": None, "zero_point": None, "dtype": "float32"}
    return {
        "inputs": [{"name": "x", "shape": [1, 28, 28, 1], **tensor}],
        "outputs": [{"name": "y", "shape": [1, 10], **tensor}],
    }


def with_specs(path):
    content = {**json.loads(manifest_path(path).read_text()), **specs()}
    manifest_path(path).write_text(json.dumps(content))
    return path


def fake_npm(folder):
    for name, version in versions_of(ENGINES["onnxruntime-web"].settings["npm"]).items():
        package = folder / "npm/node_modules" / name
        package.mkdir(parents=True)
        (package / "package.json").write_text(json.dumps({"version": version}))
    return folder / "npm"


@pytest.mark.parametrize(
    ("engine", "write", "suffix"),
    [
        pytest.param("onnxruntime-web", write_onnx, "onnx", marks=needs_packages_of("onnxruntime-web")),
        pytest.param("litert-web", write_tflite, "tflite", marks=needs_packages_of("litert-web")),
    ],
)
class TestPeers:
    def test_a_run(self, engine, write, suffix, tmp_path):
        path = with_specs(write(tmp_path / f"linear/float32.{suffix}"))
        (cell,) = bench(tmp_path, path, "--npm", NPM)["cells"]
        assert (cell["status"], cell["engine"]) == ("ok", engine)
        assert cell["parity"]["passed"] and cell["parity"]["images"] > 1
        assert cell["browser"]["bytes_loaded"] > 5_000_000
        assert cell["complexity"]["macs"] == 7840

    def test_the_same_scores_as_on_the_cpu(self, engine, write, suffix, tmp_path, monkeypatch):
        monkeypatch.setenv(NPM_VARIABLE, str(NPM))
        path = with_specs(write(tmp_path / f"linear/float32.{suffix}"))
        images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
        with Classifier.load(path, engine=engine) as peer, Classifier.load(path) as ours:
            expected = ours.scores(images)
            assert np.abs(peer.scores(images) - expected).max() < 1e-4
            # What is timed end to end makes the same tensor of an image as Python does.
            peer.engine.publish(images=images)
            label = peer.engine._page.run("ask('label', {url: '/data/images'})")
            assert label == expected.argmax(axis=1).tolist()


@needs_packages_of("litert-web")
def test_litert_has_no_int8_tensors(tmp_path):
    path = ROOT / "exported/compact_cnn/int8.tflite"
    (cell,) = bench(tmp_path, path, "--npm", NPM, code=3)["cells"]
    assert cell["status"] == "unavailable" and "LiteRT.js has no int8 tensors" in cell["reason"]
