"""A file is the old one or the new one."""

import hashlib
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.errors import FileError
from fmnist_edge.files import sha256_of, write_atomic, write_json, write_via


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


def test_places_that_cannot_be_written(tmp_path):
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
