"""A full or missing folder for temporary files gives exit code 2 and one line: its name, and how to choose another."""

import ast
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fmnist_edge.boards.emulation import profile, suite, userland
from fmnist_edge.boards.emulation.guest import Task
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError, FileError, TemporaryFileError
from fmnist_edge.files import write_atomic
from fmnist_edge.worker.temporary import (
    check_room,
    temporary_file,
    temporary_folder,
    temporary_stream,
    write_temporary,
)

ROOT = Path(__file__).parents[2]
INT8 = str(ROOT / "exported/compact_cnn/int8.tflite")
ADVICE = "choose another: TMPDIR=FOLDER"


@contextmanager
def full(size: int):
    """Limit every file to `size` bytes, which looks like a full disk to any user."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files in these tests. Python looks it up again."""
    found = tmp_path / "temporary"
    found.mkdir()
    monkeypatch.setenv("TMPDIR", str(found))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return found


class TestHelpers:
    def test_created_and_removed(self, folder):
        with temporary_folder("matrix") as made, temporary_file("a.onnx", b"content") as file:
            assert made.parent == folder and made.name.startswith("fmnist-edge-matrix-")
            assert file.name == "a.onnx" and file.read_bytes() == b"content"
            with temporary_stream("w+") as stream:
                stream.write("text")
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("write", [
        lambda made: (made / "file").write_bytes(bytes(2000)),
        lambda made: write_atomic(made / "deep/file", bytes(2000)),
        lambda made: check_room(),
    ])  # fmt: skip
    def test_a_full_disk_inside_a_folder(self, folder, write):
        with full(1000), pytest.raises(TemporaryFileError) as error, temporary_folder() as made:
            write(made)
        assert str(error.value) == f"{folder}: cannot be written (File too large); {ADVICE}"
        assert list(folder.iterdir()) == []

    @pytest.mark.parametrize("size", [1100, 100_000])
    def test_an_array(self, folder, size):
        """NumPy does not notice that the first array does not fit."""
        array = np.arange(size, dtype=np.uint8)
        with temporary_folder() as made:
            path = write_temporary(made / "a.npy", partial(np.save, arr=array))
            np.testing.assert_array_equal(np.load(path), array)
            with full(1000), pytest.raises(TemporaryFileError, match="File too large"):
                write_temporary(made / "b.npy", partial(np.save, arr=array))

    def test_a_full_disk_elsewhere_names_that_disk(self, tmp_path):
        with full(1000), pytest.raises(FileError) as error, temporary_folder():
            write_atomic(tmp_path / "file", bytes(2000))
        assert str(error.value).startswith(f"{tmp_path}/file: cannot") and not isinstance(
            error.value, TemporaryFileError
        )

    def test_other_errors_pass_through(self):
        with pytest.raises(FileNotFoundError), temporary_folder() as made:
            (made / "none").read_bytes()

    @pytest.mark.parametrize("make", [temporary_folder, lambda: temporary_file("a", b"a"), temporary_stream])
    def test_no_writable_folder(self, folder, make):
        with full(0), pytest.raises(TemporaryFileError) as error, make():
            pass
        assert str(error.value).startswith(f"{folder}: cannot be written (No usable temporary directory found in ")
        assert ADVICE in str(error.value)

    def test_a_missing_folder(self, folder):
        tempfile.gettempdir()
        folder.rmdir()
        with pytest.raises(TemporaryFileError, match="No such file or directory"), temporary_folder():
            pass

    def test_only_this_module_makes_temporary_files(self):
        """Only files.py makes other temporary files, beside the files that they become."""
        users = [
            path.relative_to(ROOT / "fmnist_edge").as_posix()
            for path in sorted((ROOT / "fmnist_edge").rglob("*.py"))
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.Import) and any(name.name == "tempfile" for name in node.names)
        ]
        assert users == ["files.py", "worker/temporary.py"]


