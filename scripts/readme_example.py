"""The README's example as a device runs it: the installed wheel, NumPy and one engine. Run by the tests and by `make`.

python scripts/readme_example.py ARTIFACT...   exit 1 unless each gives its golden vectors' answers, without TensorFlow
"""

from __future__ import annotations

import importlib.util
import os
import re
import sys
from pathlib import Path

import fmnist_edge
from fmnist_edge.errors import ArtifactError, FmnistEdgeError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.manifest import Manifest

ROOT = Path(__file__).parents[1]
HEAVY = ("tensorflow", "keras", "onnx", "PIL", "scipy", "matplotlib")
PATH = re.compile(r'(?<=Classifier\.load\(")[^"]+')


def readme_example() -> str:
    """The first Python block of the README that loads a classifier."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    return next(block for block in blocks if PATH.search(block))


def run(artifact: str) -> str:
    """Run the example with `artifact` in place of its own, on a golden vector of it; and all its golden vectors."""
    with Classifier.load(artifact, verify=True) as classify:
        contract, engine = classify.contract, classify.engine.version
    golden = Manifest.read(artifact).golden_vectors()
    if golden is None:  # `verify` has replayed them
        raise ArtifactError(f"{artifact}: carries no golden vectors")
    names = {"image": golden.images[0].squeeze(-1)}
    exec(PATH.sub(artifact, readme_example()), names)
    expected = contract.labels[golden.scores[0].argmax()]
    if names["answer"].label != expected:
        raise ArtifactError(f"{artifact}: {names['answer'].label} where {expected} was expected")
    return f"{artifact}: the README's example and {len(golden.images)} golden vectors, by {engine}"


def main(artifacts: list[str]) -> None:
    os.chdir(ROOT)
    if Path(fmnist_edge.__file__).parents[1] == ROOT:
        raise SystemExit("this is the source tree's fmnist_edge; install the wheel and leave PYTHONPATH alone")
    failed = []
    for artifact in artifacts:
        try:
            print(run(artifact))
        except FmnistEdgeError as error:
            failed.append(artifact)
            print(f"FAILED {error}", file=sys.stderr)
    found = [name for name in HEAVY if name in sys.modules or importlib.util.find_spec(name)]
    if found:
        raise SystemExit(f"installed along with it, and not needed: {', '.join(found)}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
