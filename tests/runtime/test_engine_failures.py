"""Engines that are missing, broken or unfit: each told as what it is, as an error of our tree."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from fmnist_edge.errors import ArtifactError, UnavailableError
from fmnist_edge.runtime.engine_catalog import EngineRecord

LOAD = """
import sys
from fmnist_edge.runtime.engine_catalog import ENGINES
try:
    ENGINES[sys.argv[1]].load(sys.argv[2], 1)
except Exception as error:
    print(type(error).__name__, error)
"""
NUMPY_1 = "raise ImportError('numpy.core.multiarray failed to import')"
# What stands where onnxruntime, or ai_edge_litert, belongs: (files, the error's class, part of its message)
LIBRARIES = {
    "missing": ({"sitecustomize.py": "import sys; sys.modules['onnxruntime'] = None"},
                "ONNX Runtime is not installed; run: pip install onnxruntime"),
    "empty library": ({"onnxruntime/__init__.py": "from onnxruntime import state", "onnxruntime/state.so": ""},
                      "ONNX Runtime is installed and cannot be imported (ImportError: {}/onnxruntime/state.so: file "
                      "too short); install it again: pip install onnxruntime"),
    "old system": ({"onnxruntime/__init__.py": "raise ImportError(\"libc.so.6: version `GLIBC_2.38' not found\")"},
                   "ONNX Runtime is installed and cannot be imported (ImportError: libc.so.6: version `GLIBC_2.38' not "
                   "found); this system is too old for it, install an older version"),
    "lacks a dependency": ({"onnxruntime/__init__.py": "import no_flatbuffers"},
                           "ONNX Runtime is installed and cannot be imported (ModuleNotFoundError: No module named "
                           "'no_flatbuffers'); install it again: pip install onnxruntime"),
    "raises something else": ({"onnxruntime/__init__.py": "raise OSError('libcudart.so: cannot open')"},
                              "ONNX Runtime is installed and cannot be imported (OSError: libcudart.so: cannot open); "
                              "install it again: pip install onnxruntime"),
    "another NumPy": ({"onnxruntime/__init__.py": NUMPY_1}, "ONNX Runtime was built for another NumPy than the "),
}  # fmt: skip


def said_by_load(folder: Path, files: dict[str, str], engine: str, artifact: Path) -> str:
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content)
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", LOAD, engine, artifact], env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


@pytest.mark.parametrize("case", LIBRARIES)
def test_onnx_runtime(tmp_path, case):
    files, expected = LIBRARIES[case]
    said = said_by_load(tmp_path, files, "onnxruntime", ROOT / "exported/compact_cnn/float32.onnx")
    assert said.startswith(f"UnavailableError {expected.format(tmp_path)}"), said


def test_tflite_runtime_with_numpy_2(tmp_path):
    """tflite-runtime 2.14 is imported, and its constructor raises SystemError from ImportError."""
    files = {
        "tflite_runtime/__init__.py": "__version__ = '2.14.0'",
        "tflite_runtime/interpreter.py": (
            "def Interpreter(**_):\n"
            "    try: raise ImportError('numpy.core.multiarray failed to import')\n"
            "    except ImportError as error: raise SystemError('returned a result with an exception set') from error\n"
        ),
    }
    said = said_by_load(tmp_path, files, "tflite-runtime", ROOT / "exported/compact_cnn/int8.tflite")
    assert said.startswith("UnavailableError tflite-runtime was built for another NumPy than the installed ")
    assert "run: pip install 'numpy<2', or: pip install tflite-runtime 'numpy<2', in an environment of its own" in said


def test_a_broken_litert_is_not_missing_where_its_successors_are(tmp_path):
    files = {
        "ai_edge_litert/__init__.py": "",
        "ai_edge_litert/interpreter.py": "raise ImportError('invalid ELF header')",
        "sitecustomize.py": "import sys; sys.modules['tflite_runtime'] = sys.modules['tensorflow'] = None",
    }
    said = said_by_load(tmp_path, files, "litert", ROOT / "exported/compact_cnn/int8.tflite")
    assert said == (
        "UnavailableError LiteRT is installed and cannot be imported (ImportError: invalid ELF header); install it "
        "again: pip install ai-edge-litert"
    )


class OddEngine:
    def __init__(self, path, threads, error):
        raise error


@pytest.mark.parametrize("error", [SystemError("odd"), KeyError("odd"), MemoryError(), OSError(5, "odd")])
def test_any_exception_of_a_constructor_is_an_error_of_ours(error):
    record = EngineRecord("odd", f"{__name__}:OddEngine", "Odd", "pip install odd", (".x",), {"error": error})
    with pytest.raises(ArtifactError, match=r"^a\.x: Odd cannot load the file \("):
        record.load("a.x")


def test_a_missing_module_of_ours_is_a_bug():
    bug = ModuleNotFoundError("No module named 'fmnist_edge.gone'", name="fmnist_edge.gone")
    with pytest.raises(ModuleNotFoundError):
        EngineRecord("odd", f"{__name__}:OddEngine", "Odd", "pip install odd", (".x",), {"error": bug}).load("a.x")
    with pytest.raises(UnavailableError, match="Odd is not in this package; run: pip uninstall fmnist-edge-runtime"):
        EngineRecord("odd", "fmnist_edge.no_such:Engine", "Odd", "pip install odd", (".x",)).load("a.x")
    with pytest.raises(UnavailableError, match=r"^Odd is not installed; run: pip install odd$"):
        EngineRecord("odd", "no_such_package:Engine", "Odd", "pip install odd", (".x",)).load("a.x")
