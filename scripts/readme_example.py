"""Run the README's example as on a device: with the installed wheel, NumPy and one engine. Run by tests and `make`.

python scripts/readme_example.py ARTIFACT...

Exit code 1 unless each artifact gives the answers of its golden vectors, and neither TensorFlow nor another of HEAVY is
installed.
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
    """Replay all golden vectors of `artifact`, then run the example with `artifact` on one of them."""
    with Classifier.load(artifact, verify=True) as classify:
        contract, engine = classify.contract, classify.engine.version
    golden = Manifest.read(artifact).golden_vectors()
    if golden is None:  # otherwise `verify` has replayed them
        raise ArtifactError(f"{artifact}: has no golden vectors")
    names = {"image": golden.images[0].squeeze(-1)}
    exec(PATH.sub(artifact, readme_example()), names)
    expected = contract.labels[golden.scores[0].argmax()]
    if names["answer"].label != expected:
        raise ArtifactError(f"{artifact}: the example answers {names['answer'].label}, expected {expected}")
    return f"{artifact}: the README's example and {len(golden.images)} golden vectors, by {engine}"


def main(artifacts: list[str]) -> None:
    os.chdir(ROOT)
    if Path(fmnist_edge.__file__).parents[1] == ROOT:
        raise SystemExit("this is the source tree's fmnist_edge; install the wheel and do not set PYTHONPATH")
    failed = []
    for artifact in artifacts:
        try:
            print(run(artifact))
        except FmnistEdgeError as error:
            failed.append(artifact)
            print(f"FAILED {error}", file=sys.stderr)
    found = [name for name in HEAVY if name in sys.modules or importlib.util.find_spec(name)]
    if found:
        raise SystemExit(f"the environment contains packages that the runtime must not need: {', '.join(found)}")
    if failed:
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
