"""Our reader of variable bundles gives what TensorFlow's gives, and refuses what would end that one."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from torture.bundle import pack, unpack

from fmnist_edge import checkpoints
from fmnist_edge.checkpoints.bundle import read_bundle
from fmnist_edge.checkpoints.checksums import crc32c
from fmnist_edge.errors import CheckpointError

FILES = Path(__file__).parent / "files"
SOUND = FILES / "tf1.15" / "tfop_preprocess_sm"
KERNEL = b"layer_with_weights-0/kernel/.ATTRIBUTES/VARIABLE_VALUE"


@pytest.mark.parametrize("folder", sorted(FILES.glob("*/*_sm/variables")), ids=lambda path: path.parent.name)
def test_every_tensor_is_what_tensorflow_reads(folder):
    import tensorflow as tf

    ours, theirs = read_bundle(folder), tf.train.load_checkpoint(str(folder / "variables"))
    shapes = theirs.get_variable_to_shape_map()
    assert set(shapes) == set(ours.entries)
    for key in shapes:
        expected = theirs.get_tensor(key)
        found = ours.text(key) if isinstance(expected, bytes) else ours.tensor(key)
        assert np.array_equal(found, expected), key
        assert isinstance(expected, bytes) or found.dtype == expected.dtype


@pytest.mark.parametrize("size", [0, 9, (1 << 14) - 1, 1 << 14, 70_001])
def test_the_checksum_of_lanes_is_that_of_bytes(size):
    from torture.bundle import crc32c as byte_by_byte

    content = np.random.default_rng(size).bytes(size)
    assert crc32c(content) == byte_by_byte(content)


def entries_of(folder):
    shards = [path.read_bytes() for path in sorted((folder / "variables").glob("*.data-*"))]
    return unpack((folder / "variables" / "variables.index").read_bytes(), shards)


def rewritten(folder, odd=None):
    shutil.copytree(SOUND, folder)
    shutil.rmtree(folder / "variables")
    (folder / "variables").mkdir()
    index, data = pack(entries_of(SOUND), odd)
    (folder / "variables" / "variables.index").write_bytes(index)
    (folder / "variables" / "variables.data-00000-of-00001").write_bytes(data)
    return folder


def test_a_bundle_that_was_written_anew_loads(tmp_path):
    expected = checkpoints.load(SOUND).model.get_weights()
    found = checkpoints.load(rewritten(tmp_path / "model")).model.get_weights()
    assert all(map(np.array_equal, found, expected))


def with_sizes(entry, *sizes):
    del entry.shape.dim[:]
    for size in sizes:
        entry.shape.dim.add(size=size)


# What is changed in the index -> the refusal. TensorFlow's reader ends the process on the first four.
LIES = {
    "not an entry": (lambda entry: None, "variables.index is damaged"),
    "negative size": (lambda entry: with_sizes(entry, -5), "its index has no place for"),
    "too large": (lambda entry: with_sizes(entry, 1 << 40, 1 << 40), "is said to take 288 bytes"),
    "too many dimensions": (lambda entry: with_sizes(entry, *[1] * 300), "its index has no place for"),
    "text": (lambda entry: setattr(entry, "dtype", 7), "is no array of numbers"),
    "resource": (lambda entry: setattr(entry, "dtype", 20), "is no array of numbers"),
    "another file": (lambda entry: setattr(entry, "shard_id", 3), "lacks variables.data-00003-of-00001"),
    "beyond the end": (lambda entry: setattr(entry, "offset", 1 << 60), "ends before"),
    "another's bytes": (lambda entry: setattr(entry, "offset", 8), "does not have its checksum"),
    "slices": (lambda entry: entry.slices.add(), "is kept in slices"),
}


@pytest.mark.parametrize("lie", LIES)
def test_an_index_that_lies_is_refused(lie, tmp_path):
    change, reason = LIES[lie]
    entry = entries_of(SOUND)[KERNEL].proto
    entry.shard_id = 0
    change(entry)
    value = b"\xff\xff\xff" if lie == "not an entry" else entry.SerializeToString()
    with pytest.raises(CheckpointError, match=reason):
        checkpoints.load(rewritten(tmp_path / "model", {KERNEL: value}))
