"""The web form in Node: the same bits as Python from tensors and from photos, answers by task, and bad input."""

import ctypes
import hashlib
import json
import re
import subprocess

import numpy as np
import pytest
from support.c_compiler import c_compiler, needs_c_compiler
from support.installed import needs
from support.web_models import SHIPPED, needs_node, needs_wasm_compiler, node, photo_test, raw, tflite_of, web_folder

from fmnist_edge.artifact import Artifact
from fmnist_edge.errors import ExportError, UnavailableError
from fmnist_edge.exporters.c.make import c_model
from fmnist_edge.exporters.web import compiler
from fmnist_edge.exporters.web.exporter import EXPORTER
from fmnist_edge.exporters.web.files import page_files
from fmnist_edge.exporters.web.module import modules
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.folder import MANIFEST, read_folder, sha256_of_files
from fmnist_edge.runtime.manifest import Manifest, manifest_path

pytestmark = [needs_wasm_compiler(), needs_node()]
PIXELS = np.random.default_rng(4).integers(0, 256, (6, 28, 28), np.uint8)
SOME = "compact_cnn"


def python_scores(model, images):
    with Classifier(ENGINES["numpy"].load(tflite_of(model)), Manifest.read(tflite_of(model)).contract) as classifier:
        return classifier.scores(images)


EACH_IMAGE = """
const classify = await load({ simd: args[0] === "simd" });
const scores = [];
for (let at = 0; at < input.length; at += 784)
  scores.push(await classify.scores({ data: input.subarray(at, at + 784), width: 28, height: 28 }));
return scores;
"""


class TestBits:
    @pytest.mark.parametrize("build", ["simd", "plain"])
    def test_scores_are_pythons(self, compact_web, build):
        found = np.asarray(node(compact_web.path, EACH_IMAGE, build, stdin=PIXELS.tobytes()), np.float32)
        assert np.array_equal(found, python_scores(SOME, PIXELS))
        assert len(np.unique(found)) > 20

    @pytest.mark.parametrize("build", ["simd", "plain"])
    def test_golden_photos(self, compact_web, build):
        result = photo_test(compact_web, build)
        assert result["passed"] and len(result["photos"]) == 5
        assert {item["max_abs_delta"] for item in result["photos"]} == {0}

    @pytest.mark.slow
    @pytest.mark.parametrize("model", SHIPPED)
    def test_shipped_models(self, model, tmp_path):
        made = web_folder(model, tmp_path)
        images = np.concatenate([made.manifest.golden_vectors().images[..., 0], PIXELS])
        for build in ("simd", "plain"):
            found = np.asarray(node(made.path, EACH_IMAGE, build, stdin=images.tobytes()), np.float32)
            assert np.array_equal(found, python_scores(model, images))
            assert photo_test(made, build)["passed"]
        assert node(made.path, "return (await load()).selfTest();")["passed"]

    @needs_c_compiler()
    def test_golden_photos_in_c(self, compact_web, tmp_path):
        """The C form gives the same pixels and scores from the same decoded photos."""
        model = c_model(tflite_of(SOME).read_bytes(), "net", compact_web.contract, PIXELS[:1, ..., None])
        for name, text in model.files().items():
            (tmp_path / name).write_text(text)
        sources = ["net.c", "net_image.c", "net_weights.c"]
        command = [c_compiler(), "-std=c99", "-O1", "-shared", "-fPIC", *sources, "-o", "net.so"]
        subprocess.run(command, cwd=tmp_path, check=True)
        net = ctypes.CDLL(str(tmp_path / "net.so"))
        pixels, scores = (ctypes.c_uint8 * 784)(), (ctypes.c_float * 10)()
        for entry in compact_web.manifest.document["photos"]["images"]:
            photo = raw(compact_web.path / entry["file"])
            height, width = photo.shape[:2]
            workspace = ctypes.create_string_buffer(net.net_image_bytes(width, height))
            assert net.net_image(photo.tobytes(), width, height, 4, -1, pixels, workspace) == 0
            if net.net_looks_inverted(pixels):
                net.net_invert(pixels)
            net.net_classify(pixels, scores, ctypes.create_string_buffer(model.arena_bytes))
            assert sha256(bytes(pixels)) == entry["pixels_sha256"]
            assert list(scores) == entry["scores"]

    def test_golden_vectors_have_the_golden_tolerance(self, compact_web):
        result = node(compact_web.path, "return (await load()).selfTest();")
        golden = compact_web.manifest.golden_vectors()
        assert result["passed"] and len(result["vectors"]) == len(golden.images)
        expected = np.abs(python_scores(SOME, golden.images) - golden.scores).max(axis=1)
        assert [item["max_abs_delta"] for item in result["vectors"]] == expected.tolist()

    def test_a_wrong_golden_score_is_noticed(self, altered_web):
        manifest = json.loads((altered_web / MANIFEST).read_text())
        manifest["photos"]["images"][2]["scores"][3] += 0.1
        manifest["photos"]["images"][4]["pixels_sha256"] = "0" * 64
        (altered_web / MANIFEST).write_text(json.dumps(manifest))
        result = photo_test(Artifact(altered_web, Manifest.from_dict(manifest)), "simd")
        assert [item["passed"] for item in result["photos"]] == [True, True, False, True, False]
        assert [item["same_pixels"] for item in result["photos"]] == [True, True, True, True, False]


