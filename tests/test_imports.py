"""Project rules: the cost of imports, the direction of imports, and the public names."""

import ast
import pkgutil
import subprocess
import sys
from itertools import permutations
from pathlib import Path

import grimp
import pytest

import fmnist_edge
from fmnist_edge import errors, runtime
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.lookup import load
from fmnist_edge.runtime.engine_catalog import ENGINES

PACKAGE = Path(fmnist_edge.__file__).parent
MODULES = sorted(
    name for _, name, _ in pkgutil.walk_packages([str(PACKAGE)], "fmnist_edge.")
    if name not in (
        "fmnist_edge.__main__", "fmnist_edge.models.layers", "fmnist_edge.training.optimizers",
        "fmnist_edge.training.distillation",
    )
)  # fmt: skip
HEAVY = {
    "tensorflow", "keras", "h5py", "onnx", "onnxruntime", "tf2onnx", "ai_edge_litert", "tflite_runtime", "PIL",
    "matplotlib", "optuna", "tqdm", "scipy", "statsmodels", "pandas", "tflite_micro",
    "openvino", "ncnn", "MNN", "pnnx", "onnxruntime_ep_webgpu", "altair", "jinja2", "pynvml",
}  # fmt: skip


def test_imports_follow_the_layers():
    """import-linter checks the layers in pyproject.toml."""
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([script, "--no-logo"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_importing_any_module_imports_no_framework_or_engine():
    loaded = run(f"import sys\nfor name in {MODULES}: __import__(name)\nprint(' '.join(sys.modules))").split()
    assert set(MODULES) <= set(loaded)
    assert not HEAVY & set(loaded)


def test_every_module_can_be_imported_where_unix_modules_are_missing():
    """As on Windows. The modules of the standard library that are hidden are imported by no other of it."""
    hidden = ["fcntl", "grp", "pty", "pwd", "resource", "termios", "syslog"]
    code = f"import sys\nfor name in {hidden}: sys.modules[name] = None\nfor name in {MODULES}: __import__(name)"
    assert run(code) == ""


def test_runtime_needs_only_numpy_and_the_standard_library():
    modules = run("import fmnist_edge.runtime, sys; print(' '.join(sys.modules))").split()
    assert not [name for name in modules if name.startswith("fmnist_edge.runtime.engines.numpy")]
    loaded = {name.partition(".")[0] for name in modules}
    numpy_alone = {name.partition(".")[0] for name in run("import numpy, sys; print(' '.join(sys.modules))").split()}
    assert loaded - numpy_alone - set(sys.stdlib_module_names) <= {"fmnist_edge"}


def imports_of(path: Path) -> set[str]:
    """Names, without the leading package, of our modules that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "fmnist_edge":
            inside = node.module.partition(".")[2]
            found |= {inside} if inside else {alias.name for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[2] for alias in node.names if alias.name.startswith("fmnist_edge.")}
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
class TestEveryFile:
    def test_project_rules(self, path):
        tree = ast.parse(path.read_text())
        assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Assert)], "assert is not for users"
        if path.name != "__main__.py":
            exits = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr == "exit"]
            assert not exits
        assert len(path.read_text().splitlines()) <= 310
        assert ast.get_docstring(tree) or path.name == "__main__.py"


def test_formats_and_engines_do_not_know_their_siblings():
    graph = grimp.build_graph("fmnist_edge")
    formats = [item.implementation for item in FORMATS.values()]
    probes = [item.probe for item in FORMATS.values() if item.probe]
    engines = [record.implementation for record in ENGINES.values()]
    for targets in (formats, probes, engines):
        modules = {target.partition(":")[0] for target in targets}
        for one, other in permutations(modules, 2):
            assert not graph.direct_import_exists(importer=one, imported=other), f"{one} imports {other}"


@pytest.mark.parametrize("record", [*FORMATS.values(), *ENGINES.values()], ids=lambda record: record.name)
def test_names_in_records_resolve(record):
    assert load(record.implementation) is not None
    for target in filter(None, (getattr(record, "embed", None), getattr(record, "probe", None))):
        assert load(target) is not None


def test_public_names():
    assert runtime.__all__ == [
        "AspectWarning", "Classifier", "Contract", "Model", "PolarityWarning", "Prediction", "Preprocessing",
    ]  # fmt: skip
    assert errors.__all__ == [
        "ArtifactError", "CheckpointError", "DataError", "ExportError", "FileError", "FmnistEdgeError", "GateError",
        "InputError", "TemporaryFileError", "UnavailableError", "UnknownNameError", "UnreachableError", "one_line",
    ]  # fmt: skip


def test_the_tree_in_the_docstring_of_errors_is_complete():
    for name in errors.__all__[:-1]:
        kind = getattr(errors, name)
        assert name in errors.__doc__
        assert issubclass(kind, errors.FmnistEdgeError)
    codes = {kind: kind.exit_code for kind in (errors.InputError, errors.GateError, errors.UnavailableError)}
    assert list(codes.values()) == [2, 1, 3]
    assert errors.one_line(ValueError("\n  first \nsecond")) == "first"
    assert errors.one_line(ValueError()) == "ValueError"
    assert len(errors.one_line(ValueError("x" * 999))) == 300
