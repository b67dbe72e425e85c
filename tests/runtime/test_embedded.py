"""The contract inside a file: export adds it without changing the rest, and a bad one is refused in one line."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import ROOT
from support.installed import MICRO, installed
from support.linear import BIAS, LINEAR, WEIGHTS, with_manifest

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import select
from fmnist_edge.commands.manual import parser
from fmnist_edge.errors import ArtifactError, ExportError, FmnistEdgeError
from fmnist_edge.exporters import onnx_metadata, tflite_metadata
from fmnist_edge.exporters.contracts import contract_for
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Classifier, Contract, Preprocessing, loading
from fmnist_edge.runtime.embedded import KEY, LARGEST, contract_text, embedded_contract
from fmnist_edge.runtime.flatbuffer import root
from fmnist_edge.runtime.manifest import Manifest, manifest_path

EXPORTED = ROOT / "exported"
EMBED = {".tflite": tflite_metadata.embed, ".onnx": onnx_metadata.embed}
FILES = sorted(EXPORTED.glob("*/int8.tflite")) + sorted(EXPORTED.glob("*/float32.onnx"))
SMALL = {".tflite": EXPORTED / "compact_cnn/int8.tflite", ".onnx": EXPORTED / "compact_cnn/float32.onnx"}
# No field has its default, so that a field that is not read shows.
OTHER = Contract(
    (28, 28, 1), "probabilities", tuple("äbcdefghij"), Preprocessing(0.5, 0.25, 2.0),
    polarity="dark-on-light", resize="box",
)  # fmt: skip
IMAGES = np.random.default_rng(1).integers(150, 256, (5, 28, 28), np.uint8)  # dark on light, like OTHER


@pytest.fixture(params=EMBED)
def suffix(request):
    return request.param


def plain(suffix) -> tuple[bytes, Contract]:
    """A shipped file without its contract, and the contract."""
    return without(SMALL[suffix]), Manifest.read(SMALL[suffix]).contract


def without(path) -> bytes:
    """A shipped file before its contract was added."""
    content = path.read_bytes()
    assert embedded_contract(path, content) is not None
    if path.suffix == ".tflite":
        return content[content.index(b"TFL3", 8) - 4 :]
    import onnx

    model = onnx.load_from_string(content)
    del model.metadata_props[:]
    return model.SerializeToString(deterministic=True)


def alone(folder, suffix, contract=None) -> Path:
    """A file with a contract inside and no manifest beside it."""
    content, own = plain(suffix)
    path = folder / f"alone{suffix}"
    path.write_bytes(EMBED[suffix](content, KEY, contract_text(contract or own)))
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_round_trip_and_same_scores(path, tmp_path):
    content = without(path)
    assert embedded_contract(path, content) is None
    written = EMBED[path.suffix](content, KEY, contract_text(OTHER))
    assert embedded_contract(path, written) == OTHER
    assert written == EMBED[path.suffix](content, KEY, contract_text(OTHER))
    assert len(written) - len(content) < 2000
    contract = Manifest.read(path).contract
    copy = with_manifest(tmp_path / path.name, EMBED[path.suffix](content, KEY, contract_text(contract)), contract)
    engines = {".tflite": ["litert", "litert-compiled", "numpy", *(["tflite-micro"] * MICRO)], ".onnx": ["onnxruntime"]}
    for engine in engines[path.suffix] + ["openvino"] * installed("openvino"):
        try:
            with Classifier.load(path, engine=engine) as before, Classifier.load(copy, engine=engine) as after:
                assert np.array_equal(before.scores(IMAGES), after.scores(IMAGES)), engine
        except ArtifactError as refusal:
            assert engine == "tflite-micro", refusal  # it has no LRN


def test_other_tools_read_a_tflite_file_with_it():
    from tensorflow.lite.python import schema_py_generated

    content, _ = plain(".tflite")
    text = contract_text(OTHER)
    models = [
        schema_py_generated.ModelT.InitFromPackedBuf(item, 0)
        for item in (content, tflite_metadata.embed(content, KEY, text))
    ]
    before, after = models
    assert [entry.name for entry in after.metadata] == [*(entry.name for entry in before.metadata), KEY.encode()]
    assert bytes(after.buffers[after.metadata[-1].buffer].data) == text.encode()
    for name in ("version", "description"):
        assert getattr(after, name) == getattr(before, name) is not None
    for one, other in zip(before.buffers, after.buffers, strict=False):
        assert np.array_equal(one.data, other.data)
    assert [item.signatureKey for item in after.signatureDefs] == [item.signatureKey for item in before.signatureDefs]


def buffers_modulo_16(content: bytes) -> list[int]:
    start = np.frombuffer(content, np.uint8).__array_interface__["data"][0]
    found = [table.array(0, "uint8") for table in root(content).tables(4, 999)]
    return [(item.__array_interface__["data"][0] - start) % 16 for item in found if item is not None and len(item)]


def test_buffers_of_a_tflite_file_stay_aligned():
    content, _ = plain(".tflite")
    before = buffers_modulo_16(content)
    assert len(before) > 10
    for length in range(1, 40):
        written = tflite_metadata.embed(content, "n" * (1 + length % 9), "x" * length)
        assert written.endswith(content)
        assert buffers_modulo_16(written) == [*before, 0]
        assert root(written).tables(4, 999)[-1].array(0, "uint8").tobytes() == b"x" * length


def test_onnx_itself_accepts_the_file():
    import onnx

    content, contract = plain(".onnx")
    model = onnx.load_from_string(onnx_metadata.embed(content, KEY, contract_text(contract)))
    onnx.checker.check_model(model, full_check=True)
    assert [entry.key for entry in model.metadata_props] == [KEY]


def test_an_existing_metadata_name_is_refused(suffix):
    content, contract = plain(suffix)
    written = EMBED[suffix](content, KEY, contract_text(contract))
    with pytest.raises(ExportError, match="already"):
        EMBED[suffix](written, KEY, "{}")
    more = EMBED[suffix](written, "another", "{}")
    assert embedded_contract(Path(f"x{suffix}"), more) == contract


class TestLoading:
    def test_a_file_without_a_manifest(self, tmp_path, suffix, monkeypatch):
        tried = []
        monkeypatch.setattr(loading, "try_load", lambda path, engine, **_: tried.append(engine))
        with Classifier.load(alone(tmp_path, suffix)) as classifier, Classifier.load(SMALL[suffix]) as shipped:
            assert np.array_equal(classifier.scores(IMAGES), shipped.scores(IMAGES))
            assert classifier.contract == shipped.contract
            assert tried == [classifier.engine.name], "nobody vouches for it, and it was not tried first"
            with pytest.raises(ArtifactError, match="no golden vectors"):
                classifier.self_test()

    def test_a_file_without_a_manifest_is_loaded_in_a_child(self, tmp_path):
        path = alone(tmp_path, ".tflite")
        content = bytearray(path.read_bytes())
        content[-len(content) // 2 :] = bytes(len(content) - len(content) // 2)  # the contract is in the first half
        path.write_bytes(content)
        refused(path)

    def test_a_file_replaced_after_the_trial(self, tmp_path, monkeypatch):
        path = alone(tmp_path, ".tflite")
        monkeypatch.setattr(loading, "try_load", lambda path, engine, **_: path.write_bytes(b"other"))
        refused(path, "truncated or altered")

    def test_the_contract_is_applied(self, tmp_path, suffix):
        with Classifier.load(alone(tmp_path, suffix, OTHER)) as classifier:
            assert classifier.contract == OTHER
            raw = classifier.scores(IMAGES[:1])
            assert np.array_equal(classifier.classify(IMAGES[:1])[0].probabilities, raw[0]), "softmax was not asked for"
        own = plain(suffix)[1]
        pixels = OTHER.preprocessing.apply(IMAGES[:1], (28, 28, 1))
        with Classifier.load(SMALL[suffix]) as shipped:
            engine, runner = shipped.engine, own.preprocessing
            assert runner != OTHER.preprocessing
            expected = engine.output.dequantize(engine.run(engine.input.quantize(pixels)))
        assert np.array_equal(raw, expected)

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("polarity", "dark-on-light"),
            ("labels", tuple("abcdefghij")),
            ("resize", "box"),
            ("output", "probabilities"),
        ],
    )
    def test_a_different_contract_in_the_manifest(self, tmp_path, suffix, field, value):
        content, contract = plain(suffix)
        inside = replace(contract, **{field: value})
        path = tmp_path / f"two{suffix}"
        with_manifest(path, EMBED[suffix](content, KEY, contract_text(inside)), contract)
        refused(path, "its manifest and the contract inside it differ in", field, repr(value)[:20])

    def test_an_old_manifest(self, tmp_path, suffix):
        """An old manifest: without newer fields, and for a file without a contract."""
        content, contract = plain(suffix)
        path = with_manifest(tmp_path / f"old{suffix}", content, contract)
        manifest = json.loads(manifest_path(path).read_text())
        for name in ("dtype", "layout", "polarity", "resize"):
            del manifest["contract"][name]
        manifest_path(path).write_text(json.dumps(manifest))
        with Classifier.load(path) as classifier:
            assert classifier.contract == replace(contract, polarity=None) and contract.resize == "bilinear"

    def test_formats_without_a_place_for_it_need_the_manifest(self, tmp_path):
        for name in ("x.ncnn", "x.mnn", "x.keras"):
            (tmp_path / name).write_bytes(b"anything")
            refused(tmp_path / name, "no manifest", "no contract inside")

    def test_an_explicit_contract_comes_first(self, tmp_path, suffix):
        path = alone(tmp_path, suffix, OTHER)
        with Classifier.load(path, contract=plain(suffix)[1]) as classifier:
            assert classifier.contract == plain(suffix)[1]


GOOD = json.loads(contract_text(LINEAR))
HOSTILE = {
    "not UTF-8": b'{"schema": 1, "labels": ["\xff"]}',
    "UTF-16": json.dumps(GOOD).encode("utf-16"),
    "empty": b"",
    "not JSON": b"schema: 1",
    "nested": b"[" * 500_000,
    "huge": b" " * (LARGEST + 1),
    "a huge number": b'{"schema": ' + b"9" * 5000 + b"}",
    "a list": b"[1]",
    "null": b"null",
    "no schema": b"{}",
    "true": json.dumps(GOOD | {"schema": True}).encode(),
    "a newer schema": json.dumps(GOOD | {"schema": 2}).encode(),
    "a schema of text": json.dumps(GOOD | {"schema": "x" * 9999}).encode(),
    **{
        f"{field}={value!r}"[:40]: json.dumps(GOOD | {field: value}).encode()
        for field, value in [
            ("labels", 5), ("labels", []), ("labels", "abc"), ("labels", [1]), ("labels", ["\x1b[2J"]),
            ("labels", ["a\nb"]), ("labels", ["\x00" * 900_000]),
            ("input_shape", [28.0, 28, 1]), ("input_shape", []), ("input_shape", [-1]), ("input_shape", [True]),
            ("input_shape", [[28]]), ("output", None), ("output", ["logits"]), ("dtype", "int8"), ("layout", "CHWN"),
            ("layout", {}), ("polarity", "either"), ("polarity", 0), ("resize", "__class__"),
            ("preprocessing", []), ("preprocessing", {"scale": 0, "mean": 0, "std": 1}), ("preprocessing", None),
            ("preprocessing", {"scale": 1e999, "mean": 0, "std": 1}),
            ("preprocessing", {"scale": "x", "mean": 0, "std": 1}),
            ("preprocessing", {"scale": 10**400, "mean": 0, "std": 1}),
            ("preprocessing", {"scale": 1, "mean": [0] * 99_999, "std": 1}),
            ("preprocessing", {"scale": 1, "mean": [[0]], "std": 1}),
            ("preprocessing", {"scale": 1, "mean": 0, "std": 1, "order": "GBR" * 9999}),
            ("preprocessing", {"scale": 1, "mean": 0, "std": 1, "order": ["RGB"]}),
            ("preprocessing", {"scale": 1, "mean": 0, "std": 1, "order": "BGR"}),  # of a grey model
            ("fit", "pad"), ("fit", []), ("fill", 256), ("fill", True), ("fill", 9), ("fill", {}),
            ("fill", [0] * 99_999),
        ]
    },
}  # fmt: skip


def refused(path, *said, **options):
    with pytest.raises(ArtifactError) as refusal:
        Classifier.load(path, **options)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 600
    for part in (str(path), *said):
        assert part in str(refusal.value)


def with_text(suffix, text: bytes) -> bytes:
    """A file with the given bytes as its contract: they replace a text of the same length."""
    marker = "~" * len(text)
    content = EMBED[suffix](plain(suffix)[0], KEY, marker)
    before, _, after = content.partition(marker.encode()) if text else (content, b"", b"")
    return before + text + after


class TestHostile:
    @pytest.mark.parametrize("case", HOSTILE)
    def test_contents(self, tmp_path, suffix, case):
        path = tmp_path / f"hostile{suffix}"
        path.write_bytes(with_text(suffix, HOSTILE[case]))
        refused(path, "metadata", "contract: ")

    def test_two_contracts(self, tmp_path):
        import onnx

        model = onnx.load_from_string(alone(tmp_path, ".onnx").read_bytes())
        model.metadata_props.add(key=KEY, value="{}")
        (tmp_path / "two.onnx").write_bytes(model.SerializeToString())
        refused(tmp_path / "two.onnx", "2 contracts in it")
        content, own = plain(".tflite")
        content = tflite_metadata.embed(content, "x" * len(KEY), contract_text(own))
        content = tflite_metadata.embed(content, KEY, contract_text(own)).replace(b"x" * len(KEY), KEY.encode())
        (tmp_path / "two.tflite").write_bytes(content)
        refused(tmp_path / "two.tflite", "2 contracts in it")

    def test_a_missing_buffer(self, tmp_path):
        path = alone(tmp_path, ".tflite")
        content = bytearray(path.read_bytes())
        at = root(bytes(content)).tables(6, 99)[-1].position + 8
        content[at : at + 4] = b"\xff\xff\xff\x7f"
        path.write_bytes(content)
        refused(path, "metadata cannot be read", "buffer 2147483647")

    def test_a_file_of_a_million_fields(self, tmp_path):
        (tmp_path / "many.onnx").write_bytes(b"\x08\x00" * 1_000_000)
        refused(tmp_path / "many.onnx", "more than 65,536 fields")

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=300)
    @given(st.data())
    def test_any_damage_is_read_or_refused(self, suffix, data):
        content = bytearray(EMBED[suffix](plain(suffix)[0], KEY, contract_text(LINEAR)))
        spots = range(700) if suffix == ".tflite" else [*range(40), *range(len(content) - 400, len(content))]
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.sampled_from(spots))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(content))) if data.draw(st.booleans()) else len(content)
        try:
            found = embedded_contract(Path(f"x{suffix}"), bytes(content[:cut]))
        except FmnistEdgeError as error:
            assert str(error).startswith(f"x{suffix}: ") and "\n" not in str(error)
        else:
            assert found is None or isinstance(found, Contract)


class TestLayout:
    @pytest.fixture
    def channels_first(self, tmp_path):
        """A model of three channels with different weights. The scores are WEIGHTS applied to the weighted sum."""
        from onnx import TensorProto, helper, numpy_helper

        mix = np.array([0.5, 0.3, 0.2], np.float32).reshape(1, 3, 1, 1)
        graph = helper.make_graph(
            [
                helper.make_node("Conv", ["image", "mix"], ["grey"]),
                helper.make_node("Flatten", ["grey"], ["flat"]),
                helper.make_node("Gemm", ["flat", "w", "b"], ["scores"]),
            ],
            "chw",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, 28, 28])],
            [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10])],
            [numpy_helper.from_array(item, name) for item, name in ((mix, "mix"), (WEIGHTS, "w"), (BIAS, "b"))],
        )  # fmt: skip
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        contract = replace(LINEAR, input_shape=(28, 28, 3), layout="NCHW")
        return with_manifest(tmp_path / "chw.onnx", model.SerializeToString(), contract)

    def test_images_are_transposed(self, channels_first):
        images = np.random.default_rng(2).integers(0, 256, (3, 28, 28, 3), np.uint8)
        expected = (images / 255 @ np.array([0.5, 0.3, 0.2])).reshape(3, 784) @ WEIGHTS + BIAS
        with Classifier.load(channels_first) as classifier:
            for given_images in (
                images,
                images / 255,
                images.transpose(0, 3, 1, 2),
                images.transpose(0, 3, 1, 2) / 255,
            ):
                np.testing.assert_allclose(classifier.scores(given_images), expected, atol=1e-4)
                np.testing.assert_allclose(classifier.scores(given_images[1]), expected[1:2], atol=1e-4)
                assert classifier(given_images[2]).index == expected[2].argmax()
                assert len(classifier(given_images[:1])) == 1

    def test_batches_of_one_channel(self):
        from fmnist_edge.runtime.runner import model_input

        contract = replace(LINEAR, layout="NCHW")
        for shape, one in [((28, 28), True), ((28, 28, 1), True), ((1, 28, 28), False), ((2, 1, 28, 28), False)]:
            batch, is_one = model_input(np.zeros(shape, np.uint8), contract)
            assert (batch.shape[1:], is_one) == ((28, 28, 1), one)

    def test_layout_needs_an_image(self):
        with pytest.raises(ArtifactError, match="need images of three axes"):
            Contract((784,), "logits", ("a",), layout="NCHW")


def test_a_manifest_does_not_match_the_file_with_a_contract(tmp_path):
    """The SHA-256 in a manifest changes when a contract is added to the file."""
    path = alone(tmp_path, ".tflite", OTHER)
    shutil.copy(manifest_path(SMALL[".tflite"]), manifest_path(path))
    assert hashlib.sha256(path.read_bytes()).hexdigest() != Manifest.read(path).sha256
    refused(path, "truncated or altered")


def test_export_writes_it_and_the_same_bytes_each_time(tmp_path):
    from support.small_model import CONTRACT, small_checkpoint

    checkpoint = small_checkpoint(tmp_path)
    contract = replace(CONTRACT, polarity="dark-on-light", labels=tuple("äöüßxy"))
    for precision in select("all", ["float32"]):
        one, two = (export(checkpoint, precision, contract, tmp_path / name) for name in ("one", "two"))
        content = one.path.read_bytes()
        assert content == two.path.read_bytes() and one.manifest == two.manifest
        assert embedded_contract(one.path, content) == contract == one.contract
        manifest_path(one.path).unlink()
        with Classifier.load(one.path) as alone_, Classifier.load(two.path, verify=True) as vouched:
            images = np.random.default_rng(3).integers(0, 256, (4, 12, 12), np.uint8)
            assert np.array_equal(alone_.scores(images), vouched.scores(images))


def test_the_users_options_are_in_the_contract(tmp_path):
    from support.small_model import small_checkpoint

    checkpoint = small_checkpoint(tmp_path)
    given_by = parser().parse_args(["export", "x", "--polarity", "dark-on-light", "--resize", "box"])
    contract = contract_for(checkpoint, Preprocessing(), None, given_by.polarity, given_by.resize)
    assert (contract.polarity, contract.resize) == ("dark-on-light", "box")
    assert contract_for(checkpoint, Preprocessing(), None).polarity is None
    zoo = checkpoints.load("compact_cnn")
    assert contract_for(zoo, Preprocessing(), None).polarity == "light-on-dark"
    assert contract_for(zoo, Preprocessing(), None, "either").polarity is None
    (tmp_path / "names.txt").write_text("\n".join("abcdefghij"))
    assert contract_for(zoo, Preprocessing(), tmp_path / "names.txt").polarity is None
