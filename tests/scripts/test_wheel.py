"""The wheel as a device gets it: small, and in an environment of its own it runs the README's example."""

import ast
import io
import json
import os
import shutil
import subprocess
import sys
import tokenize
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest
from support import ROOT

SOURCES = ("fmnist_edge", "benchmarks/plans")
FILES = ("pyproject.toml", "README.md", "LICENSE")
LARGEST = 110_000  # bytes
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


@pytest.fixture(scope="module")
def device_wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("device")
    subprocess.run([sys.executable, ROOT / "scripts/runtime_wheel.py", folder], check=True)
    (built,) = folder.glob("fmnist_edge_runtime-*.whl")
    return built


def modules_in(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {name for name in archive.namelist() if ".dist-info/" not in name}


def test_a_devices_wheel_is_small(device_wheel):
    assert device_wheel.stat().st_size <= LARGEST


def test_a_devices_wheel_holds_the_runtime_and_nothing_else(wheel, device_wheel):
    runtime = {name for name in modules_in(wheel) if name.startswith(("fmnist_edge/runtime/", "fmnist_edge/worker/"))}
    beside = {f"fmnist_edge/{name}" for name in ("__init__.py", "aliases.py", "errors.py", "lookup.py", "py.typed")}
    engines = {path for path in runtime if path.startswith("fmnist_edge/runtime/engines/") and "/numpy/" not in path}
    kept = ("__init__", "litert", "native_output", "onnx_session", "onnxruntime", "tflite_faults", "tflite_file")
    needless = engines - {
        f"fmnist_edge/runtime/engines/{name}.py" for name in kept
    }  # no extra installs their libraries
    assert len(runtime) > 20 and modules_in(device_wheel) == (runtime | beside) - needless
    assert {f"fmnist_edge/runtime/engines/{name}.py" for name in ("keras", "cuda", "ncnn")} < needless


def is_list_of_names(node):
    return isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__"


def code_by_line(source: str) -> list[tuple[int, str]]:
    """(line, tokens) of a module without its comments, docstrings and `__all__`."""
    listed = {
        row
        for node in ast.parse(source).body
        if is_list_of_names(node)
        for row in range(node.lineno, node.end_lineno + 1)
    }
    lines: dict[int, list[str]] = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER) and token.start[0] not in listed:
            lines.setdefault(token.start[0], []).append(token.string)
    return [(line, " ".join(words)) for line, words in lines.items()]


def test_a_devices_wheel_has_the_repositorys_code_on_the_same_lines(device_wheel):
    with zipfile.ZipFile(device_wheel) as archive:
        for name in sorted(modules_in(device_wheel)):
            lean, whole = archive.read(name).decode(), (ROOT / name).read_text(encoding="utf-8")
            assert code_by_line(lean) == code_by_line(whole), name
            compile(lean, name, "exec", dont_inherit=True)


DOCSTRINGS = """
import inspect, json
from fmnist_edge import errors, runtime

found = {"fmnist_edge.runtime": runtime.__doc__, "fmnist_edge.errors": errors.__doc__}
for module in (runtime, errors):
    for name in module.__all__:
        item = getattr(module, name)
        found[name] = item.__doc__
        for member, value in vars(item).items():
            if not member.startswith("_") or member in ("__init__", "__call__"):
                found[f"{name}.{member}"] = inspect.getdoc(value)
print(json.dumps(found))
"""


