"""Attacks on `.h5` files: links and data outside the file, declared sizes, loops, configs with code."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from torture.bytes_attacks import Random
from torture.gadgets import gadgets
from torture.keras_attacks import SIZES, pick, places

__all__ = ["ATTACKS"]

PLACES = ("../outside/secret.h5", "/etc/passwd", "/proc/self/mem", "/dev/zero", "nowhere.h5")


def datasets(file: Any) -> list[str]:
    import h5py

    found: list[str] = []
    file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def external_links(file: Any, rng: Random) -> None:
    import h5py

    name = pick(rng, [*datasets(file), "model_weights"])
    del file[name]
    file[name] = h5py.ExternalLink(pick(rng, PLACES), "/")


def external_storage(file: Any, rng: Random) -> None:
    """A dataset whose bytes are another file's: HDF5 would read, and on opening for writing make, that file."""
    name = pick(rng, datasets(file))
    shape = file[name].shape
    del file[name]
    file.create_dataset(name, shape, np.float32, external=[(pick(rng, PLACES), 0, 1 << 20)])


def virtual(file: Any, rng: Random) -> None:
    import h5py

    name = pick(rng, datasets(file))
    shape = file[name].shape or (1,)
    space = h5py.h5s.create_simple(shape)
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_obj_track_times(False)  # File.create_virtual_dataset writes the time into the file
    settings.set_virtual(space, pick(rng, PLACES).encode(), b"data", space)
    del file[name]
    h5py.h5d.create(file.id, name.encode(), h5py.h5t.py_create(np.dtype(np.float32)), space, dcpl=settings)


def declared(file: Any, rng: Random) -> None:
    """Terabytes that are said to be there, chunked and never written, or zeros that were compressed."""
    name = pick(rng, datasets(file))
    size = int(pick(rng, (1 << 20, 1 << 24, 1 << 40)))
    del file[name]
    if size < 1 << 30 and rng.random() < 0.5:
        file.create_dataset(name, data=np.zeros(size, np.float32), compression="gzip", compression_opts=1)
    else:
        file.create_dataset(name, (size, 1 << 10), np.float32, chunks=(1024, 16))


def links(file: Any, rng: Random) -> None:
    """Loops, soft links to nowhere, one dataset under many names."""
    import h5py

    match int(rng.integers(0, 3)):
        case 0:
            file["model_weights/again"] = file["/"]
        case 1:
            name = pick(rng, datasets(file))
            del file[name]
            file[name] = h5py.SoftLink(pick(rng, ("/", f"/{name}", "/nowhere")))
        case _:
            item = file[pick(rng, datasets(file))]
            for number in range(300):
                file[f"model_weights/copy{number}"] = item


def kinds(file: Any, rng: Random) -> None:
    """Strings, compounds, references, complex numbers and nothing where numbers belong."""
    import h5py

    name = pick(rng, datasets(file))
    shape = file[name].shape
    del file[name]
    dtype = pick(rng, ("S8", h5py.string_dtype(), h5py.ref_dtype, [("a", "f4"), ("b", "i8")], "c8", "f8", "i8", "?"))
    if rng.random() < 0.2:
        file[name] = h5py.Empty("f4")
    else:
        file.create_dataset(name, pick(rng, (shape, (), (*shape, 1), (0,), shape[::-1])), dtype)


def depth(file: Any, rng: Random) -> None:
    group = file["model_weights"]
    for _ in range(int(pick(rng, (40, 60, 500)))):
        group = group.create_group("g")
    group["x"] = np.zeros(1, np.float32)


def attributes(file: Any, rng: Random) -> None:
    """The lists of names that tell which weights there are."""
    import h5py

    groups = [file, file["model_weights"], *file["model_weights"].values()]
    group = pick(rng, [item for item in groups if isinstance(item, h5py.Group) and len(item.attrs)])
    key = pick(rng, sorted(group.attrs))
    values = (b"\xff\xfe", "", 7, [b"../x"] * 9, np.zeros((3, 3)), "[" * 20_000, [b"nowhere"], h5py.Empty("f4"))
    group.attrs[key] = pick(rng, values)


def code(file: Any, rng: Random) -> None:
    """Keras 2's way to keep a config, with what Keras would run."""
    config = json.loads(file.attrs["model_config"])
    _, gadget = pick(rng, sorted(gadgets().items()))
    layers = config["config"]["layers"]
    if rng.random() < 0.7:
        layers.insert(int(rng.integers(0, len(layers) + 1)), {**gadget, "name": "bad", "inbound_nodes": []})
    else:
        parent, key = pick(rng, list(places(config["config"])))
        parent[key] = gadget
    file.attrs["model_config"] = json.dumps(config)
    file.attrs["training_config"] = json.dumps({"loss": gadget, "optimizer_config": gadget})


def settings(file: Any, rng: Random) -> None:
    config = json.loads(file.attrs["model_config"])
    parent, key = pick(rng, list(places(config["config"])))
    parent[key] = pick(rng, SIZES)
    file.attrs["model_config"] = json.dumps(config)


def opened(change: Callable[[Any, Random], None]) -> Callable[[bytes, Random], bytes]:
    def attack(content: bytes, rng: Random) -> bytes:
        import h5py

        while True:
            file = io.BytesIO(content)
            try:
                with h5py.File(file, "r+") as opened_file:
                    change(opened_file, rng)
                return file.getvalue()
            except (KeyError, ValueError, TypeError, OSError, RuntimeError):
                continue  # h5py does not write that; another draw does

    return attack


ATTACKS = {
    "external links": opened(external_links),
    "external storage": opened(external_storage),
    "virtual datasets": opened(virtual),
    "declared sizes": opened(declared),
    "links": opened(links),
    "types": opened(kinds),
    "depth": opened(depth),
    "attributes": opened(attributes),
    "code": opened(code),
    "settings": opened(settings),
}