class TestModule:
    def test_imports_nothing_and_grows_its_own_memory(self, compact_web):
        script = """
        const bytes = readFileSync(args[0]);
        const module = new WebAssembly.Module(bytes);
        return [WebAssembly.Module.imports(module), WebAssembly.Module.exports(module).map((item) => item.name)];
        """
        for name in compiler.BUILDS:
            imports, exports = node(compact_web.path, script, compact_web.path / name)
            assert imports == [] and {"memory", "classify", "run", "image_rows"} <= set(exports)

    def test_only_one_build_has_simd(self, compact_web):
        """By the features that Node can be denied."""
        script = "WebAssembly.compile(require('fs').readFileSync(process.argv[1])).then(() => console.log('ok'))"
        for name in compiler.BUILDS:
            path = compact_web.path / name
            command = ["node", "--no-experimental-wasm-simd", "-e", script, str(path)]
            ended = subprocess.run(command, capture_output=True, text=True, check=False)
            assert ended.returncode in (0, 9)  # a Node without the option says so
        assert b"\xfd" in (compact_web.path / "model.simd.wasm").read_bytes()

    def test_reproducible_byte_for_byte(self, compact_web, tmp_path):
        again = web_folder(SOME, tmp_path)
        assert again.manifest.sha256 == compact_web.manifest.sha256
        assert manifest_path(again.path).read_bytes() == manifest_path(compact_web.path).read_bytes()

    def test_small(self, compact_web):
        assert max((compact_web.path / name).stat().st_size for name in compiler.BUILDS) < 40_000
        assert sum(len(text) for text in page_files().values()) < 64_000

    @needs("ziglang")
    def test_zig_gives_the_same_scores(self, monkeypatch, tmp_path):
        with monkeypatch.context() as patched:
            patched.setattr(compiler.shutil, "which", lambda _: None)
            zig = compiler.find_compiler()
        monkeypatch.setattr("fmnist_edge.exporters.web.exporter.find_compiler", lambda: zig)
        made = web_folder(SOME, tmp_path)
        assert made.manifest.document["compiler"].startswith("zig ")
        found = np.asarray(node(made.path, EACH_IMAGE, "simd", stdin=PIXELS.tobytes()), np.float32)
        assert np.array_equal(found, python_scores(SOME, PIXELS))

    def test_a_module_that_computes_otherwise_is_not_exported(self, monkeypatch, tmp_path):
        def wrong(model, found):
            files = modules(model, found)
            return {**files, "weights.bin": bytes(len(files["weights.bin"]))}

        monkeypatch.setattr("fmnist_edge.exporters.web.exporter.modules", wrong)
        with pytest.raises(ExportError, match="gives other scores than the model"):
            web_folder(SOME, tmp_path)

    def test_without_a_compiler(self, monkeypatch):
        monkeypatch.setattr(compiler.shutil, "which", lambda _: None)
        monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda _: None)
        with pytest.raises(UnavailableError, match="apt-get install clang lld, or pip install ziglang"):
            compiler.find_compiler()

    def test_a_compiler_that_refuses_is_named_with_its_first_error(self):
        found = compiler.find_compiler()
        with pytest.raises(ExportError, match=r"does not compile .*nonesuch"):
            found.build({"a.c": '#include "nonesuch.h"\n'}, "model.wasm")


