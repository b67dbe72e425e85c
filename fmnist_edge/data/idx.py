"""IDX files, the format of MNIST."""

from __future__ import annotations

import gzip
import re
from pathlib import Path

import numpy as np

from fmnist_edge.errors import FileError, one_line

__all__ = ["IDX", "read_idx"]

IDX = re.compile(r"idx(\d)-ubyte(\.gz)?$")  # how the names end; the digit is the number of axes


def read_idx(path: Path) -> np.ndarray:
    """An IDX file of uint8, or such a file in gzip. The format: https://yann.lecun.org/exdb/mnist.

    Raises FileError for another file.
    """
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        axes = content[3]
        if content[:3] != b"\0\0\x08" or not axes:
            raise ValueError("it does not begin as an IDX file of bytes")
        sizes = np.frombuffer(content, ">u4", axes, 4)
        return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(sizes)
    except (OSError, ValueError, EOFError, IndexError) as error:
        raise FileError(f"{path}: not a readable IDX file ({one_line(error, 100)})") from None
