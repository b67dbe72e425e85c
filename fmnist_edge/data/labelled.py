"""Images with their classes, as people keep them: folders, a folder per class, arrays, IDX files."""

from __future__ import annotations

import csv
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fmnist_edge import console
from fmnist_edge.data.files import (
    IMAGE_SUFFIXES,
    class_folders,
    image_files,
    listed,
    read_array,
    read_images,
    read_labels,
)
from fmnist_edge.data.idx import IDX, read_idx
from fmnist_edge.errors import FileError, InputError, one_line
from fmnist_edge.runtime.images import AspectWarning, ImageForm, read_image
from fmnist_edge.runtime.preprocess import as_batch

__all__ = ["LabelledImages", "read_labelled"]

NAMED = 3  # faults that a message names


@dataclass(frozen=True)
class LabelledImages:
    """Images, and what is known of their classes.

    Attributes:
        images: uint8 or float (n, *shape).
        labels: class indices (n,), into `names` where there are names; or, for images of several classes, 0 or 1 for
            each class (n, classes). None if the classes are unknown.
        names: of the classes, sorted, as Keras's `image_dataset_from_directory` numbers them; None if the data has
            numbers.
        source: what to call the images.
        notes: one line each about what was left out.
        files: the image file of each image; empty if they come from no image files.
    """

    images: np.ndarray
    labels: np.ndarray | None
    names: tuple[str, ...] | None
    source: str
    notes: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()

    def first(self, count: int | None) -> LabelledImages:
        """The first `count` images; where classes have names, the first of each class, then the second of each, ..."""
        if self.names is None or self.labels is None:
            labels = None if self.labels is None else self.labels[:count]
            return replace(self, images=self.images[:count], labels=labels, files=self.files[:count])
        turn = np.zeros(len(self.labels), int)  # an image is the n-th of its class
        for label in np.unique(self.labels):
            turn[self.labels == label] = np.arange((self.labels == label).sum())
        chosen = np.lexsort((self.labels, turn))[:count]
        files = tuple(self.files[index] for index in chosen if self.files)
        return replace(self, images=self.images[chosen], labels=self.labels[chosen], files=files)

    def classes_in(self, labels: Sequence[str]) -> LabelledImages:
        """The same with `labels` as names: those of a model, in the order of its output.

        Classes are matched by name. Names that are numbers are indices. Names of as many classes as a model has that
        was exported without names ("class 0", ...) are in the model's order, which is what Keras trains on.

        Raises InputError for a class that the model does not have.

        >>> found = LabelledImages(np.zeros((2, 1, 1, 1)), np.array([0, 1]), ("cat", "dog"), "pets")
        >>> found.classes_in(["dog", "cat", "eel"]).labels.tolist()
        [1, 0]
        >>> found.classes_in(["dog", "cat", "eel"]).notes
        ('pets: no image of eel',)
        """
        if self.labels is None:
            return self
        if self.labels.ndim == 2:
            if self.labels.shape[1] != len(labels):
                raise InputError(
                    f"{self.source}: labels of shape {self.labels.shape}; the model has {len(labels)} labels, so "
                    f"expected ({len(self.labels)}, {len(labels)})"
                )
            return self
        indices = self.indices_in(labels)
        found = self.labels if indices is None else np.asarray(indices)[self.labels]
        missing = [labels[index] for index in sorted(set(range(len(labels))) - set(np.unique(found).tolist()))]
        note = f"{self.source}: no image of {names_of(missing)}"
        notes = (*self.notes, note) if missing else self.notes
        return replace(self, labels=found, names=tuple(labels), notes=notes)

    def indices_in(self, labels: Sequence[str]) -> list[int] | None:
        """The index among `labels` of each of `names`; None where the data already has the model's indices."""
        if self.names is None:
            present = np.unique(np.asarray(self.labels))
            if present[0] < 0 or present[-1] >= len(labels):
                raise InputError(
                    f"{self.source}: labels are {present[0]} to {present[-1]}; the model has classes 0 to "
                    f"{len(labels) - 1}"
                )
            return None
        unknown = [name for name in self.names if name not in labels]
        if not unknown:
            return [labels.index(name) for name in self.names]
        if len(self.names) == len(labels) and is_unnamed(labels):
            return None
        if all(name.isascii() and name.isdigit() and int(name) < len(labels) for name in self.names):
            return [int(name) for name in self.names]
        raise InputError(
            f"{self.source}: the model has no class {names_of(unknown)}; its {len(labels)} classes are "
            f"{names_of(labels, 12)}; rename the folders, or export the model with --labels"
        )


