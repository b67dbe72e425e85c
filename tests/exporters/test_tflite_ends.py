"""int8 `.tflite` files with float32 or uint8 ends: the C of the same model with int8 ends, and what stays as it is."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from support.tflite_models import converted

from fmnist_edge.artifact import Artifact
from fmnist_edge.cli import main
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters.tflite_ends import first_conversion, last_conversion, with_int8_ends
from fmnist_edge.exporters.tflite_input import TFLiteInput
from fmnist_edge.exporters.tflite_sources import EXPORTED_FROM
from fmnist_edge.runtime.engines.numpy.model import read_model
from fmnist_edge.runtime.folder import read_folder, unpack


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Type of the ends -> the file."""
    found = {}
    for ends in ("int8", "float32", "uint8"):
        found[ends] = tmp_path_factory.mktemp(ends) / "net.tflite"
        found[ends].write_bytes(converted("windows", "int8_only", ends))
    return found


def sources(path, out):
    assert main(["export", str(path), "--format", "c", "--out", str(out)]) == 0
    made = Artifact.open(out / "net/int8_only.c")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.manifest.document[EXPORTED_FROM]["sha256"] == made.manifest.document["tflite_sha256"] == digest
    return {name: text.replace(digest.encode(), b"SHA-256") for name, text in unpack(read_folder(made.path)).items()}


@pytest.mark.parametrize("ends", ["float32", "uint8"])
def test_the_sources_are_those_of_the_model_with_int8_ends(files, tmp_path, ends):
    expected = sources(files["int8"], tmp_path / "int8")
    assert any(b"SHA-256" in text for text in expected.values())
    assert sources(files[ends], tmp_path / ends) == expected


def test_litert_gives_the_same_scores(files):
    from fmnist_edge.runtime.engine_catalog import ENGINES

    batch = np.random.default_rng(4).normal(0, 1, (1, *read_model(files["float32"].read_bytes()).input.shape[1:]))
    whole = ENGINES["litert-builtin"].load(files["float32"])
    path = files["float32"].with_name("inner.tflite")
    path.write_bytes(with_int8_ends(files["float32"].read_bytes()))
    inner = ENGINES["numpy"].load(path)
    scores = inner.output.dequantize(inner.run(inner.input.quantize(batch.astype(np.float32))))
    assert np.array_equal(scores, whole.run(batch.astype(np.float32)))


def test_int8_ends_and_float_models_are_left_as_they_are(files):
    for content in (files["int8"].read_bytes(), converted("windows", "float32")):
        assert with_int8_ends(content) == content


def test_a_file_is_edited_once(files):
    once = with_int8_ends(files["float32"].read_bytes())
    assert with_int8_ends(once) == once
    kinds = [op.kind for op in read_model(once).ops]
    assert kinds == [op.kind for op in read_model(files["int8"].read_bytes()).ops]


class TestConversionsThatStay:
    @pytest.fixture
    def model(self, files):
        return read_model(files["uint8"].read_bytes())

    def test_those_of_the_file_go(self, model):
        assert (first_conversion(model), last_conversion(model)) == (0, len(model.ops) - 1)

    def test_a_second_reader_of_the_input(self, model):
        more = replace(model.ops[1], inputs=(model.input,))
        assert first_conversion(replace(model, ops=(*model.ops, more))) is None

    def test_a_reader_of_the_output(self, model):
        more = replace(model.ops[1], inputs=(model.output,))
        assert last_conversion(replace(model, ops=(*model.ops, more))) is None

    @pytest.mark.parametrize("changes", [{"scales": np.float32([0.125])}, {"zero_points": np.array([7])}])
    def test_numbers_that_change(self, model, changes):
        for end, find in (("input", first_conversion), ("output", last_conversion)):
            tensor = getattr(model, end)
            other = replace(tensor, quantization=replace(tensor.quantization, **changes))
            assert find(replace(model, **{end: other})) is None

    def test_other_shapes(self, model):
        assert first_conversion(replace(model, input=replace(model.input, shape=(1, 2, 3)))) is None

    def test_a_float_model_is_refused_by_its_input(self, tmp_path):
        (tmp_path / "x.tflite").write_bytes(converted("windows", "float32"))
        with pytest.raises(ExportError, match="its input is float32, expected int8, or float32 or uint8 that"):
            TFLiteInput.read(tmp_path / "x.tflite", "C")
