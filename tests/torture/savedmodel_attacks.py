"""Attacks on SavedModel folders, which come as a zip: the index of variables, the object graph, the config, members."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from torture.bundle import Entry, pack, text_of, unpack, with_text
from torture.bytes_attacks import ATTACKS as ANY
from torture.bytes_attacks import WORDS, Random
from torture.gadgets import gadgets
from torture.graph_attacks import altered, layers_in
from torture.keras_attacks import Members, members_of, pick, places, zipped

__all__ = ["ATTACKS"]

GRAPH = b"_CHECKPOINTABLE_OBJECT_GRAPH"
INDEX, DATA = "variables/variables.index", "variables/variables.data-00000-of-00001"
LOCAL_NAMES = (
    "layer-0", "layer-1", "variables", "0", "1", "9" * 30, "layer-" + "9" * 30, "cell", "kernel", "", "\x1b",
    "a" * 9999,
)  # fmt: skip
NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 10**6)


def entries_of(members: Members) -> dict[bytes, Entry]:
    return unpack(members[INDEX], [members[DATA]])


def with_entries(members: Members, entries: dict[bytes, Entry], odd: dict[bytes, bytes] | None = None) -> bytes:
    index, data = pack(entries, odd)
    return zipped({**members, INDEX: index, DATA: data})


def members(content: bytes, rng: Random) -> bytes:
    """Files that are missing, empty, damaged or another's."""
    found = members_of(content)
    name = pick(rng, sorted(found))
    match int(rng.integers(0, 4)):
        case 0:
            del found[name]
        case 1:
            found[name] = pick(rng, (b"", b"\0" * 99, b"\xff" * 4096, b"{}"))
        case 2:
            found[name] = found[pick(rng, sorted(found))]
        case _:
            found[name] = pick(rng, [ANY[key] for key in sorted(ANY)])(found[name], rng)
    return zipped(found)


def index(content: bytes, rng: Random) -> bytes:
    """Shapes, types and places of variables that cannot be, in an index whose checksums are right."""
    from tensorflow.core.protobuf.tensor_bundle_pb2 import BundleHeaderProto

    found = members_of(content)
    entries = entries_of(found)
    odd: dict[bytes, bytes] = {}
    pack(entries)  # puts everything in its place
    for _ in range(rng.integers(1, 3)):
        key = pick(rng, sorted(entries))
        entry = entries[key].proto
        match int(rng.integers(0, 7)):
            case 0:
                odd[key] = rng.bytes(int(rng.integers(0, 40)))
                continue
            case 1:
                entry.dtype = int(pick(rng, (0, 2, 3, 7, 8, 19, 20, 21, 101, 999)))
            case 2:
                size = int(pick(rng, (-1, 0, 1 << 20, 1 << 40, 1 << 62)))
                entry.shape.dim.add(size=size)
            case 3:
                for _ in range(int(pick(rng, (8, 40, 300, 70_000)))):
                    entry.shape.dim.add(size=1)
            case 4:
                field = pick(rng, ("shard_id", "offset", "size", "crc32c"))
                setattr(entry, field, int(pick(rng, (0, 1, 4, 1 << 20, (1 << 31) - 1))))
            case 5:
                entry.slices.add().extent.add(start=0)
            case _:
                shards, order = int(pick(rng, (0, -1, 1 << 20))), int(rng.integers(0, 2))
                header = BundleHeaderProto(num_shards=shards, endianness=order)
                odd[b""] = header.SerializeToString()
        odd[key] = entry.SerializeToString()
    return with_entries(found, entries_of(members_of(content)), odd)


def structure(content: bytes, rng: Random) -> bytes:
    """Lengths of keys and values in the index, under right checksums; or where its parts lie."""
    found = members_of(content)

    def damaged(block: bytes) -> bytes:
        changed = bytearray(block)
        for _ in range(rng.integers(1, 5)):
            changed[int(rng.integers(0, len(changed)))] = int(pick(rng, (0, 1, 127, 128, 255)))
        return bytes(changed)

    changed, data = pack(entries_of(found), change=damaged)
    if rng.random() < 0.3:
        changed = changed[:-48] + rng.bytes(40) + changed[-8:]
    return zipped({**found, INDEX: changed, DATA: data})