def is_unnamed(labels: Sequence[str]) -> bool:
    """Whether the labels are those of a model that was exported without names."""
    return list(labels) in ([f"class {i}" for i in range(len(labels))], [f"{i}" for i in range(len(labels))])


def names_of(names: Sequence[str], most: int = NAMED) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def read_labelled(
    path: str,
    form: ImageForm,
    *,
    labels: str | None = None,
    skip_bad: bool = False,
    several: bool = False,
    track: console.Track = console.track,
) -> LabelledImages:
    """Read images and their classes.

    Args:
        form: how image files are brought to the model's shape, see `Contract.image_form`; arrays must have that shape.
        path: a folder of PNGs and JPEGs: with a folder per class, or flat, with a CSV of file names and classes or
            without; a `.npy` file; a `.npz` file, its classes in an array "labels" or "y"; an IDX file, its classes in
            the IDX file beside.
        labels: a file of classes, one for each image of an array: `.npy`, or text with one class per line.
        skip_bad: leave out image files that cannot be read, and say so in the notes.
        several: whether an image can have several classes: arrays of classes are 0 or 1, (n, classes).
        track: shows how many files are read.

    Raises FileError for what cannot be read, InputError for another shape and for classes that do not fit the images.
    """
    if Path(path).is_dir():
        found = read_class_folders(path, form, skip_bad, track)
    elif IDX.search(path):
        found = read_idx_pair(Path(path), form[0])
    else:
        found = LabelledImages(read_images(path, form[0]), None, None, Path(path).name)
        if path.endswith(".npz"):
            found = with_classes(found, read_labels(path, len(found.images), several), path, several)
    if labels is None:
        return found
    if found.labels is not None:
        raise InputError(f"{path} has its classes itself; leave --labels out")
    return with_classes(found, read_classes(labels), labels, several)


def with_classes(
    found: LabelledImages, classes: np.ndarray | None, where: str, several: bool = False
) -> LabelledImages:
    """The images with one class each: integers, or names; or with `several`. Raises InputError for other arrays."""
    if classes is None:
        return found
    if several:
        if classes.ndim != 2 or len(classes) != len(found.images) or not np.isin(classes, (0, 1)).all():
            raise InputError(
                f"{where}: labels are {classes.dtype} {classes.shape} for {len(found.images):,} images; expected 0 or "
                f"1 for each image and label: ({len(found.images)}, labels)"
            )
        return replace(found, labels=classes.astype(np.int64))
    if classes.dtype.kind not in "iuU":
        raise InputError(f"{where}: classes are {classes.dtype}; expected integers, the indices of classes")
    if classes.shape != found.images.shape[:1]:
        raise InputError(
            f"{where}: classes of shape {classes.shape} for {len(found.images):,} images; expected "
            f"({len(found.images)},)"
        )
    if classes.dtype.kind in "iu":
        return replace(found, labels=classes)
    names, indices = np.unique(classes, return_inverse=True)
    return replace(found, labels=indices, names=tuple(map(str, names)))


def read_classes(path: str) -> np.ndarray:
    """A `.npy` or `.npz` array of indices, or the lines of a text file: names, or indices."""
    if path.endswith((".npy", ".npz")):
        return read_array(path)
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise FileError(f"{path}: not a readable text file ({one_line(error, 80)})") from None
    return numbers_or_names(line.strip() for line in lines[: -1 if lines[-1] == "" else None])


def numbers_or_names(items: Iterable[str]) -> np.ndarray:
    words = np.asarray(list(items), str)
    try:
        return words.astype(np.int64)
    except ValueError:
        return words


