"""The wheel as a device gets it: small, and in an environment of its own it runs the README's example."""

import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("fmnist_edge", "benchmarks/plans")
FILES = ("pyproject.toml", "README.md", "LICENSE")
LARGEST = 200_000  # bytes
OFFLINE = ("NewConnectionError", "NameResolutionError", "Temporary failure in name resolution", "ConnectTimeout")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy: setuptools takes what it finds in a `build` folder for part of the package."""
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in FILES:
        shutil.copy(ROOT / name, copy / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", copy / "dist", copy]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (built,) = (copy / "dist").glob("*.whl")
    return built


def compressed(wheel: Path, *parts: str) -> int:
    """Bytes of the wheel that the package's `parts` take."""
    with zipfile.ZipFile(wheel) as archive:
        entries = [
            entry for entry in archive.infolist() if entry.filename.removeprefix("fmnist_edge/").startswith(parts)
        ]
        assert entries
        return sum(entry.compress_size for entry in entries)


@pytest.mark.xfail(strict=True, reason="the runtime is a quarter of it; with the tools it is over 300 kB")
def test_is_small(wheel):
    assert wheel.stat().st_size <= LARGEST


def test_what_a_device_runs_is_small(wheel):
    assert compressed(wheel, "runtime/", "registry.py", "errors.py", "__init__.py") <= LARGEST / 2


def test_holds_the_package_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fmnist_edge").rglob("*.py")}
    data = {name for name in names if ".data/data/share/fmnist-edge/plans/" in name}
    assert names == modules | data | {"fmnist_edge/py.typed"}
    assert len(data) == len(list((ROOT / "benchmarks/plans").glob("*.toml")))


def test_needs_numpy_alone(wheel):
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needed = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist")
    assert [item for item in needed if "extra ==" not in item] == ["numpy>=1.24"]


def environment() -> dict[str, str]:
    """Ours without what would let a child find the source tree or this environment's packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def install(python: Path, what: str) -> None:
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", what]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode and any(sign in done.stderr for sign in OFFLINE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


@pytest.mark.network
@pytest.mark.parametrize(("extra", "artifact", "engine"), [
    ("litert", "exported/compact_cnn/int8.tflite", "ai-edge-litert"),
    ("onnx", "exported/compact_cnn/float32.onnx", "onnxruntime"),
])  # fmt: skip
def test_a_fresh_environment_runs_the_readmes_example(wheel, tmp_path, extra, artifact, engine):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], env=environment(), check=True)
    binaries = tmp_path / "venv" / "bin"
    install(binaries / "python", f"{wheel}[{extra}]")

    def says(*command) -> str:
        done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = says(binaries / "python", ROOT / "scripts/readme_example.py", artifact)
    assert said.splitlines()[-1].startswith(f"{artifact}: the README's example and 16 golden vectors, by {engine} ")
    assert says(binaries / "fmnist-edge", "doctor", ROOT / artifact).count("| pass ") == 16
