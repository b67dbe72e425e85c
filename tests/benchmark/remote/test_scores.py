"""`check --on`: an artifact's scores from another machine, by a bundle, over ssh, and on an emulated core."""

import json
import shutil
import subprocess

import numpy as np
import pytest
from support import ROOT
from support.devices import ARTIFACT, IMAGES, unpack
from support.ssh_board import Board, sshd

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.remote import score_job, scores
from fmnist_edge.benchmark.remote.scores import MachineScores
from fmnist_edge.benchmark.remote.ssh import SshTarget
from fmnist_edge.cli import main
from fmnist_edge.commands.check_on import core_of
from fmnist_edge.errors import FileError, InputError, UnknownNameError
from fmnist_edge.parity.elsewhere import compare_machines
from fmnist_edge.runtime import Classifier

SYSTEM = "/usr/bin:/bin"
SHA256 = Artifact.open(ARTIFACT).manifest.sha256
MANY = np.random.default_rng(3).integers(0, 256, (2 * scores.PIECE + 7, 28, 28), np.uint8)


def here(images):
    with Classifier.load(ARTIFACT) as classifier:
        return classifier.scores(images)


class TestBundle:
    @pytest.fixture
    def folder(self, tmp_path):
        return unpack(score_job.archive([ARTIFACT], MANY)[0], tmp_path)

    def run(self, python, folder, *verb):
        return subprocess.run([python, "run.py", *verb], cwd=folder, capture_output=True, text=True, check=False)

    @pytest.mark.slow
    def test_gives_the_scores_of_all_images_and_continues_where_it_was_killed(self, folder, device_python):
        done = self.run(device_python, folder)
        assert done.returncode == 0, done.stderr
        result = (folder / "results/scores.npz").read_bytes()
        there = scores.read(result, [SHA256], len(MANY))[SHA256]
        np.testing.assert_array_equal(there.scores, here(MANY))
        assert there.engine.startswith("ai-edge-litert") and there.machine

        pieces = sorted((folder / "results/scores" / SHA256[:16]).glob("*.npy"))
        assert [piece.name for piece in pieces] == ["0.npy", f"{scores.PIECE}.npy", f"{2 * scores.PIECE}.npy"]
        kept = np.load(pieces[0])
        np.save(pieces[0], kept + 1)  # what an earlier run left is not computed again
        pieces[1].write_bytes(pieces[1].read_bytes()[:100])  # cut short by a power cut
        pieces[2].unlink()
        assert self.run(device_python, folder).returncode == 0
        again = scores.read((folder / "results/scores.npz").read_bytes(), [SHA256], len(MANY))[SHA256].scores
        np.testing.assert_array_equal(again[: scores.PIECE], kept + 1)
        np.testing.assert_array_equal(again[scores.PIECE :], there.scores[scores.PIECE :])

    @pytest.mark.slow
    def test_is_verified_before_it_runs(self, folder, device_python):
        (folder / "images.npy").write_bytes(b"altered")
        done = self.run(device_python, folder)
        assert done.returncode == 2 and "its SHA-256 is not the bundle's" in done.stderr

    def test_the_same_job_has_the_same_bytes(self):
        assert score_job.archive([ARTIFACT], IMAGES)[0] == score_job.archive([ARTIFACT], IMAGES)[0]

    def test_an_engine_that_no_device_has(self, tmp_path):
        path = tmp_path / "model.keras"
        path.write_bytes(b"")
        with pytest.raises(InputError, match="Keras, which runs it, is not for a device"):
            score_job.archive([path], IMAGES)


class TestRead:
    """What comes back is not believed."""

    def result(self, tmp_path, array, info=None):
        path = tmp_path / "scores.npz"
        text = json.dumps(info or {"machine": "a board", "engines": {SHA256: "litert 1"}}).encode()
        scores.save(path, {SHA256: array, scores.INFO: np.frombuffer(text, np.uint8)})
        return path.read_bytes()

    def test_refuses_what_is_no_result(self, tmp_path):
        good = self.result(tmp_path, np.zeros((4, 10), np.float32))
        assert scores.read(good, [SHA256], 4)[SHA256].machine == "a board"
        for content in (b"", good[:-50], b"none"):
            with pytest.raises(FileError, match="no result of `check`"):
                scores.read(content, [SHA256], 4)
        with pytest.raises(FileError, match="KeyError"):
            scores.read(good, ["another"], 4)

    @pytest.mark.parametrize("array", [np.zeros((3, 10), np.float32), np.zeros((4, 10)), np.zeros(4, np.float32)])
    def test_refuses_scores_of_another_shape_or_type(self, tmp_path, array):
        with pytest.raises(FileError, match="for 4 images"):
            scores.read(self.result(tmp_path, array), [SHA256], 4)