def read_class_folders(path: str, form: ImageForm, skip_bad: bool, track: console.Track) -> LabelledImages:
    """A folder of images, see `read_labelled`. Classes are unknown if only some of the images lie in folders."""
    root = Path(path)
    files, others = image_files(path)
    if not files:
        return read_idx_folder(root, others, form[0])
    classes = {file: file.relative_to(root).parts[0] for file in files}
    of_folders = {name for file, name in classes.items() if file.parent != root}
    tables = [file for file in others if file.suffix.lower() == ".csv" and file.parent == root]
    names: tuple[str, ...] | None = None
    if len(of_folders) > 1 and all(file.parent != root for file in files):
        names = class_folders(root)
    elif len(tables) == 1:
        classes, others = read_table(tables[0], files), [file for file in others if file != tables[0]]
        names = tuple(sorted(set(classes.values())))
    images, kept, notes = read_files(path, files, form, skip_bad, track)
    if others:
        notes.append(f"{path}: left out what is no PNG or JPEG: {listed(others)}")
    found = LabelledImages(images, None, names, root.name or path, tuple(notes), tuple(kept))
    if names is None:
        return found
    if tables and all(re.fullmatch(r"\d+", name) for name in names):  # a table's numbers are indices
        return replace(found, names=None, labels=np.asarray([int(classes[file]) for file in kept]))
    return replace(found, labels=np.asarray([names.index(classes[file]) for file in kept]))


def read_table(table: Path, files: Sequence[Path]) -> dict[Path, str]:
    """The class of each file by a CSV of (file, class) rows; a first row that names no file is a header.

    Raises InputError for images without a row, and FileError for rows that are no such pairs.
    """
    try:
        with table.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if row]
    except (OSError, ValueError, csv.Error) as error:
        raise FileError(f"{table}: not a readable CSV file ({one_line(error, 80)})") from None
    root, known = table.parent, set(files)
    if rows and root / rows[0][0].strip() not in known:
        rows = rows[1:]
    found: dict[Path, str] = {}
    for row in rows:
        if len(row) < 2 or not row[1].strip():
            raise FileError(f"{table}: row {','.join(row)!r}; expected a file and its class")
        found[root / row[0].strip()] = row[1].strip()
    without = [file for file in files if file not in found]
    if without:
        raise InputError(f"{table}: no row for {len(without)} of {len(files)} images: {listed(without)}")
    return found


def read_files(
    path: str, files: Sequence[Path], form: ImageForm, skip_bad: bool, track: console.Track
) -> tuple[np.ndarray, list[Path], list[str]]:
    """(images, their files, notes); raises FileError that counts and names the files that cannot be read."""
    images, kept, bad = [], [], []
    with warnings.catch_warnings(record=True) as noticed:
        warnings.simplefilter("always", AspectWarning)
        for file in track(files, "images"):
            try:
                images.append(read_image(file, *form))
                kept.append(file)
            except FileError as error:
                bad.append(str(error).removeprefix(f"{path}/"))
    stretched = Counter(str(warning.message) for warning in noticed).items()
    notes = [f"{path}: {count:,} of {len(files):,} images: {message}" for message, count in stretched]
    if not bad:
        return np.stack(images), kept, notes
    some = "; ".join(bad[:NAMED]) + (f"; and {len(bad) - NAMED:,} more" if len(bad) > NAMED else "")
    if skip_bad and images:
        return np.stack(images), kept, [*notes, f"{path}: left out {len(bad):,} of {len(files):,} images: {some}"]
    how = "mend or remove them, or leave them out with --skip-bad" if images else "no image is left"
    raise FileError(f"{path}: {len(bad):,} of {len(files):,} images cannot be read: {some}; {how}")


def read_idx_folder(root: Path, others: Sequence[Path], shape: tuple[int, ...]) -> LabelledImages:
    """The only IDX file of images in a folder that has no image files. Raises FileError when there is none."""
    images = [file for file in others if (axes := IDX.search(file.name)) and int(axes[1]) >= 3]
    if len(images) == 1:
        return read_idx_pair(images[0], shape)
    if images:
        raise FileError(f"{root}: {len(images)} IDX files of images in it ({listed(images)}); name one of them")
    found = f"found {listed(others)}" if others else "it has no files that are not hidden"
    raise FileError(f"{root}: no {', '.join(IMAGE_SUFFIXES)} file in it; expected images; {found}")


def read_idx_pair(path: Path, shape: tuple[int, ...]) -> LabelledImages:
    """An IDX file of images, and the file of labels beside it, if there is one by the usual name."""
    try:
        images = as_batch(read_idx(path), shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    found = LabelledImages(images, None, None, path.name)
    beside = [path.with_name(re.sub(r"images-idx\d", "labels-idx1", path.name).removesuffix(".gz") + end)
              for end in ("", ".gz")]  # fmt: skip
    labels = next((file for file in beside if file != path and file.is_file()), None)
    return found if labels is None else with_classes(found, read_idx(labels), str(labels))
