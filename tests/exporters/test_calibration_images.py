"""Where calibration images come from: arrays, archives, folders, iterables."""

import itertools

import numpy as np
import pytest
from PIL import Image

from fmnist_edge.errors import FileError, InputError
from fmnist_edge.exporters.calibration_images import Calibration, as_calibration, calibration_for
from fmnist_edge.runtime import Contract

SHAPE = (4, 4, 1)
CONTRACT = Contract(SHAPE, "logits", ("a", "b"))
IMAGES = np.random.default_rng(0).integers(0, 256, (6, *SHAPE), dtype=np.uint8)


class TestArchives:
    def read(self, folder, **arrays):
        np.savez(folder / "set.npz", **arrays)
        return calibration_for(CONTRACT, str(folder / "set.npz"), None).images

    @pytest.mark.parametrize(
        "arrays",
        [
            {"anything": IMAGES},
            {"x_train": IMAGES, "y_train": np.arange(6)},
            {"noise": IMAGES[::-1], "x": IMAGES},
            {"x": IMAGES[::-1], "images": IMAGES},
            {"x": IMAGES[..., 0], "y": np.zeros((6, 10))},
        ],
    )
    def test_the_array_of_images_is_found(self, tmp_path, arrays):
        assert np.array_equal(self.read(tmp_path, **arrays), IMAGES)

    @pytest.mark.parametrize(
        ("arrays", "message"),
        [
            (
                {"x_train": IMAGES, "x_test": IMAGES},
                r"set\.npz: 2 of its 2 arrays fit \('x_train' \(6, 4, 4, 1\), 'x_test' \(6, 4, 4, 1\)\); expected one "
                r"of shape \(n, 4, 4, 1\), or the images' named 'images'",
            ),
            ({"a": np.zeros(3), "b": np.zeros((2, 5, 5, 1))}, "none of its 2 arrays fits"),
            ({}, "none of its 0 arrays fits"),
            ({"only": np.zeros((2, 5, 5, 1))}, r"image shape is \(2, 5, 5, 1\)"),
        ],
    )
    def test_what_is_not_clear_is_refused(self, tmp_path, arrays, message):
        with pytest.raises(InputError, match=message):
            self.read(tmp_path, **arrays)

    def test_objects_are_not_unpacked(self, tmp_path):
        with pytest.raises(FileError, match="not a readable"):
            self.read(tmp_path, images=np.array([{}, None], object))


class TestFolders:
    def folder(self, root):
        for index, name in enumerate(("a/1.png", "a/2.PNG", "b/deep/3.png", "4.png")):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(IMAGES[index, ..., 0]).save(root / name)
        return root

    def test_classes_and_hidden_files(self, tmp_path):
        root = self.folder(tmp_path / "set")
        for name in (".DS_Store", "._4.png", ".cache/5.png", "__MACOSX/a/1.png", "a/.hidden.jpg"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(b"not an image")
        (root / "album.png").mkdir()
        found = as_calibration(root, CONTRACT)
        assert np.array_equal(found.images, IMAGES[[3, 0, 1, 2]]) and found.source == "set" and found.notes == ()

    def test_other_files_are_named(self, tmp_path):
        root = self.folder(tmp_path)
        for name in ("notes.txt", "a/x.bmp", "a/y.bmp", "a/z.bmp"):
            (root / name).write_bytes(b"?")
        (note,) = as_calibration(str(root), CONTRACT).notes
        assert note.endswith("left out what is no PNG or JPEG: x.bmp, y.bmp, z.bmp and 1 more")

    def test_a_folder_without_images_says_what_is_there(self, tmp_path):
        with pytest.raises(FileError, match=r"no \.png, \.jpg, \.jpeg file in it; .* it has no files"):
            as_calibration(tmp_path, CONTRACT)
        (tmp_path / "image.webp").write_bytes(b"?")
        with pytest.raises(FileError, match=r"found image\.webp"):
            as_calibration(tmp_path, CONTRACT)


class TestIterables:
    @pytest.mark.parametrize(
        "items",
        [
            IMAGES,
            list(IMAGES),
            iter(IMAGES),
            (image[..., 0] for image in IMAGES),
            [IMAGES[:4], IMAGES[4:]],
            ((IMAGES[start : start + 2], np.zeros(2)) for start in (0, 2, 4)),
            lambda: ([image[None]] for image in IMAGES),
        ],
        ids=["array", "list", "iterator", "no channel", "batches", "with labels", "as TFLite has it"],
    )
    def test_images_and_batches(self, items):
        assert np.array_equal(as_calibration(items, CONTRACT).images, IMAGES)

    def test_no_more_is_taken_than_needed(self):
        taken = []

        def endless():
            for index in itertools.count():
                taken.append(index)
                yield np.full((3, *SHAPE), index, np.uint8)

        found = Calibration.of(endless(), SHAPE, count=7)
        assert found.images[:, 0, 0, 0].tolist() == [0, 0, 0, 1, 1, 1, 2] and taken == [0, 1, 2]
        assert len(as_calibration(endless, CONTRACT).images) == 500
        assert all(batch.base is None for batch in (found.images,))

    def test_what_is_no_image_is_refused_in_one_line(self):
        def fails():
            yield IMAGES[0]
            raise KeyError("no such file")

        for items, message in (
            ([IMAGES[0], IMAGES[0, :3]], r"a Python iterable: item 1: image shape is \(3, 4, 1\); expected"),
            ([IMAGES[0], IMAGES[0] / 255], "item 1 is float64, those before are uint8"),
            ([IMAGES[0].astype(int)], "item 0: image dtype is int64"),
            (fails(), "item 1 raised KeyError: 'no such file'"),
            (["text"], "item 0: image dtype is"),
            ([], "holds no image; .* a generator that was used up must be made again"),
            (5, "calibration is int; expected a Calibration, a path, an array, or an iterable"),
        ):
            with pytest.raises(InputError, match=message) as error:
                as_calibration(items, CONTRACT)
            assert "\n" not in str(error.value)
