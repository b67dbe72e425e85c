"""Try an installed runtime in the Python that runs this: import all of it, and give golden vectors to each engine.

python scripts/try_runtime.py FOLDER    FOLDER holds exported artifacts; prints JSON

It runs in the Pythons of `pythons.py`, so it needs the standard library alone.
"""

import importlib.util
import json
import pkgutil
import platform
import shutil
import sys
import tempfile
from pathlib import Path

# Engine, module of its library, artifact.
ENGINES = (
    ("numpy", "numpy", "int8.tflite"),
    ("litert", "ai_edge_litert", "int8.tflite"),
    ("tflite-runtime", "tflite_runtime", "int8.tflite"),
    ("onnxruntime", "onnxruntime", "float32.onnx"),
)


def modules():
    """The modules of the installed package that import on a device; the hook is PyInstaller's."""
    import fmnist_edge

    found = [item.name for item in pkgutil.walk_packages(fmnist_edge.__path__, "fmnist_edge.")]
    return [name for name in found if "hook-" not in name and not name.endswith("__main__")]


def answers(folder, engine, name):
    """Replay the artifact's golden vectors; load it without its manifest, and classify them again.

    Returns the engine's version. Raises ValueError for a wrong answer.
    """
    from fmnist_edge.runtime import Classifier
    from fmnist_edge.runtime.manifest import Manifest

    path = str(Path(folder) / name)
    golden = Manifest.read(path).golden_vectors()
    with Classifier.load(path, engine=engine, threads=1, verify=True) as classify:
        version = classify.engine.version
        labels = [answer.label for answer in classify(golden.images[..., 0])]
        expected = [classify.contract.labels[index] for index in golden.scores.argmax(axis=1)]
    if labels != expected:
        raise ValueError(f"{version} answered {labels}, expected {expected}")
    with tempfile.TemporaryDirectory() as folder:
        alone = shutil.copy(path, folder)  # without a manifest it is first tried in a child process
        with Classifier.load(alone, engine=engine, threads=1) as classify:
            if [answer.label for answer in classify(golden.images[..., 0])] != expected:
                raise ValueError(f"{version}: other answers without the manifest")
    return version


def main(folder):
    import numpy

    for name in modules():
        importlib.import_module(name)
    found = {"python": platform.python_version(), "numpy": numpy.__version__, "engines": []}
    for engine, module, artifact in ENGINES:
        if importlib.util.find_spec(module) is not None:
            found["engines"].append(answers(folder, engine, artifact))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
