"""The engine `c`: which folders it compiles, what it answers, and its cache."""

from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import needs_c_compiler
from support.c_models import altered_copy, c_folder
from support.engines import refuses_other_inputs

from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.errors import ArtifactError, InputError, UnavailableError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.folder import pack, read_folder, unpack
from fmnist_edge.runtime.manifest import manifest_path

TFLITE = ROOT / "exported/compact_cnn/int8.tflite"
IMAGES = np.random.default_rng(2).integers(0, 256, (5, 28, 28, 1), np.uint8)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """compact_cnn as C, with a manifest, as `export` writes it."""
    return c_folder(TFLITE, tmp_path_factory.mktemp("c"))


@pytest.fixture
def folder(made, tmp_path):
    return altered_copy(made, tmp_path)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One empty cache for all tests of this file."""
    base = tmp_path_factory.getbasetemp() / "c-cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(base))
    monkeypatch.setenv("FMNIST_EDGE_CFLAGS", "-O1")
    monkeypatch.delenv("CC", raising=False)
    return base / "fmnist-edge" / "c"


@needs_c_compiler()
class TestAnswers:
    def test_scores_and_golden_vectors_are_the_tflite_files(self, made):
        with Classifier.load(made.path, verify=True) as found, Classifier.load(TFLITE, engine="numpy") as expected:
            assert np.array_equal(found.scores(IMAGES), expected.scores(IMAGES))
            assert found.engine.name == "c" and found.engine.version.startswith("C for ")
            assert found.engine.input.shape == (1, 28, 28, 1) and found.self_test().passed

    def test_the_second_load_compiles_nothing(self, made, monkeypatch, cache):
        Classifier.load(made.path).close()
        assert list(cache.glob("compact_cnn-*.so"))
        monkeypatch.setattr("fmnist_edge.runtime.engines.c.refusal", lambda *_: pytest.fail("compiled again"))
        Classifier.load(made.path).close()

    def test_other_options_are_another_library(self, made, monkeypatch, cache):
        Classifier.load(made.path).close()
        before = set(cache.iterdir())
        monkeypatch.setenv("FMNIST_EDGE_CFLAGS", "-O1 -DFE_PORTABLE")
        with Classifier.load(made.path) as classify:
            assert classify.engine.version == "C for any C99 compiler"
        assert len(set(cache.iterdir()) - before) == 1

    def test_other_features_of_a_native_build_are_another_library(self, made, monkeypatch, tmp_path, cache):
        """The same options, whose meaning depends on what the compiler finds."""
        Classifier.load(made.path).close()
        before = set(cache.iterdir())
        compiler = tmp_path / "cc"
        compiler.write_text('#!/bin/sh\nexec cc $FEATURES "$@"\n')
        compiler.chmod(0o700)
        monkeypatch.setenv("CC", str(compiler))
        for features in ("", "-DFE_PORTABLE", ""):
            monkeypatch.setenv("FEATURES", features)
            Classifier.load(made.path).close()
        assert len(set(cache.iterdir()) - before) == 2

    def test_an_input_that_would_be_read_beyond_its_end_is_refused(self, made):
        with Classifier.load(made.path) as classify:
            refuses_other_inputs(classify)

    def test_a_compiler_that_refuses_is_named_with_its_first_error(self, made, monkeypatch):
        monkeypatch.setenv("FMNIST_EDGE_CFLAGS", "-O1 -include nonesuch.h")
        with pytest.raises(ArtifactError, match=r"cc does not compile it \(.*nonesuch"):
            Classifier.load(made.path)


class TestRefusals:
    def test_without_a_compiler(self, made, monkeypatch):
        monkeypatch.setenv("CC", "nonesuch-cc")
        with pytest.raises(UnavailableError, match="no C compiler 'nonesuch-cc'; run: apt-get install gcc"):
            Classifier.load(made.path)

    @pytest.mark.parametrize(("change", "message"), [
        (lambda path: (path / "a.out").write_bytes(b"x"), "a.out was added"),
        (lambda path: (path / "golden.c").unlink(), "golden.c is missing"),
        (lambda path: (path / "compact_cnn.c").write_text("int x;"), "compact_cnn.c was altered"),
    ])  # fmt: skip
    def test_an_altered_folder(self, folder, change, message):
        change(folder)
        with pytest.raises(ArtifactError, match=message):
            Classifier.load(folder)

    def test_an_altered_folder_is_not_compiled_by_the_engine_either(self, folder, made, monkeypatch):
        (folder / "compact_cnn.c").write_text("int x;")
        monkeypatch.setattr("fmnist_edge.runtime.engines.c.compiled", lambda *_: pytest.fail("compiled"))
        for contract in (None, made.contract):
            with pytest.raises(ArtifactError):
                Classifier.load(folder, contract=contract)

    @needs_c_compiler()
    def test_sources_without_a_manifest_are_compiled_only_if_the_user_says_so(self, folder, made, monkeypatch):
        manifest_path(folder).unlink()
        with pytest.raises(ArtifactError, match="FMNIST_EDGE_COMPILE=unverified"):
            Classifier.load(folder, contract=made.contract)
        monkeypatch.setenv("FMNIST_EDGE_COMPILE", "unverified")
        with Classifier.load(folder, contract=made.contract) as classify:
            assert classify.scores(IMAGES[:1]).shape == (1, 10)

    def test_a_link_in_the_folder(self, folder):
        (folder / "golden.c").unlink()
        (folder / "golden.c").symlink_to("/etc/passwd")
        with pytest.raises(ArtifactError, match="not a plain file"):
            read_folder(folder)

    def test_a_folder_is_not_bundled(self, made):
        from fmnist_edge.benchmark.remote.bundle import artifact_files

        with pytest.raises(InputError, match="cannot hold a folder of sources"):
            artifact_files([made.path])


class TestFolders:
    def test_one_artifact_and_not_its_files(self, made):
        assert [item.path for item in collect([made.path.parent.parent])] == [made.path]
        assert [item.path for item in collect([made.path])] == [made.path]
        assert made.size_bytes == made.manifest.size_bytes > 100_000 and made.format == "c"

    def test_content_covers_names_and_bytes(self):
        files = {"b": b"1\n2", "a": b""}
        assert unpack(pack(files)) == files and pack(files) == pack(dict(reversed(files.items())))
        others = [{"b": b"1\n2"}, {"b": b"1\n2", "c": b""}, {"b1": b"\n2", "a": b""}, {"b": b"1\n3", "a": b""}]
        assert len({pack(item) for item in (files, *others)}) == 5

    def test_a_new_export_removes_files_of_the_old_one(self, made, tmp_path):
        path = tmp_path / "int8_only.c"
        Artifact.write_folder(path, {"old.c": "int x;", "kept.c": ""}, made.manifest)
        Artifact.write_folder(path, {"new.c": "", "kept.c": ""}, made.manifest)
        assert {file.name for file in Path(path).iterdir()} == {"new.c", "kept.c"}
