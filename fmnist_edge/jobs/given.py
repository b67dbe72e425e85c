"""Models and data in memory become temporary files: what converts and reads them takes paths alone."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fmnist_edge.errors import FmnistEdgeError, InputError, one_line
from fmnist_edge.worker.temporary import write_temporary

__all__ = ["as_images", "as_labels", "as_model", "as_names", "is_iterable", "is_keras_model", "is_tflite_path"]

SAVED = "2000-01-01@00:00:00"  # in place of the time: the same model gives the same file, and so the same SHA-256
TEXTS = (str, Path)


def is_keras_model(value: Any) -> bool:
    """Whether this is a Keras model in memory; no import of Keras is needed to tell."""
    return not isinstance(value, TEXTS) and all(hasattr(value, name) for name in ("save", "inputs", "layers"))


def is_tflite_path(model: Any) -> bool:
    """Whether this is the path of a `.tflite` file."""
    from fmnist_edge.exporters.tflite_input import is_tflite

    return isinstance(model, TEXTS) and is_tflite(model)


def as_model(model: Any, folder: Path, name: str | None = None) -> str:
    """The path or zoo name of a model; one in memory is saved to `folder` as `<name>.keras`.

    The same model gives the same bytes each time, so that an artifact's manifest names it by its SHA-256. `name`: of
    the model, and of the folder of its files; by default the model's own.

    Raises InputError for what is no model, for one that Keras cannot save, and for a name that is none of a folder.
    """
    if isinstance(model, TEXTS):
        if name is not None:
            raise InputError(f"name is {name!r}, and the model is a file, which has a name; leave name out")
        return str(model)
    if not is_keras_model(model):
        raise InputError(f"model is {type(model).__name__}; expected a Keras model, a path, or a name of the zoo")
    if name is None:
        name = re.sub(r"[^\w.+-]", "_", str(model.name)).lstrip(".") or "model"
    elif not re.fullmatch(r"[\w+-][\w.+-]*", name):
        raise InputError(f"name is {name!r}; expected the name of a folder: letters, digits and . _ + -")
    path = folder / f"{name}.keras"
    saved = folder / "saved.keras"
    try:
        model.save(saved)
    except FmnistEdgeError:
        raise
    except Exception as error:  # Keras raises what it likes for a model without weights yet
        raise InputError(
            f"Keras cannot save the model {name} ({one_line(error, 150)}); if it is not built, call it on an input"
        ) from error
    write_temporary(path, partial(rewritten, saved))
    saved.unlink()
    return str(path)


def rewritten(saved: Path, file: Any) -> None:
    """Write the `.keras` file `saved` without the times in it."""
    import io

    content = io.BytesIO()
    with zipfile.ZipFile(saved) as old, zipfile.ZipFile(content, "w") as new:
        for member in sorted(old.namelist()):
            part = old.read(member)
            if member == "metadata.json":
                part = json.dumps({**json.loads(part), "date_saved": SAVED}).encode()
            new.writestr(zipfile.ZipInfo(member), part)
    file.write(content.getvalue())


def is_iterable(images: Any) -> bool:
    """Whether these are images one after another, whose number is not known."""
    known = isinstance(images, (*TEXTS, Mapping, tuple)) or hasattr(images, "__array__")
    return isinstance(images, Iterable) and not known


def as_images(images: Any, folder: Path, shape: tuple[int, ...] | None = None, limit: int | None = None) -> str | None:
    """The path of images; those in memory are saved to `folder`.

    Args:
        images: a path; an array, uint8 or float (n, *shape); a pair (images, classes) of arrays; {name of an input:
            array}; or an iterable of images (*shape), batches (n, *shape) or pairs, as Keras's data sets are. None.
        shape: of one image, which an iterable needs.
        limit: how many images an iterable is asked for; None for all.

    Raises InputError for anything else.
    """
    import numpy as np

    if images is None or isinstance(images, TEXTS):
        return None if images is None else str(images)
    if isinstance(images, Mapping):
        return saved_arrays(folder / "arrays.npz", {str(name): np.asarray(array) for name, array in images.items()})
    if isinstance(images, tuple) and len(images) == 2:
        pair = tuple(map(np.asarray, images))
        if pair[1].shape[:1] != pair[0].shape[:1]:
            raise InputError(
                f"images are a pair of arrays {pair[0].shape} and {pair[1].shape}; expected images and their classes, "
                "as many of each"
            )
        return saved_arrays(folder / "arrays.npz", {"x": pair[0], "y": pair[1]})
    if is_iterable(images):
        images, classes = stacked(images, shape, limit)
        if classes is not None:
            return saved_arrays(folder / "arrays.npz", {"x": images, "y": classes})
    elif not hasattr(images, "__array__"):
        raise InputError(f"images are {type(images).__name__}; expected a path, an array, or an iterable of images")
    return str(write_temporary(folder / "array.npy", partial(np.save, arr=np.asarray(images))))


def saved_arrays(path: Path, arrays: Mapping[str, Any]) -> str:
    import io

    import numpy as np

    content = io.BytesIO()
    np.savez(content, **arrays)
    return str(write_temporary(path, lambda file: file.write(content.getvalue())))


def stacked(items: Iterable[Any], shape: tuple[int, ...] | None, limit: int | None) -> tuple[Any, Any]:
    """The images of an iterable, (n, *shape), and their classes, (n,) or (n, classes); None if items have none."""
    import numpy as np

    images: list[Any] = []
    classes: list[Any] = []
    count = 0
    for image, label in pairs_of(items):
        batch = image.ndim > len(shape) if shape is not None else image.ndim > 3
        images.append(image if batch else image[None])
        if label is not None:
            classes.append(label if batch else label[None])
        count += len(images[-1])
        if limit is not None and count >= limit:
            break
    if not images:
        raise InputError("images are an iterable without an image; a generator that was used up must be made again")
    try:
        together = np.concatenate(images)[:limit]
        labels = np.concatenate(classes)[:limit] if classes else None
    except ValueError as error:
        raise InputError(f"images are an iterable of different shapes ({one_line(error, 120)})") from None
    if labels is not None and len(labels) != len(together):
        raise InputError(f"images are an iterable with {len(labels)} classes for {len(together)} images")
    return together, labels


def pairs_of(items: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """(image or batch, its classes or None) of each item."""
    import numpy as np

    iterator, index = iter(items), 0
    while True:
        try:
            item = next(iterator)
            pair = item if isinstance(item, tuple) else (item,)
            yield np.asarray(pair[0]), np.asarray(pair[1]) if len(pair) > 1 else None
        except StopIteration:
            return
        except FmnistEdgeError:
            raise
        except Exception as error:  # of the user's code
            text = f"images: item {index} raised {type(error).__name__}: {one_line(error, 200)}"
            raise InputError(text) from error
        index += 1


def as_labels(labels: Any, folder: Path) -> str | None:
    """The path of the classes of images; an array of indices, or of 0 and 1 for each label, is saved to `folder`."""
    import numpy as np

    if labels is None or isinstance(labels, TEXTS):
        return None if labels is None else str(labels)
    array = np.asarray(labels)
    if array.dtype.kind == "U":
        lines = "".join(f"{name}\n" for name in array.ravel())
        return str(write_temporary(folder / "labels.txt", lambda file: file.write(lines.encode())))
    if array.dtype.kind not in "iub":
        raise InputError(f"labels are {array.dtype} {array.shape}; expected class indices, (n,), or names")
    return str(write_temporary(folder / "labels.npy", partial(np.save, arr=array)))


def as_names(names: Any, folder: Path) -> str | None:
    """The path of the names of a model's classes, one per line; a list of names is saved to `folder`."""
    if names is None or isinstance(names, TEXTS):
        return None if names is None else str(names)
    lines = list(map(str, names))
    if any(not line.strip() or "\n" in line for line in lines):
        raise InputError(f"labels are {lines!r}; expected names of one line each, in the order of the output")
    return str(write_temporary(folder / "labels.txt", lambda file: file.write(("\n".join(lines) + "\n").encode())))