class TestFolder:
    def test_it_carries_its_manifest_which_is_no_part_of_its_hash(self, compact_web):
        assert (compact_web.path / MANIFEST).read_bytes() == manifest_path(compact_web.path).read_bytes()
        assert hashlib.sha256(read_folder(compact_web.path)).hexdigest() == compact_web.manifest.sha256
        assert set(compact_web.manifest.files) == {path.name for path in compact_web.path.iterdir()} - {MANIFEST}

    def test_what_is_recorded_later_reaches_the_copy(self, tmp_path):
        made = web_folder(SOME, tmp_path)
        made.record("parity", {"verdict": "pass"})
        assert json.loads((made.path / MANIFEST).read_text())["parity"] == {"verdict": "pass"}
        assert Artifact.open(made.path).manifest.sha256 == made.manifest.sha256

    def test_every_file_that_another_names_is_there(self):
        files = page_files()
        for name, text in files.items():
            for other in files:
                if f'"./{other}"' in text or f'"{other}"' in text:
                    assert other in files, name
        assert "eval(" not in "".join(files.values()) and "http" not in files["page.js"]


TASKS = {
    "binary": {"labels": ["no", "yes"], "task": "binary", "thresholds": [0.9]},
    "multilabel": {"task": "multilabel", "thresholds": [0.1 * (index + 0.5) for index in range(10)]},
    "tensor": {"task": "tensor", "labels": []},
}
ANSWERS = """
const classify = await load(JSON.parse(args[0]));
const answers = [];
for (let at = 0; at < input.length; at += 784)
  answers.push(await classify({ data: input.subarray(at, at + 784), width: 28, height: 28 }));
return answers;
"""


def with_manifest(folder, change):
    document = json.loads((folder / MANIFEST).read_text())
    change(document)
    (folder / MANIFEST).write_text(json.dumps(document))
    return document


def same_answer(found, expected):
    assert (found["label"], found["index"]) == (expected.label, expected.index)
    assert tuple(found["labels"]) == expected.labels
    assert np.allclose(found["probabilities"], expected.probabilities, rtol=0, atol=3e-7)
    assert abs(found["confidence"] - expected.confidence) < 3e-7 and found["latency_ms"] >= 0


