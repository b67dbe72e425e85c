# ruff: noqa: N999
"""What a frozen app needs of the runtime: the engines, which are imported by name, and LiteRT's libraries.

An engine that is not installed where the app is built is left out, and so is TensorFlow.
"""

from PyInstaller.utils.hooks import can_import_module, collect_dynamic_libs, collect_submodules

INTERPRETERS = ("ai_edge_litert.interpreter", "tflite_runtime.interpreter")  # imported by name in engines/litert.py

hiddenimports = collect_submodules("fmnist_edge.runtime", filter=lambda name: not name.endswith(".engines.keras"))
hiddenimports += [name for name in INTERPRETERS if can_import_module(name)]
libraries = collect_dynamic_libs("ai_edge_litert") if can_import_module("ai_edge_litert") else []
binaries = [pair for pair in libraries if "vendors" not in pair[0]]  # NPU compilers, which lack their own libraries
