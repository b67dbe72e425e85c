"""Emulated cores: the plugin's output is parsed correctly, and one real artifact runs on one emulated core.

`make emulate` does the same for all artifacts and cores.
"""

import hashlib
import json
import shutil
import sys
from collections import Counter

import numpy as np
import pytest
from support import ROOT
from support.c_models import generated

from fmnist_edge.artifact import Artifact
from fmnist_edge.boards.emulation import guest, host, ncnn_guest, profile, results, suite, tables, userland
from fmnist_edge.boards.emulation.c_host import CHost
from fmnist_edge.catalog.boards import CORES
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError, FileError, InputError, UnavailableError, UnknownNameError
from fmnist_edge.parity.matrix.suite import agreement
from fmnist_edge.runtime.folder import sha256_of_files
from fmnist_edge.runtime.manifest import Manifest

COMMITTED = ROOT / "benchmarks/emulated"
FOLDER = ROOT / "build/emulation"  # kept from run to run
ARTIFACT = ROOT / "exported/compact_cnn/int8.tflite"
CORE = "cortex-a72"
IMAGES = 5
SAME_COUNT = 5e-3  # CI has the Python and engine of the committed counts, but another stack and environment


@pytest.fixture(scope="module")
def emulated(tmp_path_factory):
    """One cell, emulated again."""
    try:
        userland.make(FOLDER)
        profile.plugin(FOLDER)
    except UnavailableError as error:
        pytest.skip(str(error))
    out = tmp_path_factory.mktemp("emulated")
    choice = suite.Choice((CORE,), IMAGES)
    images = fashion_mnist.load("test").images
    return suite.run([Artifact.open(ARTIFACT)], images, "the test set", choice, FOLDER, out), out


@pytest.mark.slow
class TestOneModel:
    """The short form of `make emulate`, which CI runs."""

    def test_scores_equal_this_machines_bit_for_bit(self, emulated):
        (cell,), _ = emulated
        assert cell["status"] == "ok", cell["reason"]
        assert cell["parity"]["images"] == IMAGES
        assert cell["parity"]["bit_equal"]

    def test_takes_the_committed_number_of_instructions(self, emulated):
        (cell,), _ = emulated
        committed = results.cell_of(results.load(COMMITTED / f"{CORE}.json"), cell["sha256"])
        assert committed is not None, "commit what `make emulate` writes for this artifact"
        assert cell["instructions"] == pytest.approx(committed["instructions"], rel=SAME_COUNT)
        assert cell["repeatability"] <= suite.REPEATABLE

    def test_is_not_emulated_again(self, emulated, monkeypatch):
        cells, out = emulated
        monkeypatch.setattr(suite, "emulate_cell", lambda *_: pytest.fail("emulated again"))
        again = suite.run(
            [Artifact.open(ARTIFACT)], np.zeros((IMAGES, 28, 28), np.uint8), "", suite.Choice((CORE,), 5), FOLDER, out
        )
        assert again == cells

    def test_scores_are_kept_so_that_an_interrupted_run_continues(self, emulated, monkeypatch, tmp_path):
        images = tmp_path / "images.npy"
        np.save(images, fashion_mnist.load("test").images[:IMAGES])
        one = host.Host(Artifact.open(ARTIFACT), images, IMAGES)
        expected = one.expected
        monkeypatch.setattr(host.cell, "run", lambda *_: pytest.fail("emulated again"))
        np.testing.assert_array_equal(one.emulated(CORES[CORE], FOLDER, again=False), expected)

    def test_a_file_that_is_not_a_model_fails_with_a_reason(self, emulated, tmp_path):
        broken = tmp_path / "broken.tflite"
        broken.write_bytes(b"nothing")
        task = guest.Task(str(broken), "litert", str(tmp_path / "none.npy"), 1)
        with pytest.raises(ArtifactError, match=r"broken\.tflite: litert on an emulated core: "):
            profile.collect(task, userland.interpreter(FOLDER, CORES[CORE]), profile.plugin(FOLDER))