class TestComparison:
    def test_names_the_images_that_differ(self):
        contract = Artifact.open(ARTIFACT).contract
        ours = np.eye(10, dtype=np.float32)[np.arange(1000) % 10]
        theirs = ours.copy()
        theirs[[7, 500]] = np.roll(theirs[[7, 500]], 1, axis=1)
        found = compare_machines(ours, MachineScores(theirs, "litert", "a board"), "pi@board", "integer", contract)
        assert found.differing == (7, 500) and found.agreement == 0.998 and found.max_abs_delta == 1
        assert found.failure == "2 of 1,000 images have another top class on pi@board: 7, 500"
        same = compare_machines(ours, MachineScores(ours, "litert", "a board"), "pi@board", "integer", contract)
        assert same.failure is None and same.differing == ()

    def test_names_of_emulated_cores(self):
        assert core_of("emulated:a72") is core_of("emulated:cortex-a72")
        with pytest.raises(UnknownNameError, match="choose from: emulated:a53, emulated:a72, emulated:a76"):
            core_of("emulated:a99")


class TestCommand:
    """The machine is a stand-in: what it answers is judged and compared."""

    def check(self, monkeypatch, tmp_path, change):
        def measure(target, artifacts, images, progress):
            found = here(images)
            change(found)
            return {SHA256: MachineScores(found, "litert there", "a board")}

        monkeypatch.setattr(score_job, "measure", measure)
        report = tmp_path / "parity.json"
        code = main(["check", str(ARTIFACT), "--limit", "300", "--on", "pi@board", "--report", str(report)])
        return code, json.loads(report.read_text())

    @pytest.mark.slow
    def test_accuracy_is_the_devices_and_the_report_says_where(self, monkeypatch, tmp_path, capsys):
        code, report = self.check(monkeypatch, tmp_path, lambda found: None)
        row = report["rows"][0]
        assert code == 0 and report["on"] == "pi@board" and row["engine"] == "litert there"
        assert row["elsewhere"]["machine"] == "a board" and row["elsewhere"]["agreement"] == 1
        assert "The figures above are of pi@board" in capsys.readouterr().out

    @pytest.mark.slow
    def test_other_answers_fail_and_are_named(self, monkeypatch, tmp_path, capsys):
        def change(found):
            found[3] = np.roll(found[3], 1)

        code, report = self.check(monkeypatch, tmp_path, change)
        assert code == 1 and report["rows"][0]["elsewhere"]["differing"] == [3]
        assert "1 of 300 images have another top class on pi@board: 3" in capsys.readouterr().err


@pytest.mark.slow
class TestSsh:
    @pytest.fixture
    def board(self, tmp_path, device_python):
        sshd()
        made = Board(tmp_path, f"{device_python.parent}:{SYSTEM}", {})
        yield made
        made.close()

    def test_the_whole_test_set_over_a_link_that_breaks(self, board, tmp_path, capsys):
        """The run goes on without the link, and the same command continues to follow it."""
        images, cuts = np.tile(MANY, (6, 1, 1)), []

        def progress(done, total, text):
            if "int8.tflite" in text and done >= scores.PIECE and not cuts:
                cuts.append(board.cut())

        target = SshTarget("board", ("-F", str(board.config)), 60)
        found = score_job.measure(target, [ARTIFACT], images, progress)
        np.testing.assert_array_equal(found[SHA256].scores, here(images))
        assert sum(cuts) > 0

        report = tmp_path / "parity.json"
        line = ["check", str(ARTIFACT), "--limit", "300", "--on", "board", "--ssh-config", str(board.config)]
        assert main([*line, "--report", str(report)]) == 0
        assert json.loads(report.read_text())["rows"][0]["elsewhere"]["differing"] == []


@pytest.mark.slow
def test_on_an_emulated_core(tmp_path, capsys):
    if not (shutil.which("qemu-aarch64") and (ROOT / "build/emulation/.made").is_file()):
        pytest.skip("no emulated cores here; `make emulate` makes them")
    report = tmp_path / "parity.json"
    line = ["check", str(ARTIFACT), "--limit", "200", "--on", "emulated:a72", "--report", str(report)]
    assert main([*line, "--userland", str(ROOT / "build/emulation")]) == 0
    there = json.loads(report.read_text())["rows"][0]["elsewhere"]
    assert there["machine"] == "emulated cortex-a72" and there["images"] == 200 and there["agreement"] == 1