def objects(content: bytes, rng: Random) -> bytes:
    """Edges to nowhere, to themselves and to another kind of object; variables of other keys; odd names."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    found = members_of(content)
    entries = entries_of(found)
    graph = TrackableObjectGraph.FromString(text_of(entries[GRAPH].content))
    parents = [node for node in graph.nodes if node.children]
    for _ in range(rng.integers(1, 6)):
        child = pick(rng, pick(rng, parents).children)
        match int(rng.integers(0, 5)):
            case 0:
                child.node_id = int(pick(rng, (*NUMBERS, *range(len(graph.nodes)))))
            case 1:
                child.local_name = pick(rng, LOCAL_NAMES)
            case 2:
                node = pick(rng, [node for node in graph.nodes if node.attributes])
                node.attributes[0].checkpoint_key = pick(rng, (*(key.decode() for key in sorted(entries)), "x", "\0"))
            case 3:
                pick(rng, parents).attributes.add(name="VARIABLE_VALUE", checkpoint_key=sorted(entries)[1].decode())
            case _:
                del pick(rng, parents).children[:]
    entries[GRAPH].content = with_text(graph.SerializeToString())
    return with_entries(found, entries)


def growth(content: bytes, rng: Random) -> bytes:
    """Object graphs whose paths are many more than their objects, or that list one variable very often."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    found = members_of(content)
    entries = entries_of(found)
    graph = TrackableObjectGraph.FromString(text_of(entries[GRAPH].content))
    root = {child.local_name: child.node_id for child in graph.nodes[0].children}
    if rng.random() < 0.4:
        listed = graph.nodes[root["variables"]].children
        number = listed[0].node_id
        for position in range(len(listed), int(pick(rng, (100, 100_000)))):
            listed.add(local_name=str(position), node_id=number)
    else:
        width, depth = int(pick(rng, (2, 9, 300))), int(pick(rng, (5, 29, 40)))
        first = len(graph.nodes)
        for level in range(depth):
            node = graph.nodes.add()
            for position in range(width):
                node.children.add(local_name=f"cell{position}", node_id=first + level + 1)
        leaf = graph.nodes.add()
        leaf.attributes.add(name="VARIABLE_VALUE", checkpoint_key=sorted(entries)[1].decode())
        owner = graph.nodes[pick(rng, [id_ for name, id_ in root.items() if name.startswith("layer-")])]
        owner.children.add(local_name="more", node_id=first)
    entries[GRAPH].content = with_text(graph.SerializeToString())
    return with_entries(found, entries)


def with_metadata(found: Members, change: Callable[[Any], Any]) -> bytes:
    """`found` with its config changed, where TensorFlow keeps it beside the graph."""
    from tensorflow.python.keras.protobuf.saved_metadata_pb2 import SavedMetadata

    metadata = SavedMetadata.FromString(found["keras_metadata.pb"])
    root = next(node for node in metadata.nodes if node.node_path == "root")
    root.metadata = change(root.metadata)
    return zipped({**found, "keras_metadata.pb": metadata.SerializeToString()})


def config(content: bytes, rng: Random) -> bytes:
    """The config after an attack on its calls, functions and names, with code in it, or of no JSON."""

    def change(text: str) -> str:
        described = json.loads(text)
        model = described.get("model_config") or described
        match int(rng.integers(0, 4)):
            case 0:
                _, gadget = pick(rng, sorted(gadgets().items()))
                parent, key = pick(rng, list(places(model["config"])))
                parent[key] = gadget
            case 1:
                return pick(rng, ("[" * 100_000, "", "null", "[]", '{"model_config": 3}', text[: len(text) // 2]))
            case 2:
                pick(rng, layers_in(model))["config"] = pick(rng, WORDS)
            case _:
                changed = altered(model, rng)
                described["model_config"] = changed
        return json.dumps(described)

    while True:
        try:
            return with_metadata(members_of(content), change)
        except (KeyError, IndexError, TypeError, ValueError):
            continue  # that change is of what this model does not have; another draw is


ATTACKS = {
    "members": members,
    "index of variables": index,
    "structure of the index": structure,
    "object graph": objects,
    "object graph that grows": growth,
    "config": config,
}
