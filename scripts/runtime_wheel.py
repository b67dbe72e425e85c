"""Build the wheel for devices: the runtime alone, as the distribution `fmnist-edge-runtime`. Run by `make wheel`.

python scripts/runtime_wheel.py FOLDER   write the wheel to FOLDER

Its modules have the same names as those of `fmnist-edge`, so install only one of the two.
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

if TYPE_CHECKING:
    from fmnist_edge.runtime.engine_catalog import EngineRecord

ROOT = Path(__file__).parents[1]
# All that the runtime imports.
MODULES = ("__init__.py", "aliases.py", "errors.py", "lookup.py", "py.typed", "runtime", "worker")
# What only engines need that no device installs.
HELPERS = {"cuda.py": "onnxruntime_cuda.py", "vulkan.py": "onnxruntime_webgpu.py"}
EXTRAS = ("litert", "onnx", "images")


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
    """Files of the engines that are not installed on devices: those without a requirement in the catalogue."""
    sys.path.insert(0, str(ROOT))
    from fmnist_edge.runtime.engine_catalog import ENGINES

    def files(records: list[EngineRecord]) -> set[str]:
        return {record.implementation.partition(":")[0].rpartition(".")[2] + ".py" for record in records}

    needless = files([item for item in ENGINES.values() if item.requirement is None])
    needless -= files([item for item in ENGINES.values() if item.requirement is not None])
    return needless | {helper for helper, user in HELPERS.items() if user in needless}


def build(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        (copy / "fmnist_edge").mkdir()
        for module in MODULES:
            source, target = ROOT / "fmnist_edge" / module, copy / "fmnist_edge" / module
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", *left_out()))
            else:
                shutil.copy(source, target)
        shutil.copy(ROOT / "LICENSE", copy)
        (copy / "pyproject.toml").write_text(project())
        command = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir", folder, copy]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    build(Path(sys.argv[1]).resolve())
