"""Images with classes, as people keep them."""

import gzip
import re

import numpy as np
import pytest
from PIL import Image

from fmnist_edge.data.labelled import LabelledImages, read_labelled
from fmnist_edge.errors import FileError, InputError

SHAPE = (6, 5, 3)
FORM = (SHAPE, "bilinear", "stretch", 0)


def write(path, level, mode="RGB", size=(8, 9)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, level).save(path)


@pytest.fixture
def pets(tmp_path):
    """Three images of dog, two of cat, none of eel; each of another grey."""
    for number, name in enumerate(("dog/a.png", "dog/b.jpg", "dog/c.png", "cat/x.png", "cat/y.PNG")):
        write(tmp_path / "pets" / name, (20 * number,) * 3)
    (tmp_path / "pets/eel").mkdir()
    (tmp_path / "pets/.hidden").mkdir()
    return tmp_path / "pets"


class TestFolders:
    def test_a_folder_per_class_is_numbered_as_keras_does(self, pets):
        import keras

        found = read_labelled(str(pets), FORM)
        (pets / ".hidden").rmdir()
        theirs = keras.utils.image_dataset_from_directory(
            pets, image_size=(6, 5), shuffle=False, batch_size=None, verbose=False
        )
        assert found.names == tuple(theirs.class_names) == ("cat", "dog", "eel")
        assert found.labels.tolist() == [int(label) for _, label in theirs] == [0, 0, 1, 1, 1]
        assert [image[0, 0, 0] for image in found.images] == [round(float(image[0, 0, 0])) for image, _ in theirs]

    def test_a_few_are_of_every_class(self, pets):
        assert read_labelled(str(pets), FORM).first(3).labels.tolist() == [0, 1, 0]

    def test_a_flat_folder_has_no_classes(self, pets):
        found = read_labelled(str(pets / "dog"), FORM)
        assert found.labels is None and len(found.images) == 3

    def test_images_beside_folders_have_no_classes(self, pets):
        write(pets / "stray.png", (0, 0, 0))
        assert read_labelled(str(pets), FORM).labels is None

    @pytest.mark.parametrize("header", ["", "file,class\n"])
    def test_a_table_of_classes(self, pets, header):
        (pets / "dog/classes.csv").write_text(header + "c.png,old\nb.jpg, young\na.png,old\n")
        found = read_labelled(str(pets / "dog"), FORM)
        assert (found.names, found.labels.tolist(), found.notes) == (("old", "young"), [0, 1, 0], ())

    def test_a_tables_numbers_are_indices(self, pets):
        (pets / "dog/classes.csv").write_text("a.png,7\nb.jpg,10\nc.png,7\n")
        found = read_labelled(str(pets / "dog"), FORM)
        assert found.names is None and found.labels.tolist() == [7, 10, 7]

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            ("a.png,1\n", InputError, r"no row for 2 of 3 images: b.jpg, c.png"),
            ("a.png\n", FileError, r"row 'a.png'; expected a file and its class"),
        ],
    )
    def test_a_table_that_does_not_fit(self, pets, text, error, message):
        (pets / "dog/classes.csv").write_text(text)
        with pytest.raises(error, match=message):
            read_labelled(str(pets / "dog"), FORM)

    def test_bad_images_are_counted_and_named(self, pets):
        (pets / "dog/zero.png").write_bytes(b"")
        (pets / "cat/cut.png").write_bytes((pets / "cat/x.png").read_bytes()[:45])
        (pets / "cat/note.png").write_text("no image")
        with pytest.raises(FileError) as refused:
            read_labelled(str(pets), FORM)
        text = str(refused.value)
        assert "3 of 8 images cannot be read" in text and "--skip-bad" in text
        assert all(name in text for name in ("zero.png", "cut.png", "note.png"))
        found = read_labelled(str(pets), FORM, skip_bad=True)
        assert found.labels.tolist() == [0, 0, 1, 1, 1]
        assert "left out 3 of 8 images" in found.notes[0]

    def test_nothing_but_bad_images(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"")
        with pytest.raises(FileError, match=r"1 of 1 images cannot be read: .*no image is left"):
            read_labelled(str(tmp_path), FORM, skip_bad=True)

    def test_an_empty_folder(self, tmp_path):
        with pytest.raises(FileError, match=r"no .png, .jpg, .jpeg file in it; expected images; it has no files"):
            read_labelled(str(tmp_path), FORM)

    def test_other_files_are_named(self, pets):
        (pets / "dog/scan.tiff").write_bytes(b"II*\0" + bytes(100))
        assert "left out what is no PNG or JPEG: scan.tiff" in read_labelled(str(pets), FORM).notes[0]

    def test_cmyk_and_sixteen_bits(self, tmp_path):
        Image.new("CMYK", (5, 6), (0, 0, 0, 0)).save(tmp_path / "a.jpg")
        Image.fromarray(np.full((6, 5), 0x8000, np.uint16)).save(tmp_path / "b.png")
        white, grey = read_labelled(str(tmp_path), FORM).images
        assert white.min() > 250 and set(np.unique(grey)) == {128}