class TestAnswers:
    def python_answers(self, contract, images, confidence=None, abstain=None):
        engine = ENGINES["numpy"].load(tflite_of(SOME))
        with Classifier(engine, contract, confidence=confidence, abstain=abstain) as classifier:
            return classifier.classify(images)

    def test_classification(self, compact_web):
        images = compact_web.manifest.golden_vectors().images[..., 0]
        found = node(compact_web.path, ANSWERS, "{}", stdin=images.tobytes())
        confidence = compact_web.manifest.confidence
        assert confidence is not None
        for one, other in zip(found, self.python_answers(compact_web.contract, images, confidence), strict=True):
            same_answer(one, other)

    @pytest.mark.filterwarnings("ignore::fmnist_edge.runtime.polarity.PolarityWarning")
    @pytest.mark.parametrize("abstain", [True, False])
    def test_confidence_and_abstention(self, compact_web, abstain):
        images = np.concatenate([PIXELS, compact_web.manifest.golden_vectors().images[..., 0]])
        options = json.dumps({"abstain": abstain})
        found = node(compact_web.path, ANSWERS, options, stdin=images.tobytes())
        expected = self.python_answers(compact_web.contract, images, compact_web.manifest.confidence, abstain)
        for one, other in zip(found, expected, strict=True):
            same_answer(one, other)
        assert any(answer["label"] is None for answer in found) is abstain

    def test_abstention_without_a_confidence(self, altered_web):
        with_manifest(altered_web, lambda document: document.pop("confidence"))
        message = node(altered_web, "return errorOf(() => load({ abstain: true }));")
        assert message.startswith("InputError: abstain: true needs a confidence")

    def test_multilabel(self, altered_web):
        def change(document):
            document["contract"].update(TASKS["multilabel"])
            document.pop("confidence")

        contract = Contract.from_dict(with_manifest(altered_web, change)["contract"])
        images = Manifest.read(tflite_of(SOME)).golden_vectors().images[..., 0]
        found = node(altered_web, ANSWERS, "{}", stdin=images.tobytes())
        expected = self.python_answers(contract, images)
        for one, other in zip(found, expected, strict=True):
            same_answer(one, other)
        assert len({len(answer["labels"]) for answer in found}) > 1

    def test_binary(self, tmp_path):
        """Its arithmetic, by the functions of answers.js."""
        (tmp_path / "classifier.js").write_text("export const Classifier = null;")
        for name in ("answers.js", "package.json"):
            (tmp_path / name).write_text(page_files()[name])
        body = """
        const { decide, probabilities } = await import(`${url}/answers.js`);
        const contract = { task: "binary", output: "logits", labels: ["no", "yes"], thresholds: [0.9] };
        return [-3, 0, 2, 2.25, 9].map((score) => {
          const rows = probabilities(Float32Array.of(score), contract, null);
          return [[...rows], decide(rows, contract)];
        });
        """
        from fmnist_edge.runtime.tasks import decide, probabilities

        contract = Contract((28, 28, 1), "logits", ("no", "yes"), task="binary", thresholds=(0.9,))
        scores = np.array([[-3], [0], [2], [2.25], [9]], np.float32)
        rows = probabilities(scores, contract)
        found = node(tmp_path, body)
        assert np.allclose([item[0] for item in found], rows, rtol=0, atol=1e-7)
        assert [item[1] for item in found] == decide(rows, contract).tolist() == [0, 0, 0, 1, 1]

    def test_a_tensor_model_is_refused_by_name(self, altered_web):
        with_manifest(altered_web, lambda document: document["contract"].update(TASKS["tensor"]))
        assert "task is tensor" in node(altered_web, "return errorOf(() => load());")

    def test_polarity(self, compact_web):
        light = (255 - compact_web.manifest.golden_vectors().images[3, ..., 0]).tobytes()
        body = """
        const classify = await load();
        const image = { data: input, width: 28, height: 28 };
        return Promise.all(["never", "auto", "always"].map((invert) => classify(image, { invert })));
        """
        never, auto, always = node(compact_web.path, body, stdin=light)
        assert never["looks_inverted"] and not auto["looks_inverted"]
        assert bytes(never["pixels"]) == light and auto["pixels"] == always["pixels"] != never["pixels"]

    def test_calls_at_the_same_time_do_not_mix(self, compact_web):
        body = """
        const classify = await load();
        const pixels = [0, 1, 2, 3, 4, 5].map((i) => input.subarray(784 * i, 784 * (i + 1)));
        return Promise.all(pixels.map((data) => classify.scores({ data, width: 28, height: 28 })));
        """
        found = np.asarray(node(compact_web.path, body, stdin=PIXELS.tobytes()), np.float32)
        assert np.array_equal(found, python_scores(SOME, PIXELS))

    @pytest.mark.parametrize("kind", ["Float32Array", "Float64Array"])
    def test_floats_are_rounded_as_in_python(self, compact_web, kind):
        dtype = np.float32 if kind == "Float32Array" else np.float64
        image = np.linspace(0, 1, 784).astype(dtype).reshape(28, 28)
        image[:16, :16] = ((np.arange(256).reshape(16, 16) + 0.5) / 255).clip(0, 1)  # in the middle of two levels
        body = f"""
        const data = new {kind}(input.buffer, input.byteOffset, 784);
        return (await (await load())({{ data, width: 28, height: 28 }})).pixels;
        """
        found = node(compact_web.path, body, stdin=image.tobytes())
        with Classifier(ENGINES["numpy"].load(tflite_of(SOME)), compact_web.contract) as classifier:
            assert bytes(found) == classifier.fit_image(image).tobytes()

    def test_orders_and_grounds(self, compact_web):
        photo = np.random.default_rng(5).integers(0, 256, (40, 31, 4), np.uint8)
        body = """
        const classify = await load();
        const bgra = input.slice();
        for (let i = 0; i < bgra.length; i += 4) [bgra[i], bgra[i + 2]] = [bgra[i + 2], bgra[i]];
        const size = { width: 31, height: 40 };
        const one = await classify({ data: input, ...size }, { ground: [10, 20, 30] });
        const other = await classify({ data: bgra, ...size }, { ground: [10, 20, 30], order: "BGR" });
        return [one.pixels, other.pixels, await errorOf(() => classify({ data: input, ...size }))];
        """
        one, other, refused = node(compact_web.path, body, stdin=photo.tobytes())
        with Classifier(ENGINES["numpy"].load(tflite_of(SOME)), compact_web.contract) as classifier:
            assert bytes(one) == bytes(other) == classifier.fit_image(photo, ground=(10, 20, 30)).tobytes()
        assert refused.startswith("InputError: the image has transparent pixels; say what lies behind them")