def test_a_devices_wheel_has_the_docstrings_of_the_public_api_and_no_others(device_wheel):
    """Python imports from the wheel itself, which is a zip file."""

    def docstrings(package: Path) -> dict[str, str]:
        environment = {**os.environ, "PYTHONPATH": str(package), "PYTHONSAFEPATH": "1"}
        done = subprocess.run([sys.executable, "-c", DOCSTRINGS], env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    assert docstrings(device_wheel) == docstrings(ROOT)
    with zipfile.ZipFile(device_wheel) as archive:
        assert ast.get_docstring(ast.parse(archive.read("fmnist_edge/runtime/flatbuffer.py"))) is None


def test_holds_the_package_and_nothing_else(wheel):
    names = modules_in(wheel)
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fmnist_edge").rglob("*.py")}
    data = {name for name in names if ".data/data/share/fmnist-edge/plans/" in name}
    inside = (
        "report/assets", "report/templates", "exporters/c/kernels", "exporters/c/templates", "exporters/web/templates",
        "parity/c_form", "runtime/engines/browser_page",
    )  # fmt: skip
    files = [path for name in inside for path in (ROOT / "fmnist_edge" / name).rglob("*") if path.is_file()]
    files += [path for name in ("runtime/engines", "parity") for path in (ROOT / "fmnist_edge" / name).glob("*.mjs")]
    assets = {path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts}
    tables = ("catalog/boards.json", "catalog/tflite_ops.json")
    listed = ("boards/emulation/blocks.c", "boards/emulation/wheels.txt", *tables)
    boards = {f"fmnist_edge/{name}" for name in listed}
    assert names == modules | assets | boards | data | {"fmnist_edge/py.typed"}
    assert len(data) == len(list((ROOT / "benchmarks/plans").glob("*.toml")))


@pytest.mark.parametrize("name", ["wheel", "device_wheel"])
def test_needs_numpy_alone(name, request):
    with zipfile.ZipFile(request.getfixturevalue(name)) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        needed = Parser().parsestr(archive.read(name).decode()).get_all("Requires-Dist")
    assert [item for item in needed if "extra ==" not in item] == ["numpy>=1.24"]


def environment() -> dict[str, str]:
    """Ours without what would let a child find the source tree or this environment's packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def pip(python: str | Path, *arguments: str | Path) -> None:
    command = [python, "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode and any(sign in done.stderr for sign in OFFLINE):
        pytest.skip("the package index cannot be reached")
    assert done.returncode == 0, done.stderr


def readmes_install_lines() -> list[str]:
    """The lines of README that install, as they are written."""
    return [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("pip ")]


def test_the_readmes_install_line_names_the_wheel_that_make_wheel_builds(wheel):
    lines = readmes_install_lines()
    assert lines and all(f"./dist/{wheel.name}[" in line for line in lines)
    assert f"./dist/{wheel.name}[" in (ROOT / "docs/index.md").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.network
def test_the_readmes_install_line_works_as_written(wheel, tmp_path):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], env=environment(), check=True)
    (tmp_path / "dist").mkdir()
    shutil.copy(wheel, tmp_path / "dist")
    path = {"PATH": f"{tmp_path}/venv/bin:{os.environ['PATH']}"}
    for line in readmes_install_lines():
        done = subprocess.run(
            ["sh", "-c", line], cwd=tmp_path, env={**environment(), **path}, capture_output=True, text=True
        )
        if done.returncode and any(sign in done.stderr for sign in OFFLINE):
            pytest.skip("the package index cannot be reached")
        assert done.returncode == 0, done.stderr
    script = "import PIL; from fmnist_edge.runtime import Classifier; Classifier.load({!r}).close()"
    artifact = str(ROOT / "exported/compact_cnn/int8.tflite")
    subprocess.run(
        [tmp_path / "venv/bin/python", "-c", script.format(artifact)], env=environment(), cwd=tmp_path, check=True
    )


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """A folder of what the runtime's extras need, each file with a hash of the lock: pip may choose from it alone."""
    folder = tmp_path_factory.mktemp("packages")
    lock = ROOT / "requirements-runtime.lock"
    pip(sys.executable, "download", "--no-deps", "--require-hashes", "--requirement", lock, "--dest", folder)
    return folder


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.parametrize(("name", "extra", "artifact", "engine"), [
    ("wheel", "litert", "exported/compact_cnn/int8.tflite", "ai-edge-litert"),
    ("device_wheel", "litert", "exported/compact_cnn/int8.tflite", "ai-edge-litert"),
    ("device_wheel", "onnx", "exported/compact_cnn/float32.onnx", "onnxruntime"),
])  # fmt: skip
def test_a_fresh_environment_runs_the_readmes_example(request, packages, name, tmp_path, extra, artifact, engine):
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], env=environment(), check=True)
    binaries = tmp_path / "venv" / "bin"
    wheel = f"{request.getfixturevalue(name)}[{extra}]"
    pip(binaries / "python", "install", "--no-index", "--find-links", packages, wheel)

    def says(*command) -> str:
        done = subprocess.run(command, env=environment(), cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    said = says(binaries / "python", ROOT / "scripts/readme_example.py", artifact)
    assert said.splitlines()[-1].startswith(f"{artifact}: the README's example and 16 golden vectors, by {engine} ")
    if name == "wheel":
        assert "16 of 16 golden vectors pass" in says(binaries / "fmnist-edge", "doctor", ROOT / artifact)


APP = """
import sys

import numpy as np

from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.runtime import Classifier

print("started", flush=True)
path, engine = sys.argv[1:]
try:
    with Classifier.load(path, engine=engine) as classify:
        print(classify(np.zeros((28, 28), np.uint8)).index, classify.engine.version, flush=True)
except FmnistEdgeError as error:
    print(f"{type(error).__name__}: {error}", flush=True)
"""


@pytest.fixture(scope="module")
def freezer(device_wheel, tmp_path_factory):
    """An environment with PyInstaller, the wheel for devices, LiteRT and ONNX Runtime; all from a lock file."""
    folder = tmp_path_factory.mktemp("freezer")
    subprocess.run([sys.executable, "-m", "venv", folder], env=environment(), check=True)
    python = folder / "bin/python"
    pip(python, "install", "--no-deps", "--require-hashes", "--requirement", ROOT / "requirements-pyinstaller.lock")
    pip(python, "install", "--no-deps", device_wheel)
    return python


@pytest.mark.slow
@pytest.mark.network
@pytest.mark.skipif(not shutil.which("objdump"), reason="PyInstaller needs objdump, from binutils")
@pytest.mark.parametrize("form", ["--onedir", "--onefile"])
def test_a_frozen_app_runs_the_engines_and_never_starts_itself(freezer, tmp_path, form):
    """A plain build: the wheel's hook is what brings the engines."""
    (tmp_path / "app.py").write_text(APP)
    command = [freezer, "-m", "PyInstaller", form, "--log-level", "ERROR", "app.py"]
    subprocess.run(command, cwd=tmp_path, env=environment(), check=True)
    app = tmp_path / "dist/app" if form == "--onefile" else tmp_path / "dist/app/app"

    def says(path: Path, engine: str) -> str:
        done = subprocess.run([app, path, engine], env=environment(), capture_output=True, text=True, timeout=120)
        assert done.stdout.count("started") == 1, done.stdout + done.stderr
        return done.stdout.splitlines()[1]

    exported = ROOT / "exported/compact_cnn"
    for name, engine, version in [
        ("int8.tflite", "litert", "ai-edge-litert 2."), ("float32.onnx", "onnxruntime", "onnxruntime 1."),
        ("int8.tflite", "numpy", "numpy 2."),
    ]:  # fmt: skip
        assert version in says(exported / name, engine)
        alone = shutil.copy(exported / name, tmp_path)
        assert says(alone, engine) == (
            f"UnavailableError: {alone}: cannot be tried in a child process here: the app is frozen, so {app} is no "
            f"Python interpreter but the app; ship its manifest {name}.json"
        )
