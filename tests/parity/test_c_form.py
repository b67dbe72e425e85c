"""The C form on emulated Arm cores and as WebAssembly: bits, sizes, and errors."""

import hashlib
import json
import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import needs_c_compiler
from support.c_models import generated, numpy_answers
from support.tflite_models import SHAPE, converted, images

from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.exporters.c.program import AVX2
from fmnist_edge.parity.c_form import run as elsewhere
from fmnist_edge.parity.c_form.scores import scores_on
from fmnist_edge.parity.c_form.targets import TARGETS
from fmnist_edge.runtime import Contract, Preprocessing
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.folder import sha256_of_files
from fmnist_edge.runtime.manifest import Manifest

CONTRACT = Contract(SHAPE, "logits", tuple(f"class {number}" for number in range(7)), Preprocessing(6 / 255, 3.0))
OPS = ("branches", "windows", "activations")
FIRMWARES = [name for name, target in TARGETS.items() if target.is_firmware]


def need(target):
    if not (any(map(shutil.which, target.compilers)) and shutil.which(target.command[0])):
        pytest.skip(f"no {target.compilers[0]} or {target.command[0]}; run: apt-get install {target.packages}")


@pytest.fixture(scope="module")
def op_models(tmp_path_factory):
    """Model of many ops -> (its .tflite file, its files of C, 24 inputs, the numpy engine's answers)."""
    found = {}
    for name in OPS:
        folder = tmp_path_factory.mktemp(name)
        path = folder / "net.tflite"
        path.write_bytes(converted(name, "int8_only"))
        pixels = np.random.default_rng(3).integers(0, 256, (1, *SHAPE), np.uint8)
        files = generated(path.read_bytes(), folder / "c", CONTRACT, pixels).files()
        batch = ENGINES["numpy"].load(path).input.quantize(images(24))
        content = {file: text.encode() for file, text in files.items()}
        found[name] = path, content, batch, numpy_answers(path, batch)
    return found


@pytest.fixture(scope="module")
def shipped(tmp_path_factory):
    """Name of a shipped model -> (its CModel, its files of C)."""

    def made(name):
        path = ROOT / f"exported/{name}/int8.tflite"
        manifest = Manifest.read(path)
        folder = tmp_path_factory.mktemp(name)
        model = generated(path.read_bytes(), folder, manifest.contract, manifest.golden_vectors().images[:1])
        return model, {file: text.encode() for file, text in model.files().items()}

    return made


QUICK = ("cortex-a76", "cortex-m4", "wasm")


class TestBits:
    @pytest.mark.parametrize("name", [OPS[0], *(pytest.param(name, marks=pytest.mark.slow) for name in OPS[1:])])
    @pytest.mark.parametrize(
        "target", [pytest.param(it, marks=[] if it in QUICK else [pytest.mark.slow]) for it in TARGETS]
    )
    def test_every_op_on_every_target(self, op_models, target, name):
        need(TARGETS[target])
        _, files, batch, expected = op_models[name]
        answers = elsewhere.run(TARGETS[target], files, "net", batch, 7)
        assert answers.back_end == TARGETS[target].back_end
        assert np.array_equal(answers.scores, expected)
        assert len(np.unique(expected)) > 20

    @pytest.mark.slow
    @pytest.mark.parametrize("name", OPS)
    @pytest.mark.parametrize("target", ["cortex-m4", "wasm"])
    @pytest.mark.parametrize("options", [("-O0",), ("-O2",), ("-O3",), ("-Os",), ("-O1", "-DFE_PORTABLE")])
    def test_every_level_gives_the_same_bits(self, op_models, target, name, options):
        need(TARGETS[target])
        _, files, batch, expected = op_models[name]
        optimised = replace(TARGETS[target], options=(*TARGETS[target].options, *options))
        assert np.array_equal(elsewhere.run(optimised, files, "net", batch[:8], 7).scores, expected[:8])

    @pytest.mark.slow
    @pytest.mark.parametrize("name", OPS)
    @pytest.mark.parametrize(("target", "trap"), [
        ("cortex-m4", "-fsanitize-undefined-trap-on-error"), ("wasm", "-fsanitize-trap=undefined"),
    ])  # fmt: skip
    def test_undefined_behaviour_would_trap(self, op_models, target, trap, name):
        need(TARGETS[target])
        _, files, batch, expected = op_models[name]
        options = (*TARGETS[target].options, "-O1", "-fsanitize=undefined", trap)
        checked = replace(TARGETS[target], options=options)
        assert np.array_equal(elsewhere.run(checked, files, "net", batch[:4], 7).scores, expected[:4])

    @pytest.mark.slow
    @pytest.mark.parametrize("target", ["cortex-m33", "wasm"])
    def test_shipped_model(self, shipped, target):
        """tiny_googlenet has local response normalisation over pixels and over rows of pixels."""
        need(TARGETS[target])
        model, files = shipped("tiny_googlenet")
        answers = elsewhere.run(TARGETS[target], files, "net", model.golden_inputs, 10)
        assert np.array_equal(answers.scores, model.golden_outputs.reshape(-1, 10))

    def test_another_weight_gives_other_scores(self, op_models):
        """The comparison sees what is wrong."""
        need(TARGETS["cortex-m4"])
        _, files, batch, expected = op_models["branches"]
        text = files["net_weights.c"].decode()
        begin = re.search(r"net_bias_\d+\[\d+\] = {\n", text).end()
        changed = text[:begin] + "    5," + text[begin:].split(",", 1)[1]
        wrong = {**files, "net_weights.c": changed.encode()}
        assert not np.array_equal(elsewhere.run(TARGETS["cortex-m4"], wrong, "net", batch, 7).scores, expected)