IMAGES = {
    "{ data: new Uint8Array(0), width: 0, height: 0 }": "0 x 0 pixels",
    "{ data: new Uint8Array(1e8), width: 10000, height: 10000 }": "10000 x 10000 pixels; expected sides of 1 to 65,535",
    "{ data: new Uint8Array(70000), width: 70000, height: 1 }": "70000 x 1 pixels",
    "{ data: new Uint8Array(9), width: 2, height: 2 }": "9 values for 2 x 2; expected 1, 3 or 4",
    "{ data: new Float32Array(784).fill(NaN), width: 28, height: 28 }": "holds NaN or infinity",
    "{ data: new Float32Array(784).fill(200), width: 28, height: 28 }": "holds 200; expected floats in 0..1",
    "{ data: new Uint16Array(784), width: 28, height: 28 }": "Uint16Array; expected bytes",
    "null": "image is null; expected ImageData",
    '"photo.png"': 'image is "photo.png"; expected ImageData',
    "{ data: new Uint8Array(784), width: 28, height: 28 }, { invert: 'no' }": 'invert is "no"',
    "{ data: new Uint8Array(784), width: 28, height: 28 }, { order: 'GBR' }": 'order is "GBR"',
    "{ data: new Uint8Array(784), width: 28, height: 28 }, { ground: 300 }": "ground is 300",
}