class TestArrays:
    @pytest.mark.parametrize("name", ["y", "labels"])
    def test_npz_with_classes(self, tmp_path, name):
        np.savez(tmp_path / "set.npz", x=np.zeros((3, *SHAPE), np.uint8), **{name: np.array([2, 0, 1])})
        assert read_labelled(str(tmp_path / "set.npz"), FORM).labels.tolist() == [2, 0, 1]

    @pytest.mark.parametrize(
        ("others", "labels"),
        [
            ({"y_train": np.array([2, 0, 1])}, [2, 0, 1]),
            ({"y": np.eye(4)[[2, 0, 3]]}, [2, 0, 3]),
            ({"y": np.zeros((3, 4))}, None),
            ({"y": np.zeros(3)}, None),
            ({"ids": np.arange(3), "sizes": np.arange(3)}, None),
            ({"ids": np.arange(3), "y": np.array([1, 1, 0])}, [1, 1, 0]),
        ],
    )
    def test_which_array_is_the_classes(self, tmp_path, others, labels):
        np.savez(tmp_path / "set.npz", x=np.zeros((3, *SHAPE), np.uint8), **others)
        found = read_labelled(str(tmp_path / "set.npz"), FORM).labels
        assert labels is None if found is None else found.tolist() == labels

    def test_npz_with_names(self, tmp_path):
        np.savez(tmp_path / "set.npz", x=np.zeros((3, *SHAPE), np.uint8), y=np.array(["b", "a", "b"]))
        found = read_labelled(str(tmp_path / "set.npz"), FORM)
        assert (found.names, found.labels.tolist()) == (("a", "b"), [1, 0, 1])

    @pytest.mark.parametrize(
        ("content", "names", "labels"),
        [("b\na\nb\n", ("a", "b"), [1, 0, 1]), ("10\n2\n2", None, [10, 2, 2])],
    )
    def test_classes_in_a_text_file(self, tmp_path, content, names, labels):
        np.save(tmp_path / "x.npy", np.zeros((3, *SHAPE), np.uint8))
        (tmp_path / "y.txt").write_text(content)
        found = read_labelled(str(tmp_path / "x.npy"), FORM, labels=str(tmp_path / "y.txt"))
        assert (found.names, found.labels.tolist()) == (names, labels)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (np.zeros(3), "classes are float64; expected integers"),
            (np.zeros(2, int), r"classes of shape \(2,\) for 3 images; expected \(3,\)"),
            (np.zeros((3, 1), int), r"classes of shape \(3, 1\) for 3 images"),
        ],
    )
    def test_classes_that_do_not_fit(self, tmp_path, labels, message):
        np.save(tmp_path / "x.npy", np.zeros((3, *SHAPE), np.uint8))
        np.save(tmp_path / "y.npy", labels)
        with pytest.raises(InputError, match=message):
            read_labelled(str(tmp_path / "x.npy"), FORM, labels=str(tmp_path / "y.npy"))

    def test_classes_twice(self, pets, tmp_path):
        np.save(tmp_path / "y.npy", np.zeros(5, int))
        with pytest.raises(InputError, match="has its classes itself; leave --labels out"):
            read_labelled(str(pets), FORM, labels=str(tmp_path / "y.npy"))


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape) + array.tobytes()


class TestIdx:
    @pytest.mark.parametrize("pack", [bytes, gzip.compress])
    @pytest.mark.parametrize("by", ["file", "folder"])
    def test_a_pair_of_files(self, tmp_path, pack, by):
        images = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
        end = ".gz" if pack is gzip.compress else ""
        path = tmp_path / f"train-images-idx3-ubyte{end}"
        path.write_bytes(pack(idx(images)))
        (tmp_path / f"train-labels-idx1-ubyte{end}").write_bytes(pack(idx(np.array([3, 9], np.uint8))))
        found = read_labelled(str(path if by == "file" else tmp_path), ((28, 28, 1), "bilinear", "stretch", 0))
        assert np.array_equal(found.images[..., 0], images) and found.labels.tolist() == [3, 9]

    @pytest.mark.parametrize("content", [b"", b"\0\0\x0d\3", idx(np.zeros((2, 3, 3), np.uint8))[:-1], b"\x1f\x8bno"])
    def test_another_file(self, tmp_path, content):
        path = tmp_path / "a-images-idx3-ubyte"
        path.write_bytes(content)
        with pytest.raises(FileError, match=f"{re.escape(str(path))}: not a readable IDX file"):
            read_labelled(str(path), ((28, 28, 1), "bilinear", "stretch", 0))


class TestClasses:
    """The classes of the data, and those of the model."""

    def of(self, labels, names=None):
        return LabelledImages(np.zeros((len(labels), 1, 1, 1)), np.array(labels), names, "data")

    def test_by_name_whatever_their_order(self):
        found = self.of([0, 1, 1], ("cat", "dog")).classes_in(("dog", "cat"))
        assert found.labels.tolist() == [1, 0, 0] and found.notes == ()

    @pytest.mark.parametrize("labels", [("class 0", "class 1"), ("0", "1")])
    def test_by_order_for_a_model_without_names(self, labels):
        assert self.of([0, 1], ("cat", "dog")).classes_in(labels).labels.tolist() == [0, 1]

    def test_by_number(self):
        names = ("0", "1", "10", "2")
        assert self.of([3, 2], names).classes_in([f"kind {i}" for i in range(12)]).labels.tolist() == [2, 10]

    def test_missing_classes_are_said(self):
        found = self.of([0, 0], ("dog",)).classes_in(("cat", "dog", "eel"))
        assert found.labels.tolist() == [1, 1] and found.notes == ("data: no image of cat, eel",)

    def test_unknown_classes_are_refused(self):
        with pytest.raises(InputError, match="no class emu; its 2 classes are cat, dog; rename the folders"):
            self.of([0, 1], ("cat", "emu")).classes_in(("cat", "dog"))

    @pytest.mark.parametrize("label", [-1, 2])
    def test_indices_out_of_range_are_refused(self, label):
        with pytest.raises(InputError, match="the model has classes 0 to 1"):
            self.of([0, label]).classes_in(("cat", "dog"))
