"""Classify the frames of a camera or a video, from a pipe or a file of raw frames; print each change of the answer.

    rpicam-vid -t 0 -n --width 640 --height 480 --codec yuv420 -o - | \
        python examples/video_loop.py exported/tiny_resnet/int8.tflite - --size 640x480 --format yuv420
    ffmpeg -i video.mp4 -f rawvideo -pix_fmt gray -s 640x480 - | \
        python examples/video_loop.py exported/tiny_resnet/int8.tflite - --size 640x480

It classifies the middle square of each frame. Answers are smoothed over frames, so that one blurred frame does not
change them.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from fmnist_edge.runtime import Classifier

BYTES_PER_PIXEL = {"gray": 1.0, "yuv420": 1.5}  # we only use the first plane of yuv420, which is brightness


def frames(file: BinaryIO, width: int, height: int, kind: str) -> Iterator[np.ndarray]:
    """Yield each frame, uint8 (height, width), until the file or pipe ends. An incomplete last frame is ignored."""
    size = int(width * height * BYTES_PER_PIXEL[kind])
    while len(content := file.read(size)) == size:
        yield np.frombuffer(content, np.uint8, width * height).reshape(height, width)


def middle_square(frame: np.ndarray) -> np.ndarray:
    side = min(frame.shape)
    top, left = (frame.shape[0] - side) // 2, (frame.shape[1] - side) // 2
    return frame[top : top + side, left : left + side]


def size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("source", help="a file of raw frames, or - for stdin")
    parser.add_argument("--size", type=size, required=True, metavar="WxH")
    parser.add_argument("--format", choices=list(BYTES_PER_PIXEL), default="gray")
    parser.add_argument("--smoothing", type=float, default=0.8, help="weight of earlier frames, 0 to 1 (default 0.8)")
    parser.add_argument("--invert", default="auto", choices=["never", "auto", "always"])
    options = parser.parse_args()
    shown, number, smooth, start = None, 0, None, time.monotonic()
    source = sys.stdin.fileno() if options.source == "-" else options.source
    with open(source, "rb") as file, Classifier.load(options.model) as classify:
        classify.warm_up()
        labels = classify.contract.labels
        for number, frame in enumerate(frames(file, *options.size, options.format), 1):
            image = classify.fit_image(middle_square(frame))
            found = classify(image, invert=options.invert).probabilities
            smooth = found if smooth is None else options.smoothing * smooth + (1 - options.smoothing) * found
            best = int(smooth.argmax())
            if best != shown:
                print(f"frame {number}: {labels[best]} ({smooth[best]:.0%})", flush=True)
                shown = best
    print(f"{number} frames, {number / (time.monotonic() - start):.0f} per second", file=sys.stderr)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C ends it
        main()
