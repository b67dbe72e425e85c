"""Find, verify, load and split Fashion-MNIST.

Xiao, Rasul and Vollgraf 2017 (arXiv:1708.07747). Mirrors recompress the files, so the SHA-256 of the
*decompressed* content is checked.
"""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fmnist_edge.errors import DataError, InputError, UnavailableError, one_line
from fmnist_edge.files import write_atomic

__all__ = [
    "LABELS",
    "POLARITY",
    "Split",
    "calibration_images",
    "candidate_folders",
    "find",
    "load",
    "matches",
    "train_and_validation",
]

LABELS = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip
POLARITY = "light-on-dark"
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
MIRRORS = (
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
)
HOW_TO_GET = (
    "install Debian's package with `apt-get install dataset-fashion-mnist`, or put the four .gz files in a folder "
    "and name it with --data DIR or FMNIST_DATA_DIR"
)


@dataclass(frozen=True)
class IdxFile:
    """One published file: its name, and the SHA-256, header size and array shape of its decompressed content."""

    name: str
    sha256: str
    header: int
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.header + int(np.prod(self.shape))


FILES = {
    ("train", "images"): IdxFile(
        "train-images-idx3-ubyte.gz",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        16,
        (60_000, 28, 28),
    ),
    ("train", "labels"): IdxFile(
        "train-labels-idx1-ubyte.gz",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        8,
        (60_000,),
    ),
    ("test", "images"): IdxFile(
        "t10k-images-idx3-ubyte.gz",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        16,
        (10_000, 28, 28),
    ),
    ("test", "labels"): IdxFile(
        "t10k-labels-idx1-ubyte.gz",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        8,
        (10_000,),
    ),
}


@dataclass(frozen=True)
class Split:
    """Images uint8 (n, 28, 28), 0 = background, and labels uint8 (n,)."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.images)

    def part(self, start: int, stop: int) -> Split:
        return Split(self.images[start:stop], self.labels[start:stop])


def cache_folder() -> Path:
    """The folder for downloads: $XDG_CACHE_HOME/fmnist-edge, by default ~/.cache/fmnist-edge.

    A user without a home, as some services have, gets a folder among the temporary files.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    try:
        return Path(named or Path.home() / ".cache") / "fmnist-edge"
    except RuntimeError:  # no HOME, and no such user
        return Path(os.environ.get("TMPDIR", "/tmp")) / "fmnist-edge"


def matches(shape: tuple[int, ...], labels: tuple[str, ...]) -> bool:
    """Whether this input shape and these labels are those of a Fashion-MNIST model."""
    return (shape, labels) == ((28, 28, 1), LABELS)


def candidate_folders(explicit: str | Path | None = None) -> list[Path]:
    """Folders in search order. A folder named by the caller or FMNIST_DATA_DIR is the only one."""
    named = explicit or os.environ.get("FMNIST_DATA_DIR")
    return [Path(named)] if named else [DEBIAN_FOLDER, cache_folder()]


def find(explicit: str | Path | None = None) -> Path | None:
    """The first folder that holds all four files, or None."""
    for folder in candidate_folders(explicit):
        if all((folder / file.name).is_file() for file in FILES.values()):
            return folder
    return None


def verified(file: IdxFile, compressed: bytes, where: object) -> bytes:
    """Decompress `compressed` and check its SHA-256. Reads at most one byte more than the published size.

    Raises DataError, which names `where`, when the content is truncated, altered or not gzip.
    """
    engine = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    try:
        content = engine.decompress(compressed, file.size + 1)
    except zlib.error as error:
        raise DataError(f"{where}: not a readable gzip file ({error}); {HOW_TO_GET}") from None
    if len(content) < file.size:
        raise DataError(f"{where}: truncated, {len(content):,} of {file.size:,} bytes; {HOW_TO_GET}")
    if hashlib.sha256(content).hexdigest() != file.sha256:
        raise DataError(f"{where}: not the published Fashion-MNIST file (its SHA-256 differs); {HOW_TO_GET}")
    return content


def read(file: IdxFile, folder: Path) -> np.ndarray:
    """Read and verify one IDX file: uint8 of `file.shape`."""
    path = folder / file.name
    try:
        compressed = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {HOW_TO_GET}") from None
    return np.frombuffer(verified(file, compressed, path), np.uint8, offset=file.header).reshape(file.shape)


def load(split: str, folder: str | Path | None = None) -> Split:
    """Load and verify the split "train" (60,000 images) or "test" (10,000 images).

    Raises UnavailableError when the data is not found, DataError when a file is not the published one.
    """
    if split not in ("train", "test"):
        raise InputError(f"unknown split {split!r}; expected 'train' or 'test'")
    found = find(folder)
    if found is None:
        looked = ", ".join(str(path) for path in candidate_folders(folder))
        raise UnavailableError(
            f"Fashion-MNIST not found in {looked}; run `fmnist-edge data --download`, or {HOW_TO_GET}"
        )
    return Split(read(FILES[split, "images"], found), read(FILES[split, "labels"], found))


def train_and_validation(
    train_images: int, validation_images: int, folder: str | Path | None = None
) -> tuple[Split, Split]:
    """(training Split, validation Split) of the first `train_images`; validation is the last `validation_images`."""
    if not 0 <= validation_images < train_images <= 60_000:
        raise InputError(
            f"cannot hold out {validation_images} of {train_images} training images; "
            "expected 0 <= validation < train <= 60000"
        )
    whole = load("train", folder)
    cut = train_images - validation_images
    return whole.part(0, cut), whole.part(cut, train_images)


def calibration_images(count: int = 500, folder: str | Path | None = None, seed: int = 0) -> np.ndarray:
    """`count` class-balanced training images, uint8 (count, 28, 28). Test images are never used.

    They come from the first 18,000 images, on which every model of the zoo is trained.
    """
    if not 1 <= count <= 10_000:
        raise InputError(f"calibration images: got {count}; expected 1 to 10000")
    pool = load("train", folder).part(0, 18_000)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(pool))
    # Round-robin over the classes: every k-th image of a class comes before any (k+1)-th.
    labels = pool.labels[order]
    rank = np.zeros(len(order), int)
    for label in range(10):
        rank[labels == label] = np.arange((labels == label).sum())
    return pool.images[order[np.argsort(rank, kind="stable")[:count]]]


def download(report: Callable[[str], None] = lambda line: None) -> Path:
    """Download the four files from the official mirrors into the cache and return the folder.

    Each file is verified and kept compressed as it was received. Raises UnavailableError, with the error of each
    mirror, when no mirror has a valid file.
    """
    import urllib.request

    folder = cache_folder()
    for file in FILES.values():
        if (folder / file.name).is_file():
            continue
        answers = []
        for mirror in MIRRORS:
            report(f"downloading {mirror}{file.name}")
            try:
                with urllib.request.urlopen(mirror + file.name, timeout=20) as response:
                    compressed = response.read(file.size)
                verified(file, compressed, file.name)
            except (OSError, DataError) as error:
                answers.append(f"{mirror}: {one_line(error, 160)}")
                continue
            write_atomic(folder / file.name, compressed)
            break
        else:
            raise UnavailableError(f"no mirror has a valid {file.name} ({'; '.join(answers)}); {HOW_TO_GET}")
    return folder
