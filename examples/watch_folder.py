"""Classify images as they land in a folder: one line of JSON each, on stdout.

    python examples/watch_folder.py exported/tiny_resnet/int8.tflite incoming/

A file is read once its size and time have stayed the same from one look to the next, so that a camera or an upload may
take its time. A file that changes is read again; one that is no image is an "error" line, and the watch goes on.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.runtime import Classifier

SUFFIXES = (".png", ".jpg", ".jpeg")
State = dict[Path, tuple[int, int]]  # size and time of change, ns


def look(folder: Path) -> State:
    """What is there now; a file that goes away meanwhile is not."""
    found: State = {}
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                found[path] = (path.stat().st_size, path.stat().st_mtime_ns)
        except FileNotFoundError:
            continue
    return found


def settled(folder: Path, interval: float) -> Iterator[Path | None]:
    """Files that are new or changed and have come to rest; None after each look."""
    before: State = {}
    done: State = {}
    while True:
        now = look(folder)
        for path, state in now.items():
            if before.get(path) == state != done.get(path):
                done[path] = state
                yield path
        before, done = now, {path: state for path, state in done.items() if path in now}
        yield None
        time.sleep(interval)


def answer(classify: Classifier, path: Path, invert: str) -> dict[str, object]:
    try:
        found = classify.from_file(path, invert=invert)
    except FmnistEdgeError as error:
        return {"file": path.name, "error": str(error)}
    return {"file": path.name, "label": found.label, "confidence": round(found.confidence, 4)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--interval", type=float, default=0.5, metavar="S", help="seconds between looks (default 0.5)")
    parser.add_argument("--looks", type=int, metavar="N", help="end after N looks (default: go on until interrupted)")
    parser.add_argument("--invert", default="auto", choices=["never", "auto", "always"])
    options = parser.parse_args()
    looks = 0
    with Classifier.load(options.model) as classify:
        for path in settled(options.folder, options.interval):
            if path is not None:
                print(json.dumps(answer(classify, path, options.invert)), flush=True)
            else:
                looks += 1
                if looks == options.looks:
                    return


if __name__ == "__main__":
    main()
