"""Attacks on `.keras` files (zip, config, weights) and on the configs of `.h5` files."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from typing import Any

import numpy as np

from torture.bytes_attacks import ATTACKS as ANY
from torture.bytes_attacks import Random
from torture.gadgets import gadgets

__all__ = ["ATTACKS", "HUGE"]

NAMES = (
    "../outside/written", "/tmp/fmnist-edge-torture-written", "..\\outside\\written", "assets/../../outside/written",
    "assets/x.txt", "config.json/", "model.weights.h5\0.txt", "C:\\written", "~/written", "-rf", "\x1b[2J",
    "config.json ",
)  # fmt: skip
SIZES = (0, -1, 1 << 16, 1 << 31, 1 << 40, 1 << 62, 10**30, 1.5, float("inf"), "28", None, [], {"a": 1}, True)
HUGE = "huge outputs"
Members = dict[str, bytes]


def pick(rng: Random, items: Any) -> Any:
    return items[int(rng.integers(0, len(items)))]


def members_of(content: bytes) -> Members:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def dated(name: str, compression: int = zipfile.ZIP_STORED) -> zipfile.ZipInfo:
    """A member of the same date each time."""
    info = zipfile.ZipInfo(name)
    info.compress_type = compression
    return info


def zipped(members: Members, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(dated(name, compression), content)
    return file.getvalue()


def with_config(content: bytes, config: Any) -> bytes:
    return zipped({**members_of(content), "config.json": json.dumps(config).encode()})


def member_names(content: bytes, rng: Random) -> bytes:
    """Members that would be written outside of where they are unpacked, symbolic links among them."""
    members, file = members_of(content), io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a name that ends at its NUL is there twice
        for name, data in members.items():
            archive.writestr(dated(name), data)
        info = zipfile.ZipInfo(pick(rng, NAMES))
        if rng.random() < 0.3:
            info.external_attr = 0o120777 << 16  # a symbolic link
        archive.writestr(info, b"../outside/secret")
    return file.getvalue()


def bombs(content: bytes, rng: Random) -> bytes:
    """Little that unpacks to much, or that says it does; nested, overlapping, counted wrongly."""
    members = members_of(content)
    name = pick(rng, sorted(members))
    match int(rng.integers(0, 4)):
        case 0:
            members[name] = bytes(int(pick(rng, (1 << 22, 1 << 26))))
            return zipped(members, zipfile.ZIP_DEFLATED)
        case 1:
            members["config.json"] = b"[" * int(pick(rng, (1000, 100_000, 5_000_000)))
            return zipped(members, zipfile.ZIP_DEFLATED)
        case 2:
            members["config.json"] = b'{"a":' * 200_000 + b"1" + b"}" * 200_000
            return zipped(members, zipfile.ZIP_DEFLATED)
        case _:
            return directory(zipped(members), rng)


def directory(content: bytes, rng: Random) -> bytes:
    """A central directory that lies: sizes, offsets, flags, methods."""
    changed, entries = bytearray(content), []
    at = content.find(b"PK\x01\x02")
    while at >= 0:
        entries.append(at)
        at = content.find(b"PK\x01\x02", at + 4)
    for _ in range(rng.integers(1, 4)):
        at = pick(rng, entries)
        offset, form = pick(rng, ((8, "<H"), (10, "<H"), (16, "<I"), (20, "<I"), (24, "<I"), (28, "<H"), (42, "<I")))
        limit = 1 << (8 * struct.calcsize(form))
        struct.pack_into(form, changed, at + offset, int(pick(rng, (0, 1, 8, 99, limit - 1, limit // 2))))
    return bytes(changed)


def missing(content: bytes, rng: Random) -> bytes:
    members = members_of(content)
    name = pick(rng, sorted(members))
    if rng.random() < 0.5:
        del members[name]
    else:
        members[name] = pick(rng, (b"", b"null", b"[]", b"\0" * 99, b"\xff\xfe", b'{"class_name": "Functional"}'))
    return zipped(members)


def weights(content: bytes, rng: Random) -> bytes:
    """The HDF5 file inside, damaged."""
    members = members_of(content)
    attack = pick(rng, [ANY[name] for name in sorted(ANY)])
    members["model.weights.h5"] = attack(members["model.weights.h5"], rng)
    return zipped(members)


def settings(content: bytes, rng: Random) -> bytes:
    """Sizes in the config that no file holds weights for, or of another type."""
    config = json.loads(members_of(content)["config.json"])
    for _ in range(rng.integers(1, 3)):
        parent, key = pick(rng, list(places(config["config"])))
        parent[key] = pick(rng, SIZES)
    return with_config(content, config)


def places(node: Any) -> Any:
    """(container, key) of every value in a config."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from places(value)


