"""The engine `web`: what it answers, and which folders it refuses."""

import numpy as np
import pytest
from support.engines import refuses_other_inputs
from support.web_models import needs_node, needs_wasm_compiler, tflite_of

from fmnist_edge.artifact import collect
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.engines import web

pytestmark = needs_wasm_compiler()
SOME = "compact_cnn"
# A module whose function `height` is an endless loop.
ENDLESS = bytes.fromhex(
    "0061736d010000000105016000017f0304030000000503010001072d04066d656d6f72790200066865696768740000077765696768747300"
    "010d776569676874735f627974657300020a1503090003400c000b41000b040041000b040041000b"
)
IMAGES = np.random.default_rng(2).integers(0, 256, (5, 28, 28, 1), np.uint8)


@needs_node()
class TestAnswers:
    def test_scores_and_golden_vectors_are_the_tflite_files(self, compact_web):
        assert engines_for(compact_web.path) == ("web",)
        with Classifier.load(compact_web.path, verify=True) as found:
            with Classifier.load(tflite_of(SOME), engine="numpy") as expected:
                assert np.array_equal(found.scores(IMAGES), expected.scores(IMAGES))
            assert found.engine.version.startswith("Node ") and found.engine.input.shape == (1, 28, 28, 1)

    def test_in_a_child_of_limited_memory(self, compact_web):
        """V8 reserves gigabytes of addresses, unless it is told not to."""
        Classifier.load(compact_web.path, try_first=True).close()

    def test_an_old_node_without_that_option(self, compact_web, monkeypatch):
        monkeypatch.setattr(web, "OPTIONS", (("--no-such-option",), ()))
        with Classifier.load(compact_web.path) as found:
            assert found.scores(IMAGES[:1]).shape == (1, 10)

    def test_an_input_of_another_shape(self, compact_web):
        with Classifier.load(compact_web.path) as classify:
            refuses_other_inputs(classify)

    def test_no_process_is_left(self, compact_web):
        engine = ENGINES["web"].load(compact_web.path)
        process = engine._process
        engine.close()
        engine.close()
        assert process.poll() is not None


@needs_node()
class TestRefusals:
    @pytest.mark.parametrize(("change", "message"), [
        (lambda path: (path / "page.js").write_text("x"), "page.js was altered"),
        (lambda path: (path / "weights.bin").unlink(), "weights.bin is missing"),
        (lambda path: (path / "x.js").write_text(""), "x.js was added"),
    ])  # fmt: skip
    def test_an_altered_folder(self, altered_web, change, message):
        change(altered_web)
        with pytest.raises(ArtifactError, match=message):
            Classifier.load(altered_web)

    @pytest.mark.parametrize(("name", "change", "message"), [
        ("model.simd.wasm", lambda content: content[:-50], "Node refuses it .CompileError"),
        ("model.simd.wasm", lambda _: b"", "Node refuses it .CompileError"),
        ("weights.bin", lambda content: content[1:], "weights.bin has"),
        ("weights.bin", None, "has no weights.bin"),
    ])  # fmt: skip
    def test_files_that_no_manifest_vouches_for(self, altered_web, name, change, message):
        path = altered_web / name
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))
        with pytest.raises(ArtifactError, match=message):
            ENGINES["web"].load(altered_web)

    def test_a_module_that_never_ends(self, altered_web, monkeypatch):
        (altered_web / "model.simd.wasm").write_bytes(ENDLESS)
        (altered_web / "weights.bin").write_bytes(b"")
        monkeypatch.setattr(web, "TIMEOUT_S", 2)
        with pytest.raises(ArtifactError, match="Node gave no answer within 2 s"):
            ENGINES["web"].load(altered_web)

    def test_without_node(self, compact_web, monkeypatch):
        monkeypatch.setattr(web.shutil, "which", lambda _: None)
        with pytest.raises(UnavailableError, match="no Node to run WebAssembly; run: apt-get install nodejs"):
            Classifier.load(compact_web.path)

    def test_a_node_that_is_another_program(self, compact_web, monkeypatch):
        monkeypatch.setattr(web.shutil, "which", lambda _: "/bin/echo")
        with pytest.raises(UnavailableError, match="install Node 18 or later"):
            ENGINES["web"].load(compact_web.path)


def test_collected_as_one_artifact(compact_web):
    assert [item.path for item in collect([compact_web.path.parent.parent])] == [compact_web.path]
    assert compact_web.format == "web" and compact_web.size_bytes > 100_000
