"""Build the wheel for devices: the runtime alone, as the distribution `fmnist-edge-runtime`. Run by `make wheel`.

python scripts/runtime_wheel.py FOLDER   write the wheel to FOLDER

Its modules have the same names as those of `fmnist-edge`, so install only one of the two. It has the engines
that a device bundle has by default, and the one that needs NumPy alone. Its modules are without comments and internal
docstrings, with the same code on the same lines.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING

from comments import without_comments

if TYPE_CHECKING:
    from fmnist_edge.runtime.engine_catalog import EngineRecord

ROOT = Path(__file__).parents[1]
# All that the runtime imports.
MODULES = ("__init__.py", "aliases.py", "errors.py", "lookup.py", "py.typed", "runtime", "worker")
# What only engines need that are left out.
HELPERS = {
    "chromium.py": "browser.py",
    "page_server.py": "browser.py",
    "cuda.py": "onnxruntime_cuda.py",
    "onnx_gpu_session.py": "onnxruntime_cuda.py",
    "vulkan.py": "onnxruntime_webgpu.py",
}
EXTRAS = ("litert", "onnx", "images")
# Their docstrings stay, and those of all public names of the runtime and of the errors.
BESIDE = {"Engine", "TensorSpec"}


def project() -> str:
    """The wheel's pyproject.toml: the parts of the project's pyproject.toml that concern the runtime."""
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())
    said = whole["project"]
    fields = {name: said[name] for name in ("license", "license-files", "requires-python", "dependencies")}
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    entry_points = [
        (group, name, target) for group, points in said["entry-points"].items() for name, target in points.items()
    ]
    extras = [f"{name} = {json.dumps(said['optional-dependencies'][name])}" for name in EXTRAS]
    return "\n".join([
        "[build-system]",
        *(f"{name} = {json.dumps(value)}" for name, value in whole["build-system"].items()),
        "[project]",
        'name = "fmnist-edge-runtime"',
        'description = "The runtime of fmnist-edge: classify images with an exported model, NumPy and one engine."',
        'dynamic = ["version"]',
        *lines,
        "[project.optional-dependencies]",
        *extras,
        *(f"[project.entry-points.{group}]\n{name} = {json.dumps(target)}" for group, name, target in entry_points),
        "[tool.setuptools]",
        'packages.find.include = ["fmnist_edge*"]',
        'package-data.fmnist_edge = ["py.typed"]',
        'dynamic.version.attr = "fmnist_edge.__version__"',
        "",
    ])  # fmt: skip


def left_out() -> set[str]:
    """Files of the engines that are neither in a device bundle by default nor need NumPy alone, and their helpers."""
    from fmnist_edge.runtime.engine_catalog import ENGINES

    def files(records: list[EngineRecord]) -> set[str]:
        return {record.implementation.partition(":")[0].rpartition(".")[2] + ".py" for record in records}

    kept = [item for item in ENGINES.values() if item.shipped or (item.requirement or "").startswith("numpy")]
    needless = files(list(ENGINES.values())) - files(kept)
    return needless | {helper for helper, user in HELPERS.items() if user in needless}


def public() -> set[str]:
    from fmnist_edge import errors, runtime

    return {*runtime.__all__, *errors.__all__, *BESIDE}


def build(folder: Path) -> None:
    sys.path.insert(0, str(ROOT))
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        (copy / "fmnist_edge").mkdir()
        for module in MODULES:
            source, target = ROOT / "fmnist_edge" / module, copy / "fmnist_edge" / module
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", *left_out()))
            else:
                shutil.copy(source, target)
        for module in set((copy / "fmnist_edge").rglob("*.py")) - set(copy.rglob("__init__.py")):
            module.write_text(without_comments(module.read_text(encoding="utf-8"), public()), encoding="utf-8")
        shutil.copy(ROOT / "LICENSE", copy)
        (copy / "pyproject.toml").write_text(project())
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, copy]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
