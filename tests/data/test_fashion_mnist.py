"""Fashion-MNIST: the search order of folders, and the check that files are the published ones."""

import functools
import gzip
import http.server
import shutil
import threading

import numpy as np
import pytest

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import DataError, InputError, UnavailableError

SOURCE = fashion_mnist.find()
LABELS_FILE = fashion_mnist.FILES["test", "labels"]


@pytest.fixture
def folder(tmp_path):
    """A folder with all four files: a copy of the smallest one, links to the others."""
    for file in fashion_mnist.FILES.values():
        if file is LABELS_FILE:
            shutil.copy(SOURCE / file.name, tmp_path / file.name)
        else:
            (tmp_path / file.name).symlink_to(SOURCE / file.name)
    return tmp_path


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """An environment without the Debian package and with an empty cache."""
    monkeypatch.delenv("FMNIST_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    return tmp_path


def test_loads_the_published_data():
    train, test = fashion_mnist.load("train"), fashion_mnist.load("test")
    assert (train.images.shape, test.images.shape) == ((60_000, 28, 28), (10_000, 28, 28))
    assert train.labels[:5].tolist() == [9, 0, 0, 3, 0] and test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    assert np.bincount(train.labels).tolist() == [6000] * 10
    assert train.images.dtype == train.labels.dtype == np.uint8
    assert len(fashion_mnist.LABELS) == 10 and fashion_mnist.LABELS[9] == "Ankle boot"
    with pytest.raises(InputError, match="'train' or 'test'"):
        fashion_mnist.load("validation")


def test_search_order(folder, nowhere, monkeypatch):
    assert fashion_mnist.find() is None
    cache = fashion_mnist.cache_folder()
    shutil.copytree(folder, cache, symlinks=True, ignore=shutil.ignore_patterns("cache"))
    assert fashion_mnist.find() == cache
    shutil.copytree(cache, fashion_mnist.DEBIAN_FOLDER, symlinks=True)
    assert fashion_mnist.find() == fashion_mnist.DEBIAN_FOLDER
    monkeypatch.setenv("FMNIST_DATA_DIR", str(folder))
    assert fashion_mnist.find() == folder
    assert fashion_mnist.find(nowhere / "cache") is None, "a folder named by the user is the only one looked at"


def test_missing_data_names_the_folders_and_the_remedy(nowhere):
    with pytest.raises(UnavailableError) as refusal:
        fashion_mnist.load("test")
    for part in (
        str(fashion_mnist.DEBIAN_FOLDER),
        str(fashion_mnist.cache_folder()),
        "apt-get install dataset-fashion-mnist",
        "--data",
    ):
        assert part in str(refusal.value)


def altered(content: bytes) -> bytes:
    raw = bytearray(gzip.decompress(content))
    raw[5000] ^= 1
    return gzip.compress(bytes(raw))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda content: content[: len(content) // 2], "truncated"),
        (lambda content: b"", "truncated"),
        (lambda content: b"not gzip at all", "not a readable gzip"),
        (altered, "not the published"),
        (lambda content: gzip.compress(gzip.decompress(content) + b"x"), "not the published"),
        (lambda content: gzip.compress(b"\0" * 50_000_000), "not the published"),
    ],
)
def test_a_changed_file_is_refused_by_name(folder, change, said):
    path = folder / LABELS_FILE.name
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(DataError) as refusal:
        fashion_mnist.load("test", folder)
    assert str(path) in str(refusal.value) and said in str(refusal.value)
    assert len(fashion_mnist.load("train", folder)) == 60_000, "the other files are still good"


def test_recompressed_files_are_accepted(folder):
    path = folder / LABELS_FILE.name
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()), 1))
    assert len(fashion_mnist.load("test", folder)) == 10_000


@pytest.fixture(scope="module")
def whole():
    return fashion_mnist.load("train")


@pytest.mark.parametrize("name", MODELS)
def test_splits_follow_the_protocol_and_do_not_overlap(name, whole, monkeypatch):
    monkeypatch.setattr(fashion_mnist, "load", lambda split, folder: {"train": whole}[split])
    spec = MODELS[name]
    fitted, validation = fashion_mnist.train_and_validation(spec.train_images, spec.validation_images)
    assert len(fitted) + len(validation) == spec.train_images and len(validation) == spec.validation_images
    assert np.array_equal(np.concatenate([fitted.images, validation.images]), whole.images[: spec.train_images])
    assert len(fitted) >= 18_000, "calibration draws from these"


@pytest.mark.parametrize(("train", "validation"), [(100, 100), (60_001, 10), (10, -1)])
def test_impossible_splits(train, validation):
    with pytest.raises(InputError, match="cannot hold out"):
        fashion_mnist.train_and_validation(train, validation)


def test_calibration_images_are_balanced_training_images():
    images = fashion_mnist.calibration_images(500)
    assert (images.shape, images.dtype) == ((500, 28, 28), np.uint8)
    assert np.array_equal(images, fashion_mnist.calibration_images(500))
    assert not np.array_equal(images, fashion_mnist.calibration_images(500, seed=1))
    train = fashion_mnist.load("train").part(0, 18_000)
    label_of = {image.tobytes(): label for image, label in zip(train.images, train.labels, strict=True)}
    assert np.bincount([label_of[image.tobytes()] for image in images]).tolist() == [50] * 10
    tests = {image.tobytes() for image in fashion_mnist.load("test").images}
    assert not tests & {image.tobytes() for image in images}
    for count in (0, 10_001):
        with pytest.raises(InputError):
            fashion_mnist.calibration_images(count)


@pytest.fixture
def mirror(folder, monkeypatch):
    """The address of a local HTTP server with the real files."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_download_tries_the_next_mirror_and_verifies(mirror, nowhere, monkeypatch):
    (nowhere / LABELS_FILE.name).rename(nowhere / "kept")
    monkeypatch.setattr(fashion_mnist, "MIRRORS", ("http://127.0.0.1:9/", mirror))
    with pytest.raises(UnavailableError, match=LABELS_FILE.name):
        fashion_mnist.download()  # no mirror has this file
    (nowhere / "kept").rename(nowhere / LABELS_FILE.name)
    said = []
    assert fashion_mnist.download(said.append) == fashion_mnist.cache_folder()
    assert len(fashion_mnist.load("test")) == 10_000
    assert len(said) == 2, "only the missing file is fetched, from the second mirror after the first"
    kept = {path.name: path.read_bytes() for path in fashion_mnist.cache_folder().iterdir()}
    sent = {file.name: (nowhere / file.name).read_bytes() for file in fashion_mnist.FILES.values()}
    assert kept == sent, "they are kept as they came: to compress them again takes long and changes nothing"


def test_download_keeps_no_wrong_file(mirror, nowhere, monkeypatch):
    (nowhere / fashion_mnist.FILES["train", "images"].name).unlink()
    (nowhere / fashion_mnist.FILES["train", "images"].name).write_bytes(gzip.compress(b"<html>login first</html>"))
    monkeypatch.setattr(fashion_mnist, "MIRRORS", (mirror,))
    with pytest.raises(UnavailableError, match="truncated"):
        fashion_mnist.download()
    assert not fashion_mnist.cache_folder().exists()
