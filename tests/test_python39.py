"""Device code runs on Python 3.9: its syntax and library calls are checked, and it runs where a 3.9 is available.

`$FMNIST_EDGE_PYTHON39`, or a python3.9 on the PATH, is also the device's Python in the tests of bundles and ssh.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from support.devices import ROOT, job, oldest_python, unpack
from support.installed import needs

from fmnist_edge.benchmark.remote.bundle import DEVICE_SIDE, archive

# The command line is not in a bundle, but users may install the package on a device.
COMMAND_LINE = (
    "__main__.py", "catalog", "cli.py", "commands", "data", "jobs", "models/__init__.py", "models/recipe.py",
    "models/spec.py",
)  # fmt: skip


PATHS = [ROOT / "fmnist_edge" / name for name in (*DEVICE_SIDE, *COMMAND_LINE)]


def unions_in_isinstance(file: Path) -> list[int]:
    """Lines with `isinstance(x, A | B)`, which vermin does not find."""
    calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
    tests = [call for call in calls if getattr(call.func, "id", None) == "isinstance"]
    return [call.lineno for call in tests if isinstance(call.args[1], ast.BinOp)]


def test_no_union_in_isinstance():
    files = [file for path in PATHS for file in (path.rglob("*.py") if path.is_dir() else [path])]
    assert {file.name: found for file in files if (found := unions_in_isinstance(file))} == {}


@needs("vermin")
def test_no_newer_syntax_or_library():
    paths = list(map(str, PATHS))
    command = [sys.executable, "-c", "import vermin; vermin.main()", "-t=3.9-", "--violations", "--no-tips", *paths]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.slow
def test_every_module_of_a_bundle_is_importable_on_a_device(device_python, tmp_path):
    folder = unpack(archive(job()), tmp_path)
    names = [
        ".".join(file.relative_to(folder).with_suffix("").parts) for file in sorted(folder.glob("fmnist_edge/**/*.py"))
    ]
    assert "fmnist_edge.benchmark.remote.device" in names and "fmnist_edge.benchmark.loop" in names
    code = f"import importlib\nfor name in {names}: importlib.import_module(name)"
    subprocess.run([device_python, "-c", code], cwd=folder, check=True)


def test_the_command_line_starts_in_it():
    python = oldest_python()
    if python == sys.executable:
        pytest.skip("no Python 3.9 here; vermin alone vouches")
    done = subprocess.run([python, "-m", "fmnist_edge", "bench", "--help"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "--on" in done.stdout, done.stderr
