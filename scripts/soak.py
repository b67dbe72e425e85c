"""Run a classifier under load: its memory must not grow, and its answers must be those of a single thread.

    python scripts/soak.py exported/compact_cnn/int8.tflite --calls 1000000
    python scripts/soak.py exported/compact_cnn/int8.tflite --calls 10000 --threads 8

Resident memory is read ten times. The first reading is after a tenth of the calls, when caches are filled. Exit code 1
when memory grows by more than --allowed after that, or when an answer differs from the first one.
"""

from __future__ import annotations

import argparse
import sys
import threading

import numpy as np

from fmnist_edge.benchmark.bare import resident_bytes
from fmnist_edge.runtime import Classifier

IMAGES = 16
LOOKS = 10


def blobs() -> np.ndarray:
    """Random images, uint8 (IMAGES, 28, 28), light on dark."""
    coarse = np.random.default_rng(0).integers(0, 256, (IMAGES, 5, 5), np.uint8)
    return np.pad(np.kron(coarse, np.ones((5, 5), np.uint8)), ((0, 0), (1, 2), (1, 2)))


def call(classify: Classifier, images: np.ndarray, expected: list[bytes], begin: int, end: int) -> int:
    """Make the calls from number `begin` to before `end`; returns how many answers differ from `expected`."""
    return sum(
        classify(images[number % IMAGES]).probabilities.tobytes() != expected[number % IMAGES]
        for number in range(begin, end)
    )


def soak(classify: Classifier, calls: int, threads: int) -> tuple[int, list[int]]:
    """Make `calls` calls in each of `threads` threads; returns (wrong answers, resident bytes at each reading)."""
    images = blobs()
    expected = [classify(image).probabilities.tobytes() for image in images]
    wrong: list[int] = []
    memory: list[int] = []
    for look in range(LOOKS):
        part = calls * look // LOOKS, calls * (look + 1) // LOOKS
        workers = [
            threading.Thread(target=lambda shift: wrong.append(call(classify, images, expected, *shift)),
                             args=((part[0] + offset, part[1] + offset),))
            for offset in range(threads)
        ]  # fmt: skip
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        memory.append(resident_bytes() or 0)
    if len(wrong) != LOOKS * threads:
        raise RuntimeError(f"{LOOKS * threads - len(wrong)} threads ended with an error")
    return sum(wrong), memory


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--calls", type=int, default=1_000_000, help="calls per thread (default 1,000,000)")
    parser.add_argument("--threads", type=int, default=1, help="threads that share the classifier (default 1)")
    parser.add_argument("--engine")
    parser.add_argument("--allowed", type=float, default=1.0, metavar="MB", help="allowed growth of memory (default 1)")
    options = parser.parse_args()
    with Classifier.load(options.artifact, threads=1, engine=options.engine) as classify:
        wrong, memory = soak(classify, options.calls, options.threads)
    growth = (max(memory) - memory[0]) / 1e6
    print(f"{options.threads} x {options.calls:,} calls: {wrong} wrong answers; resident MB", end=" ")
    print(*(f"{item / 1e6:.2f}" for item in memory), f"(growth {growth:.2f})")
    return int(wrong > 0 or growth > options.allowed)


if __name__ == "__main__":
    sys.exit(main())
