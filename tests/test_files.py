"""Atomic file writes, and folder locks."""

import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from fmnist_edge.errors import FileError
from fmnist_edge.files import (
    check_room,
    locked,
    remove_folder,
    sha256_of,
    write_all,
    write_atomic,
    write_json,
    write_via,
)


@given(st.binary(max_size=2000))
def test_bytes_round_trip(tmp_path_factory, content):
    path = write_atomic(tmp_path_factory.mktemp("files") / "new/folder/x.bin", content)
    assert path.read_bytes() == content
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_a_writer_that_fails_leaves_the_old_file(tmp_path, error):
    path = tmp_path / "x.keras"
    path.write_text("old")

    def writer(temporary):
        assert temporary.suffix == ".keras" and temporary.parent == tmp_path
        temporary.write_text("half of the n")
        raise error

    with pytest.raises(type(error)):
        write_via(path, writer)
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("x.keras", "old")]


def test_modes_follow_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        assert write_atomic(tmp_path / "x", "x").stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(before)


def test_unwritable_places(tmp_path):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file/below", tmp_path):
        with pytest.raises(FileError) as refusal:
            write_atomic(path, "x")
        assert str(path) in str(refusal.value) and "cannot be written" in str(refusal.value)
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [-float("inf")]}])
def test_json_has_no_nan(tmp_path, value):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "x.json", value)
    assert not list(tmp_path.iterdir())


def test_files_that_belong_together_are_all_filled_before_the_first_is_replaced(tmp_path):
    first, second = tmp_path / "a.bin", tmp_path / "b.json"
    for path in (first, second):
        path.write_text("old")

    def fails(temporary):
        temporary.write_text("new")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match=r"b\.json: cannot be written \(No space left on device\)"):
        write_all({first: lambda temporary: temporary.write_text("new"), second: fails})
    assert {item.name: item.read_text() for item in tmp_path.iterdir()} == {"a.bin": "old", "b.json": "old"}
    write_all({path: lambda temporary: temporary.write_text("new") for path in (first, second)})
    assert {item.name: item.read_text() for item in tmp_path.iterdir()} == {"a.bin": "new", "b.json": "new"}


@contextmanager
def running(code: str, folder: Path) -> Iterator[subprocess.Popen]:
    """A process that runs `code` in `folder` and has printed a line. It is killed at the end."""
    program = [sys.executable, "-c", f"import time\nfrom fmnist_edge.files import *\n{code}"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(program, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_files_of_killed_runs_are_removed_and_those_of_living_runs_kept(tmp_path):
    path = tmp_path / "x.json"
    writes = "write_via('x.json', lambda path: (path.write_text('half'), print('ready', flush=True), time.sleep(60)))"
    with running(writes, tmp_path):
        with running(writes, tmp_path):
            assert len(list(tmp_path.iterdir())) == 2
        assert len(list(tmp_path.iterdir())) == 2
        write_json(path, 1)
        assert len(set(tmp_path.iterdir()) - {path}) == 1
    write_json(path, 2)
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("x.json", "2\n")]


def test_one_run_at_a_time_in_a_folder(tmp_path):
    folder = tmp_path / "out"
    holds = "with locked('out'):\n    print('ready', flush=True)\n    time.sleep(60)"
    said = "out: another run writes to it; wait until it is done, or name another"
    with running(holds, tmp_path), pytest.raises(FileError, match=said), locked(folder):
        pytest.fail("two at once")
    with locked(folder), pytest.raises(FileError), locked(folder):  # the lock ends with the process
        pytest.fail("nested")
    with locked(folder, wait=True):
        assert not list(folder.iterdir())


def test_a_waiting_run_recreates_a_removed_folder(tmp_path):
    waits = "print('ready', flush=True)\nwith locked('out', wait=True):\n    open('out/mine', 'w').close()"
    with ExitStack() as stack:
        with locked(tmp_path / "out"):
            waiter = stack.enter_context(running(waits, tmp_path))
            with pytest.raises(subprocess.TimeoutExpired):
                waiter.wait(0.5)
            remove_folder(tmp_path / "out")
        assert waiter.wait(30) == 0
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_removed_folder_disappears_at_once(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "run/curve.json").write_text("{}")
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # killed before anything is deleted
    remove_folder(tmp_path / "run")
    assert not (tmp_path / "run").exists()
    monkeypatch.undo()
    remove_folder(tmp_path / "run")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="needs posix_fallocate")
def test_check_room(tmp_path):
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, hard))
    try:
        check_room(tmp_path, 9_000)
        with pytest.raises(FileError, match=r"cannot be written \(File too large"):
            check_room(tmp_path, 11_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []
