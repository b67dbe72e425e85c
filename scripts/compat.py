"""Check that the shipped int8 artifacts give the same answers in an older engine. Run by `make compat`.

python scripts/compat.py run ENGINE OUT.json   classify the first 1,000 test images with every exported/*/int8.tflite
python scripts/compat.py compare A B           print how many answers are the same
python scripts/compat.py same A B              the same, and exit 1 unless all answers are the same
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fmnist_edge.data import fashion_mnist
from fmnist_edge.runtime import Classifier

IMAGES = 1000


def run(name: str, out: str) -> None:
    images = fashion_mnist.load("test").images[:IMAGES]
    answers = {}
    for path in sorted(Path("exported").glob("*/int8.tflite")):
        with Classifier.load(path, engine=name) as classifier:
            answers[path.as_posix()] = classifier.scores(images).argmax(axis=1).tolist()
            engine = f"{classifier.engine.version} ({name})"
    Path(out).write_text(json.dumps({"engine": engine, "answers": answers}))


def compare(first: str, second: str) -> int:
    one, two = (json.loads(Path(path).read_text()) for path in (first, second))
    print(f"{one['engine']} against {two['engine']}, {IMAGES:,} test images:")
    differing = 0
    for path, answers in one["answers"].items():
        different = sum(a != b for a, b in zip(answers, two["answers"][path], strict=True))
        print(f"  {path}: {IMAGES - different:,} same, {different:,} different")
        differing += different
    return differing


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    if command == "run":
        run(*arguments)
    elif compare(*arguments) and command == "same":
        raise SystemExit(1)
