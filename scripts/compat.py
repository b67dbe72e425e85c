"""Do the shipped int8 artifacts answer alike in an older engine? Run by `make compat`, once in each environment.

python scripts/compat.py run OUT.json        classify the first 1,000 test images with every exported/*/int8.tflite
python scripts/compat.py compare A B         exit 1 if any answer differs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from fmnist_edge import data
from fmnist_edge.runtime import Classifier

IMAGES = 1000


def run(out: str) -> int:
    images = data.load("test").images[:IMAGES]
    answers = {}
    for path in sorted(Path("exported").glob("*/int8.tflite")):
        with Classifier.load(path) as classifier:
            answers[path.as_posix()] = classifier.scores(images).argmax(axis=1).tolist()
            engine = classifier.engine.version
    Path(out).write_text(json.dumps({"engine": engine, "answers": answers}))
    return 0


def compare(first: str, second: str) -> int:
    one, two = (json.loads(Path(path).read_text()) for path in (first, second))
    print(f"{one['engine']} against {two['engine']}, {IMAGES:,} test images:")
    differing = 0
    for path, answers in one["answers"].items():
        different = sum(a != b for a, b in zip(answers, two["answers"][path], strict=True))
        print(f"  {path}: {IMAGES - different:,} same, {different:,} different")
        differing += different
    return int(differing > 0)


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    raise SystemExit({"run": run, "compare": compare}[command](*arguments))