def expansion(content: bytes, rng: Random) -> bytes:
    """A layer without weights whose output is huge, before the picture is averaged."""
    size = int(pick(rng, (100, 1000, 10_000, 1 << 20, 1 << 31)))
    name, settings = pick(rng, (
        ("UpSampling2D", {"size": [size, size]}),
        ("ZeroPadding2D", {"padding": [[size, size], [size, size]]}),
        ("Resizing", {"height": size, "width": size}),
    ))  # fmt: skip
    config = json.loads(members_of(content)["config.json"])
    (layer,) = (item for item in config["config"]["layers"] if item["config"]["name"] == "huge")
    layer.update(class_name=name, build_config={})
    layer["config"] |= settings
    return with_config(content, config)


def built_in(name: str, config: dict[str, Any]) -> dict[str, Any]:
    inner = {"name": "huge", **config}
    return {"module": "keras.layers", "class_name": name, "config": inner, "registered_name": None}


def inserted(content: bytes, layer: dict[str, Any]) -> bytes:
    """`layer` on the path to the last one."""
    config = json.loads(members_of(content)["config.json"])
    layers = config["config"]["layers"]
    first = layers[0]["config"]["name"]
    name = layer["config"].get("name", "bad") if isinstance(layer.get("config"), dict) else "bad"
    text = json.dumps(layers[1]["inbound_nodes"])
    changed = text.replace(json.dumps([first, 0, 0]), json.dumps([name, 0, 0]))
    nodes = json.loads(text)
    layers[1]["inbound_nodes"] = json.loads(changed)
    layers.insert(1, {**layer, "name": name, "inbound_nodes": nodes})
    return with_config(content, config)


def code(content: bytes, rng: Random) -> bytes:
    """Gadgets that Keras has run or would run from a config, as a layer of the model or in one's settings."""
    _, gadget = pick(rng, sorted(gadgets().items()))
    if rng.random() < 0.3:
        config = json.loads(members_of(content)["config.json"])
        if rng.random() < 0.3:
            return with_config(content, gadget)
        parent, key = pick(rng, list(places(config["config"])))
        parent[key] = gadget
        return with_config(content, config)
    return inserted(content, gadget)


def nesting(content: bytes, rng: Random) -> bytes:
    """Models inside models, wrappers around wrappers: deeper than anything that walks them by recursion."""
    layer: Any = built_in("Identity", {})
    for level in range(int(pick(rng, (10, 50, 150, 250)))):
        layer = (
            built_in("TimeDistributed", {"layer": layer, "name": f"t{level}"})
            if rng.random() < 0.5
            else {**built_in("Sequential", {"layers": [layer], "name": f"s{level}"}), "module": "keras"}
        )
    return inserted(content, layer)


def noisy_config(content: bytes, rng: Random) -> bytes:
    members = members_of(content)
    attack = pick(rng, [ANY[name] for name in ("bit flips", "truncation", "pieces exchanged")])
    members["config.json"] = attack(members["config.json"], rng)
    return zipped(members)


def not_numbers(content: bytes, rng: Random) -> bytes:
    """Weights that are NaN or infinite: sound bytes."""
    import h5py

    members = members_of(content)
    file = io.BytesIO(members["model.weights.h5"])
    value = pick(rng, (float("nan"), float("inf")))

    def spoil(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f" and item.size:
            item[...] = np.full(item.shape, value, item.dtype)

    with h5py.File(file, "r+") as opened:
        opened.visititems(spoil)
    return zipped({**members, "model.weights.h5": file.getvalue()})


ATTACKS = {
    "member names": member_names,
    "zip bombs": bombs,
    "zip directory": lambda content, rng: directory(content, rng),
    "missing members": missing,
    "weights damaged": weights,
    "settings": settings,
    HUGE: expansion,
    "code": code,
    "deep nesting": nesting,
    "config damaged": noisy_config,
    "not numbers": not_numbers,
}
