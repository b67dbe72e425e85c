"""The folders for browsers in exported/: small, and what this toolchain makes of the `.tflite` file beside them."""

import json

import pytest
from support import ROOT
from support.web_models import needs_wasm_compiler, tflite_of, web_folder

from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.exporters.web.compiler import BUILDS, find_compiler
from fmnist_edge.exporters.web.files import page_files
from fmnist_edge.files import sha256_of
from fmnist_edge.runtime.folder import MANIFEST
from fmnist_edge.runtime.manifest import manifest_path

MODELS = ("compact_cnn", "tiny_googlenet", "tiny_resnet")
LARGEST_MODULE = 40_000  # bytes


def shipped(model):
    return Artifact.open(ROOT / "exported" / model / "int8_only.web")


def test_these_ship():
    assert {item.model for item in collect([ROOT / "exported"]) if item.format == "web"} >= set(MODELS)
    assert not [item for item in collect([ROOT / "exported"], for_devices=True) if item.path.is_dir()]


@pytest.mark.parametrize("model", MODELS)
class TestFolder:
    def test_modules_are_small(self, model):
        assert max((shipped(model).path / name).stat().st_size for name in BUILDS) <= LARGEST_MODULE

    def test_the_weights_are_little_more_than_those_of_the_tflite_file(self, model):
        """They hold no table that only another back end reads."""
        assert (shipped(model).path / "weights.bin").stat().st_size <= tflite_of(model).stat().st_size

    def test_it_is_of_the_tflite_file_beside_it(self, model):
        document = shipped(model).manifest.document
        assert document["tflite_sha256"] == sha256_of(tflite_of(model))
        assert (shipped(model).path / MANIFEST).read_bytes() == manifest_path(shipped(model).path).read_bytes()

    def test_its_page_is_the_current_one(self, model):
        """After a change of the templates: make exported."""
        for name, text in page_files().items():
            assert (shipped(model).path / name).read_text(encoding="utf-8") == text, name

    @needs_wasm_compiler()
    def test_the_same_toolchain_makes_the_same_bytes(self, model, tmp_path):
        expected = shipped(model)
        if find_compiler().version != expected.manifest.document["compiler"]:
            pytest.skip(f"compiled by {expected.manifest.document['compiler']}, and here is {find_compiler().version}")
        made = web_folder(model, tmp_path)
        assert made.manifest.files == expected.manifest.files
        assert made.manifest.sha256 == expected.manifest.sha256
        photos = json.loads(manifest_path(made.path).read_text())["photos"]
        assert photos["images"] == expected.manifest.document["photos"]["images"]
