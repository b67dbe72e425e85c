"""Searches for artifacts: which leave out folders of files, and what has no program to run it here."""

import shutil

import pytest
from support import ROOT

from fmnist_edge import artifact
from fmnist_edge.artifact import collect, collect_usable

SHIPPED = ROOT / "exported/compact_cnn"


@pytest.fixture
def without_node(monkeypatch):
    monkeypatch.setattr(artifact.shutil, "which", lambda _: None)


@pytest.fixture
def folder(tmp_path):
    """A `.tflite` file and a folder for browsers."""
    for suffix in ("", ".json"):
        shutil.copy(SHIPPED / f"int8.tflite{suffix}", tmp_path)
    shutil.copy(SHIPPED / "int8_only.web.json", tmp_path)
    shutil.copytree(SHIPPED / "int8_only.web", tmp_path / "int8_only.web")
    return tmp_path


def names(artifacts):
    return [item.path.name for item in artifacts]


def test_a_search_for_devices_leaves_folders_out(folder):
    assert names(collect([folder])) == ["int8.tflite", "int8_only.web"]
    assert names(collect([folder], for_devices=True)) == ["int8.tflite"]
    assert names(collect([folder / "int8_only.web"], for_devices=True)) == ["int8_only.web"]


def test_what_has_no_program_here_is_left_out_with_a_line(folder, without_node):
    found, lines = collect_usable([folder])
    assert names(found) == ["int8.tflite"]
    assert lines == [
        f"left out {folder}/int8_only.web: there is no Node to run it; run: apt-get install nodejs",
    ]


def test_what_is_named_stays(folder, without_node):
    found, lines = collect_usable([folder, folder / "int8_only.web"])
    assert "int8_only.web" in names(found) and lines == []
    (folder / "int8.tflite").unlink()
    assert names(collect_usable([folder])[0]) == ["int8_only.web"]


def test_with_the_program_nothing_is_left_out(folder, monkeypatch):
    monkeypatch.setattr(artifact.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert collect_usable([folder]) == (collect([folder]), [])