class TestBadInput:
    def test_images_and_options(self, compact_web):
        calls = ", ".join(f"() => classify({image})" for image in IMAGES)
        body = f"""
        const classify = await load();
        const found = [];
        for (const call of [{calls}]) found.push(await errorOf(call));
        const again = await classify({{ data: new Uint8Array(784), width: 28, height: 28 }});
        return [found, again.index];
        """
        found, index = node(compact_web.path, body)
        assert isinstance(index, int)
        for message, expected in zip(found, IMAGES.values(), strict=True):
            assert message.startswith("InputError: ") and expected in message, message

    @pytest.mark.parametrize(("name", "change", "message"), [
        ("model.simd.wasm", lambda content: content[:-40], "model.simd.wasm: SHA-256 is .*truncated or altered"),
        ("weights.bin", lambda content: content[:-1] + b"x", "weights.bin: SHA-256 is .*truncated or altered"),
        ("manifest.json", lambda content: content[:90], "manifest.json: not a readable manifest"),
        ("manifest.json", lambda _: b"[]", "schema is undefined"),
        ("manifest.json", lambda _: b'{"schema": 1}', "contract is not one of images"),
        ("weights.bin", None, "weights.bin: cannot be read"),
    ])  # fmt: skip
    def test_files(self, altered_web, name, change, message):
        path = altered_web / name
        if change is None:
            path.unlink()
        else:
            path.write_bytes(change(path.read_bytes()))
        found = node(altered_web, "return errorOf(() => load());")
        assert re.match(f"ArtifactError: .*{message}", found), found

    def test_a_module_that_is_none_though_its_hash_fits(self, altered_web):
        content = b"\0asm\1\0\0\0junk"
        (altered_web / "model.simd.wasm").write_bytes(content)
        with_manifest(altered_web, lambda document: document["files"].update({"model.simd.wasm": sha256(content)}))
        assert node(altered_web, "return errorOf(() => load());").startswith(
            "ArtifactError: model.simd.wasm: WebAssembly"
        )

    def test_a_url_that_is_none(self, compact_web):
        assert "InputError: url is" in node(compact_web.path, 'return errorOf(() => Classifier.load("no url"));')

    def test_sha256_without_subtle_crypto(self, compact_web):
        body = """
        Object.defineProperty(globalThis, "crypto", { value: {} });
        return (await load()).file;
        """
        assert node(compact_web.path, body) == "model.simd.wasm"

    @pytest.mark.parametrize(("change", "message"), [
        ({"input_shape": [28, 14, 2]}, "web takes greyscale and RGB images"),
        ({"dtype": "float32", "preprocessing": {"scale": 1.0, "mean": 0.0, "std": 1.0}}, "web takes images"),
        ({"labels": ["all"]}, "web chooses among classes, and the model has one"),
    ])  # fmt: skip
    def test_export_refuses_by_name(self, monkeypatch, change, message):
        manifest = Manifest.read(tflite_of(SOME))
        manifest = manifest.with_sections({"contract": manifest.contract.as_dict() | change})
        if "dtype" not in change:  # which a C model is not made of, either
            monkeypatch.setattr("fmnist_edge.exporters.web.exporter.checked_model", lambda *_: None)
        with pytest.raises(ExportError, match=message):
            EXPORTER.sources(tflite_of(SOME).read_bytes(), manifest, np.zeros((28, 28, 1), np.uint8))


def sha256(content):
    return hashlib.sha256(content).hexdigest()


@pytest.mark.slow
def test_a_model_of_every_op(tmp_path):
    """Kernels that the shipped models do not need: built without SIMD and with, the same bits as the numpy engine."""
    from support.tflite_models import SHAPE, converted, images

    labels = tuple(f"class {number}" for number in range(7))
    for name in ("windows", "branches", "activations"):
        content = converted(name, "int8_only")
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(content)
        model = c_model(content, "net", Contract(SHAPE, "logits", labels), np.zeros((1, *SHAPE), np.uint8))
        folder = tmp_path / f"{name}.web"
        folder.mkdir()
        for file, text in modules(model, compiler.find_compiler()).items():
            (folder / file).write_bytes(text)
        batch = ENGINES["numpy"].load(path).input.quantize(images(9))
        engine = ENGINES["web"].load(folder)
        assert np.array_equal(engine.run(batch), ENGINES["numpy"].load(path).run(batch).reshape(len(batch), -1))
        engine.close()


def test_the_hash_is_that_of_the_files(compact_web):
    files = {path.name: path.read_bytes() for path in compact_web.path.iterdir() if path.name != MANIFEST}
    assert sha256_of_files(files) == compact_web.manifest.sha256