@pytest.mark.slow
class TestCommands:
    """Only the disk for temporary files is full; everything else is writable."""

    @pytest.mark.parametrize("arguments", [
        ["matrix", INT8, "--limit", "100", "--engine", "litert-builtin"],
        ["bench", INT8, "--plan", "demo", "--engine", "litert", "--images", "images.npy", "--out", "out"],
        ["bench", INT8, "--check-overhead", "--engine", "litert", "--images", "images.npy"],
    ], ids=["matrix", "bench", "overhead"])  # fmt: skip
    @pytest.mark.parametrize("size", ["0", pytest.param("16k", marks=pytest.mark.slow)])
    def test_on_a_real_disk(self, folder, tmp_path, arguments, size):
        np.save(tmp_path / "images.npy", np.zeros((64, 28, 28), np.uint8))
        done = self.on_a_small_disk(folder, tmp_path, size, arguments)
        line = done.stderr.splitlines()[-1]
        assert done.returncode == 2 and line.startswith(f"fmnist-edge: error: {folder}: cannot be written ("), done
        assert line.endswith(ADVICE)

    def test_room_for_the_images_and_none_for_the_scores(self, folder, tmp_path):
        """The child finds out that there is no room, and does not blame the engine."""
        arguments = ["matrix", INT8, "--limit", "100", "--engine", "litert-builtin"]
        done = self.on_a_small_disk(folder, tmp_path, "80k", arguments)
        assert done.returncode == 2 and "No space left on device" in done.stderr and ADVICE in done.stderr

    def on_a_small_disk(self, folder, tmp_path, size, arguments):
        """A separate file system; "0" means that it is full."""
        fill = f"head -c 100k /dev/zero >{folder}/full 2>/dev/null;" if size == "0" else ""
        mount = f"mount -t tmpfs -o size={'16k' if size == '0' else size} none {folder}"
        if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "sh", "-c", mount]).returncode:
            pytest.skip("no file system can be mounted here")
        # Otherwise Python would use the next folder with room.
        code = f"import sys, tempfile; tempfile.tempdir = {str(folder)!r}; from fmnist_edge.cli import main; "
        code += "sys.exit(main(sys.argv[1:]))"
        command = ["unshare", "-rm", "sh", "-c", f'{mount}; {fill} exec "$@"', "sh", sys.executable, "-c", code]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder)}
        return subprocess.run([*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True)

    def test_emulate(self, folder, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr(userland, "make", lambda *_: None)
        monkeypatch.setattr(profile, "plugin", lambda folder: folder / "blocks.so")
        monkeypatch.chdir(tmp_path)
        with full(1000):
            assert main(["emulate", INT8, "--core", "cortex-a53"]) == 2
        assert capsys.readouterr().err.startswith(f"fmnist-edge: error: {folder}: cannot be written (File too large)")

    def test_an_emulated_core_without_room_does_not_fail_an_artifact(self, tmp_path, monkeypatch):
        def no_room(*_):
            raise TemporaryFileError("no room")

        monkeypatch.setattr(suite.Host, "expected", property(no_room))
        host = suite.Host(suite.Artifact.open(INT8), tmp_path / "images.npy", 1)
        with pytest.raises(TemporaryFileError):
            suite.emulate_cell(host, None, tmp_path, tmp_path, False)

    def test_a_guest_without_room_differs_from_a_failed_guest(self, tmp_path):
        task = Task("x.tflite", "litert", "none.npy", 1)
        with pytest.raises(ArtifactError, match=r"^x\.tflite: litert on an emulated core: its process ended with code"):
            profile.collect(task, "/bin/false", tmp_path / "blocks.so")
        with full(1000), pytest.raises(TemporaryFileError):
            profile.collect(task, "/bin/false", tmp_path / "blocks.so")

    @pytest.mark.parametrize("arguments", [
        ["export", "compact_cnn", "--format", "tflite", "--precision", "float32", "--out", "out"],
        ["explain", INT8],
        ["reproduce", f"{INT8}.json"],
    ], ids=["export", "explain", "reproduce"])  # fmt: skip
    def test_loading_a_model(self, folder, tmp_path, monkeypatch, capsys, arguments):
        monkeypatch.chdir(ROOT)
        arguments = [str(tmp_path / "out") if item == "out" else item for item in arguments]
        with full(1000):
            assert main(arguments) == 2
        assert capsys.readouterr().err.startswith("fmnist-edge: error: ")