@pytest.fixture
def exported(tmp_path, shipped):
    """compact_cnn's folder of C with its manifest, and the `.tflite` file beside it."""
    source = ROOT / "exported/compact_cnn/int8.tflite"
    folder = tmp_path / "int8.c"
    folder.mkdir()
    _, files = shipped("compact_cnn")
    for name, content in files.items():
        (folder / name).write_bytes(content)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    sections = {"artifact": "int8.c", "sha256": sha256_of_files(files), "files": hashes}
    manifest = Manifest.read(source).with_sections(sections)
    (tmp_path / "int8.c.json").write_text(json.dumps(manifest.as_dict()))
    for path in (source, source.with_name("int8.tflite.json")):
        shutil.copy(path, tmp_path)
    return folder


class TestMatrix:
    @pytest.mark.slow
    @needs_c_compiler()
    def test_every_row_has_the_same_bits(self, exported, tmp_path, capfd):
        np.save(tmp_path / "images.npy", fashion_mnist.load("test").images[:20])
        arguments = ["--images", str(tmp_path / "images.npy"), "--emulated", "5", "--report", str(tmp_path / "m.json")]
        assert main(["matrix", str(exported), *arguments]) == 0
        (row,) = json.loads((tmp_path / "m.json").read_text())["rows"]
        cells = {entry["engine"]: entry for entry in row["cells"]}
        assert list(cells) == ["c", "numpy", *TARGETS]
        for name, entry in cells.items():
            if entry["status"] != "unavailable" and name != "c":
                assert entry["bit_equal"] is True and entry["images"] == (5 if name in TARGETS else 20), entry
        assert "cortex-m4 (5)" in capfd.readouterr().out

    @needs_c_compiler()
    def test_an_altered_folder_is_not_compiled(self, exported):
        (exported / "net.c").write_text("int x;")
        with pytest.raises(ArtifactError, match="it is not compiled"):
            scores_on(TARGETS["cortex-m4"], str(exported), np.zeros((1, 28, 28), np.uint8))


class TestSizes:
    def test_code_of_a_small_model_needs_little_flash(self, shipped):
        need(TARGETS["cortex-m4"])
        model, files = shipped("compact_cnn")
        found = elsewhere.sizes(TARGETS["cortex-m4"], files, "net")
        arrays = model.program.arrays_but(AVX2)
        linked = sum(values.nbytes for name, values in arrays.items() if "_sums_" not in name)  # those are x86's
        assert 1024 < found.flash - linked <= 12 * 1024
        assert found.ram >= model.program.memory.size

    @pytest.mark.slow
    @pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "exported").iterdir()))
    def test_the_table_in_the_documents_is_true(self, shipped, name):
        """Within 2 %: compilers differ."""
        need(TARGETS["cortex-m4"])
        _, files = shipped(name)
        found = elsewhere.sizes(TARGETS["cortex-m4"], files, "net")
        text = (ROOT / "docs/microcontrollers.md").read_text()
        row = re.search(rf"^\| {name} \| ([\d,]+) \| ([\d,]+) \|", text, re.MULTILINE)
        flash, ram = (int(number.replace(",", "")) for number in row.groups())
        assert (flash, ram) == (pytest.approx(found.flash, rel=0.02), pytest.approx(found.ram, rel=0.02))

    @pytest.mark.parametrize("name", ["tiny_resnet", "tiny_resnet_edge"])
    def test_arena_of_the_residual_networks(self, shipped, name):
        """Bytes on a microcontroller, where an activation has one."""
        model, _ = shipped(name)
        assert model.program.memory.size + 64 <= 32_000


class TestFailures:
    def test_a_missing_compiler_is_named_with_its_packages(self, op_models, monkeypatch):
        monkeypatch.setenv("PATH", "/nonexistent")
        _, files, batch, _ = op_models["branches"]
        with pytest.raises(UnavailableError, match=r"run: apt-get install .*qemu-system-arm"):
            elsewhere.run(TARGETS["cortex-m4"], files, "net", batch, 7)

    @pytest.mark.parametrize("target", ["cortex-m4", "cortex-a53", "wasm"])
    def test_sources_that_do_not_compile_are_one_line(self, op_models, target):
        need(TARGETS[target])
        _, files, batch, _ = op_models["branches"]
        with pytest.raises(ArtifactError, match="does not compile it: ") as refusal:
            elsewhere.run(TARGETS[target], {**files, "net.c": b"int x = ;"}, "net", batch, 7)
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize("target", ["cortex-m4", "cortex-m33", "wasm"])
    def test_a_program_that_crashes_is_one_line(self, op_models, target):
        need(TARGETS[target])
        _, files, batch, _ = op_models["branches"]
        broken = files["net.c"].replace(
            b"void net_run(const int8_t *input, int8_t *output, void *arena) {",
            b"""
void net_run(const int8_t *input, int8_t *output, void *arena) {
  __builtin_trap();""",
        )
        with pytest.raises(ArtifactError, match=r"QEMU|Node") as refusal:
            elsewhere.run(TARGETS[target], {**files, "net.c": broken}, "net", batch, 7)
        assert "\n" not in str(refusal.value)
