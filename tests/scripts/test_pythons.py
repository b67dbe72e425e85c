"""The wheel for devices in the oldest and a new Python, which `scripts/pythons.py` takes from Debian."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

SCRIPT = ROOT / "scripts/pythons.py"
KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DEBIAN = platform.machine() == "x86_64" and shutil.which("apt-get") and shutil.which("dpkg-deb") and KEYS.is_file()
OFFLINE = ("Failed to fetch", "Temporary failure", "NewConnectionError", "NameResolutionError", "ConnectTimeout")


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(not DEBIAN, reason="needs Debian's apt-get and keys, on x86-64")
def test_the_wheel_runs_in_python_39_and_314(tmp_path):
    subprocess.run([sys.executable, ROOT / "scripts/runtime_wheel.py", tmp_path], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- pythons -->\nold\n<!-- /pythons -->\nafter\n")
    options = ("--cache", tmp_path / "cache", "--page", page, "--only", "3.9", "--only", "3.14")
    done = run(wheel, *options)
    if done.returncode and any(sign in done.stderr for sign in OFFLINE):
        pytest.skip("Debian's mirror or the package index cannot be reached")
    assert done.returncode == 0, done.stderr
    lines = page.read_text().splitlines()
    assert lines[:2] == ["before", "<!-- pythons -->"] and lines[-2:] == ["<!-- /pythons -->", "after"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("| 3.")]
    assert [row[0].rpartition(".")[0] for row in rows] == ["3.9", "3.9", "3.14", "3.14"]
    assert [row[1].split(".")[0] for row in rows] == ["1", "2", "2", "2"]
    assert all("onnxruntime" in row[3] for row in rows)
    assert ["tflite-runtime" in row[2] for row in rows] == [True, False, False, False]
    assert ["ai-edge-litert" in row[2] for row in rows] == [False, True, True, True]