class TestProfiles:
    FIRST = "blocks\n10 4000 1f2003d51f2003d5\n3 5000 1f2003d51f2003d5\n7 6000 c0035fd6\nend\n"
    TEXT = FIRST + "blocks\n1 6000 c0035fd6\nend\n"

    def test_sections_hold_blocks_by_their_instructions(self):
        first, second = profile.read(self.TEXT)
        assert first == Counter({"1f2003d51f2003d5": 13, "c0035fd6": 7})
        assert [profile.instructions(section) for section in (first, second)] == [33, 1]

    def test_are_read_as_saved(self, tmp_path):
        (first, _), path = profile.read(self.TEXT), tmp_path / "core/x.json.gz"
        profile.save(first, 4, path)
        assert profile.load(path) == (first, 4)
        assert profile.load(tmp_path / "none") is None

    def test_marks_are_the_same_in_the_plugin(self):
        source = profile.SOURCE.read_text()
        for value in (guest.START, guest.STOP):
            assert f"{value:#x}" in source

    def test_marks_surround_the_calls_and_not_the_warm_up(self, monkeypatch):
        seen = []
        monkeypatch.setattr(guest, "mark", seen.append)
        guest.run_marked(lambda: seen.append("call"), calls=2, sections=2, warm_up=3)
        section = [guest.START, "call", "call", guest.STOP]
        assert seen == ["call"] * 3 + [0, "call", "call", 0, *section, *section]

    def test_no_compiler_says_what_to_install(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(UnavailableError, match="apt-get install gcc"):
            profile.plugin(tmp_path)


class TestUserland:
    def test_no_qemu_says_what_to_install(self, monkeypatch, tmp_path):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(UnavailableError, match="apt-get install qemu-user"):
            userland.make(tmp_path)

    def test_the_recipe_covers_the_description_of_the_cores(self):
        assert userland.recipe().endswith(f" {ROOT / 'fmnist_edge'}\n")

    def test_a_failed_download_is_one_line(self):
        command = [sys.executable, "-c", "raise SystemExit('\\nE: no such host')"]
        with pytest.raises(
            UnavailableError, match=r"cannot fetch lists: .*\(E: no such host\); an emulated board needs"
        ):
            userland.run_program(command, "lists")

    def test_wheels_are_those_of_the_lock_file(self):
        locked = (ROOT / "requirements.lock").read_text()
        lines = [line.split() for line in userland.WHEELS.read_text().splitlines() if not line.startswith("#")]
        for pin, digest in lines:
            assert f"\n{pin} \\\n" in locked
            assert digest in locked

    def test_an_unknown_core_lists_the_others(self):
        with pytest.raises(UnknownNameError, match="cortex-a53, cortex-a72, cortex-a76"):
            CORES["cortex-m4"]


@pytest.fixture
def c_form(tmp_path):
    """compact_cnn's folder of C with its manifest, and the `.tflite` file beside it."""
    source, folder = ARTIFACT, tmp_path / "compact_cnn/int8_only.c"
    manifest = Manifest.read(source)
    model = generated(source.read_bytes(), folder, manifest.contract, manifest.golden_vectors().images[:1])
    files = {name: text.encode() for name, text in model.files().items()}
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    sections = {"artifact": folder.name, "sha256": sha256_of_files(files), "files": hashes}
    folder.with_name("int8_only.c.json").write_text(json.dumps(manifest.with_sections(sections).as_dict()))
    for suffix in ("", ".json"):
        shutil.copy(f"{source}{suffix}", folder.with_name(f"int8_only.tflite{suffix}"))
    return Artifact.open(folder)


class TestCForm:
    """Needs no userland: the program is cross-compiled."""

    @pytest.mark.slow
    def test_gives_the_numpy_engines_bits_and_counts_repeat(self, c_form, tmp_path):
        try:
            profile.plugin(FOLDER)
            suite.check_tools(suite.TARGETS["cortex-a76"])
        except UnavailableError as error:
            pytest.skip(str(error))
        images = fashion_mnist.load("test").images
        (cell,) = suite.run([c_form], images, "", suite.Choice(("cortex-a76",), IMAGES), FOLDER, tmp_path)
        assert cell["status"] == "ok", cell["reason"]
        assert cell["parity"]["bit_equal"] and cell["parity"]["reference"] == "numpy"
        assert cell["repeatability"] <= suite.REPEATABLE
        assert cell["engine_version"].startswith("C for NEON with dot products; ")
        committed = {it["artifact"]: it for it in results.load(COMMITTED / "cortex-a76.json")["cells"]}
        expected = committed["compact_cnn/int8_only.c"]["instructions"]
        assert cell["instructions"] <= 1.02 * expected, "`make emulate-c` writes a new count"

    def test_without_a_cross_compiler_says_what_to_install(self, c_form, tmp_path, monkeypatch):
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(UnavailableError, match="apt-get install gcc-aarch64-linux-gnu"):
            suite.run([c_form], np.zeros((1, 28, 28), np.uint8), "", suite.Choice(), tmp_path, tmp_path)

    def test_is_compared_with_itself_here_without_the_tflite_file(self, c_form, tmp_path):
        assert CHost(c_form, tmp_path / "images.npy", 1).reference == "numpy"
        c_form.path.with_suffix(".tflite").unlink()
        assert CHost(c_form, tmp_path / "images.npy", 1).reference == "c"

    def test_needs_no_userland(self, c_form):
        assert not suite.needs_userland([c_form])
        assert suite.needs_userland([c_form, Artifact.open(ARTIFACT)])


def cell_with(**changes):
    scores = np.array([[0.0, 1.0], [1.0, 0.0]], np.float32)
    alike = agreement(scores, changes.pop("scores", scores), 0.999)
    base = {"artifact": "m/int8.tflite", "core": CORE, "status": "ok", "reason": None, "parity": alike}
    return {**base, "instructions": 2_500_000, "repeatability": 1e-5, **changes}


class TestVerdicts:
    def test_a_good_cell_passes(self):
        assert suite.failures([cell_with()]) == []
        assert tables.row(cell_with())[2:] == ["2", "100.00", "same bits", "0", "2.50", "0.001"]

    def test_another_top_class_fails(self):
        wrong = cell_with(scores=np.array([[1.0, 0.0], [1.0, 0.0]], np.float32))
        assert suite.failures([wrong]) == [
            "m/int8.tflite on cortex-a72: 1 of 2 images have another top class than here"
        ]
        assert tables.row(wrong)[3:5] == ["50.00 FAIL", "differ"]

    def test_a_count_that_is_not_repeatable_fails(self):
        (line,) = suite.failures([cell_with(repeatability=0.002)])
        assert line == "m/int8.tflite on cortex-a72: instruction counts lie 0.20% apart; at most 0.1%"

    def test_a_cell_with_a_reason_fails(self):
        broken = cell_with(status="failed", reason="crashed (SIGSEGV)", parity=None)
        assert suite.failures([broken]) == ["m/int8.tflite on cortex-a72: crashed (SIGSEGV)"]
        assert tables.row(broken)[2] == "crashed (SIGSEGV)"


class TestCounting:
    def count(self, tmp_path, monkeypatch, counts) -> tuple[dict, int]:
        left = iter(counts)

        def collect(*_):
            return [Counter({"1f2003d5": next(left)}) for _ in range(2)], {"engine_version": "e 1"}

        monkeypatch.setattr(profile, "collect", collect)
        one = host.Host(Artifact.open(ROOT / "exported/compact_cnn/int8.tflite"), tmp_path / "images.npy", 1)
        return suite.count(one, CORES[CORE], tmp_path, tmp_path), len(list(left))

    def test_a_repeatable_count_is_done_once(self, tmp_path, monkeypatch):
        found, unused = self.count(tmp_path, monkeypatch, [4_000_000, 4_000_400, 4_000_000, 4_000_000, 9, 9])
        assert (found["instructions"], found["attempts"], unused) == (1_000_025, 1, 2)

    def test_another_count_is_repeated_up_to_three_times(self, tmp_path, monkeypatch):
        crowded, quiet = [4_000_000, 4_200_000, 4_000_000, 4_000_000], [4_000_000] * 4
        found, _ = self.count(tmp_path, monkeypatch, crowded + quiet)
        assert (found["instructions"], found["attempts"], found["repeatability"]) == (1_000_000, 2, 0)
        found, unused = self.count(tmp_path, monkeypatch, crowded * 4)
        assert found["attempts"] == 3 and found["repeatability"] > suite.REPEATABLE and unused == 4


class TestNothingIsLost:
    def test_two_artifacts_with_the_same_name_are_refused(self, tmp_path):
        artifact = Artifact.open(ROOT / "exported/compact_cnn/int8.tflite")
        with pytest.raises(InputError, match=r"two artifacts are called compact_cnn/int8\.tflite"):
            suite.run([artifact, artifact], np.zeros((1, 28, 28), np.uint8), "", suite.Choice(), tmp_path, tmp_path)

    def test_results_of_another_emulator_are_not_dropped(self, tmp_path):
        made = {"schema": results.SCHEMA, "kind": results.KIND, "core": CORE, **suite.versions(), "qemu": "1.0"}
        kept = results.save({**made, "cells": []}, tmp_path).read_bytes()
        with pytest.raises(InputError, match=r"made by qemu 1\.0, here .*; name another --out"):
            suite.load_results(tmp_path, CORE)
        assert (tmp_path / f"{CORE}.json").read_bytes() == kept

    def test_a_missing_program_is_not_a_failure_of_the_artifact(self, tmp_path, monkeypatch):
        def lacking(*_):
            raise UnavailableError("no plugins")

        artifact = Artifact.open(ROOT / "exported/compact_cnn/int8.tflite")
        one = host.Host(artifact, tmp_path / "images.npy", 1)
        one._scores = np.zeros((1, 10), np.float32)
        monkeypatch.setattr(host.Host, "emulated", lambda *_: one.expected)
        monkeypatch.setattr(suite, "count", lacking)
        with pytest.raises(UnavailableError):
            suite.emulate_cell(one, CORES[CORE], tmp_path, tmp_path, False)


class TestResults:
    def test_committed_results_have_every_shipped_artifact_on_every_core(self):
        shipped = {Artifact.open(path).manifest.sha256 for path in ROOT.glob("exported/*/int8.tflite")}
        for core in CORES:
            result = results.load(COMMITTED / f"{core}.json")
            cells = [cell for cell in result["cells"] if cell["sha256"] in shipped]
            assert len(cells) == len(shipped)
            assert all(cell["parity"]["bit_equal"] and cell["parity"]["images"] >= 500 for cell in cells)
            assert suite.failures([{"core": core, **cell} for cell in result["cells"]]) == []

    def test_the_committed_page_has_the_committed_results(self):
        assert (COMMITTED / "README.md").read_text() == tables.document(results.load_all(COMMITTED))

    @pytest.mark.parametrize(
        ("content", "message"),
        [("{", "not JSON"), ("[]", "not results of"), ('{"kind": "emulated", "schema": 1}', "its cells are missing")],
    )
    def test_other_files_are_refused(self, tmp_path, content, message):
        (tmp_path / "cortex-a72.json").write_text(content)
        with pytest.raises(FileError, match=message):
            results.load_all(tmp_path)


def test_the_size_of_the_image_is_read_from_the_input_layer():
    text = "7767517\n2 2\nInput data 0 1 data -23330=4,3,227,226,3 0=227 1=226 2=3\nReLU r 1 1 data out\n"
    network = ncnn_guest.Network("x.param")
    assert ncnn_guest.search(ncnn_guest.SHAPE, text, network) == ("227", "226", "3")
    with pytest.raises(ArtifactError, match=r"x\.param: no Input layer"):
        ncnn_guest.search(ncnn_guest.SHAPE, "", network)
    assert json.loads(json.dumps(network.__dict__)) == {
        "artifact": "x.param",
        "engine": "ncnn",
        "calls": 1,
        "sections": 1,
    }
