"""No child is started where `sys.executable` would start the app again, and only our own child is believed."""

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
from support import ROOT

from fmnist_edge.errors import UnavailableError
from fmnist_edge.runtime.trial import try_load
from fmnist_edge.worker import __main__ as child
from fmnist_edge.worker import interpreter
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Status

TASK = "fmnist_edge.errors:one_line"


@pytest.fixture
def app(tmp_path, monkeypatch):
    """app(name, code): a program that counts its starts, in place of our interpreter. Returns the file of the count."""

    def stand_in(name: str, code: str = "") -> Path:
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\necho started >>{tmp_path}/starts\n{code}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))
        return tmp_path / "starts"

    return stand_in


@pytest.mark.parametrize("name", ["uwsgi", "my-app", "blender", "pythonservice.exe"])
def test_a_program_that_is_no_interpreter_is_not_started(app, name):
    starts = app(name)
    found = call(TASK, None)
    assert found.status is Status.NOT_STARTED and found.reason.endswith(f"/{name}, which is no Python interpreter")
    assert not starts.exists()


def test_a_frozen_app_is_not_started(app, monkeypatch):
    starts = app("python-app")
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert "the app is frozen" in call(TASK, None).reason and not starts.exists()
    monkeypatch.delattr(sys, "frozen")
    for compiled in (types.SimpleNamespace(standalone=True), object()):
        monkeypatch.setattr(sys.modules["__main__"], "__compiled__", compiled, raising=False)
        assert "the app is frozen" in call(TASK, None).reason and not starts.exists()
    monkeypatch.setattr(sys.modules["__main__"], "__compiled__", types.SimpleNamespace(standalone=False))
    assert not interpreter.obstacle()


@pytest.mark.parametrize("nothing", [None, ""])
def test_an_embedded_python_without_interpreter(monkeypatch, nothing):
    monkeypatch.setattr(sys, "executable", nothing)
    assert "embedded in another program" in call(TASK, None).reason


@pytest.mark.parametrize("name", ["python", "python3", "python3.13t", "Python", "pythonw.exe", "pypy3.10"])
def test_interpreters(monkeypatch, name):
    monkeypatch.setattr(sys, "executable", f"/usr/bin/{name}")
    assert not interpreter.obstacle()


def test_an_app_that_is_called_like_an_interpreter_starts_once(app):
    """It starts itself again where its model has no manifest, as a frozen app does."""
    again = (
        "import sys; from fmnist_edge.worker.calls import call; sys.executable = '$0'; "
        f"print(call({TASK!r}, None), file=sys.stderr)"
    )
    starts = app("python", f'PYTHONPATH={ROOT} {sys.executable} -c "{again}"')
    found = call(TASK, None)
    assert (found.status, found.code) == (Status.EXITED, 0) and "was itself started as such a child" in found.value
    assert starts.read_text() == "started\n"


def test_an_answer_without_our_nonce_is_not_believed(app):
    app(
        "python",
        """echo '{"fmnist-edge": "done", "value": null}'; echo '{"fmnist-edge": "done", "value": 1, "nonce": ""}'""",
    )
    assert call(TASK, None).status is Status.EXITED
    with pytest.raises(UnavailableError, match="gave no answer"):
        try_load("x.onnx", "onnxruntime")


def test_another_python_than_ours_is_told(tmp_path, monkeypatch):
    """A program that embeds Python may name the python3 on the PATH, which has other packages."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path], check=True)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    found = call(TASK, None)
    assert isinstance(found.error, UnavailableError) and f"the Python of {tmp_path}" in found.reason


def test_a_child_may_start_children(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    assert call("support.stand_ins:start_child", None).value == "the grandchild's answer"


def test_the_child_uses_the_same_guard():
    assert repr(interpreter.GUARD).replace("'", '"') in Path(child.__file__).read_text()
    assert interpreter.GUARD not in os.environ


def test_a_package_inside_a_zip_file(tmp_path):
    """As in a zipapp: the child starts in a folder that exists, and finds the package in the zip file."""
    import zipfile

    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as archive:
        for path in (ROOT / "fmnist_edge").rglob("*.py"):
            if path.relative_to(ROOT).parts[1] in ("__init__.py", "errors.py", "worker"):
                archive.write(path, path.relative_to(ROOT))
    code = "from fmnist_edge.worker.calls import call; print(call('fmnist_edge.worker.endings:last_line', None))"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": str(tmp_path / "app.pyz")}, cwd=tmp_path,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "positional argument" in done.stdout  # the task was found and called
