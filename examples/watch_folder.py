"""Classify the images that arrive in a folder: print one line of JSON for each.

    python examples/watch_folder.py exported/tiny_resnet/int8.tflite incoming/

A file is read when its size and modification time have not changed since the last look, so a slow camera or upload can
finish first. A file that changes is read again. A file that is no image gives a line with "error".
"""

from __future__ import annotations

import argparse
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path

from fmnist_edge.errors import FmnistEdgeError
from fmnist_edge.runtime import Classifier

SUFFIXES = (".png", ".jpg", ".jpeg")
State = dict[Path, tuple[int, int]]  # size in bytes and modification time in ns


def look(folder: Path) -> State:
    """The images in the folder now. Ignores a file that disappears at this moment."""
    found: State = {}
    for path in sorted(folder.iterdir()):
        try:
            if path.suffix.lower() in SUFFIXES and not path.name.startswith("."):
                found[path] = (path.stat().st_size, path.stat().st_mtime_ns)
        except FileNotFoundError:
            continue
    return found


def settled(folder: Path, interval: float) -> Iterator[Path | None]:
    """Yield each new or changed file once it no longer changes, and None after each look."""
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
            elif (looks := looks + 1) == options.looks:
                return


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it
        main()
