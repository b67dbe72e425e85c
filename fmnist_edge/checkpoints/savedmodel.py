"""SavedModel folders: variables and metadata are read as data; the graph is never loaded or run."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.checkpoints.bundle import read_bundle
from fmnist_edge.checkpoints.contents import Contents, Weight, leaf_of, shown
from fmnist_edge.checkpoints.matching import check_loaded
from fmnist_edge.checkpoints.object_graph import ObjectGraph, config_of, load_saved, position
from fmnist_edge.errors import CheckpointError

if TYPE_CHECKING:
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    from fmnist_edge.checkpoints.parts import Part

__all__ = ["read"]

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
MAX_FILES = 1000
GRAPH_ALONE = (
    "it holds a graph and no Keras config, as model.export() and tf.saved_model.save() write it, and a graph is not "
    "run or converted here",
    "load the model where it was made and save it with model.save('model.keras')",
)


def read(folder: Path, max_bytes: int) -> tuple[Contents, str]:
    """Read a Keras 2 SavedModel or a Keras 3 export, and its SHA-256; raises CheckpointError when it is neither."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    if not (folder / "saved_model.pb").is_file() or not (folder / "variables" / "variables.index").is_file():
        raise CheckpointError("is a folder without saved_model.pb and variables/; expected a SavedModel, .keras or .h5")
    digest = digest_of(folder, max_bytes)
    objects = read_objects(folder / "variables")
    weights = list_of(objects)
    saved_model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    config = config_of(saved_model, folder / "keras_metadata.pb")
    # With no config to tell the last activation, a graph that mentions Softmax anywhere ends in one: nothing in
    # the zoo has it elsewhere.
    head = "softmax" if "Softmax" in operations_of(saved_model) else "linear"

    def load(root: Part) -> None:
        check_loaded(root, load_saved(root, objects, 0))

    return Contents(config, [weights], load, True, head, GRAPH_ALONE), digest


def digest_of(folder: Path, max_bytes: int) -> str:
    """SHA-256 over the contents of all files below `folder`, sorted by path."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    if len(files) > MAX_FILES or size > max_bytes:
        raise CheckpointError(f"holds {len(files)} files, {size:,} bytes; expected at most {MAX_FILES}, {max_bytes:,}")
    digest = hashlib.sha256()
    for path in files:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def read_objects(folder: Path) -> ObjectGraph:
    """The checkpoint's objects; its arrays are read when they are asked for."""
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    bundle = read_bundle(folder)
    return ObjectGraph(TrackableObjectGraph.FromString(bundle.text(GRAPH)).nodes, bundle.tensor)


def list_of(objects: ObjectGraph) -> list[Weight]:
    """The root object's `variables`, in its order; optimizer slots and metrics are not among them."""
    listed = objects.children(0).get("variables")
    weights, seen = [], set()
    for _, number in sorted(objects.children(listed).items(), key=position) if listed is not None else ():
        key = objects.key(number)
        if key is None:
            continue
        if key in seen:  # as often as an attacker likes, to look like many numbers
            raise CheckpointError(f"lists {shown(key)} twice; save the model again")
        seen.add(key)
        weight = objects.weight(number, "")
        if weight is not None and weight.value.dtype.kind == "f":  # random states and counters are integers
            name = objects.nodes[number].attributes[0].full_name
            weights.append(weight._replace(leaf=leaf_of(name), path=name))
    return weights


def operations_of(saved_model: SavedModel) -> set[str]:
    """Names of the operations in a SavedModel's graphs."""
    found: set[str] = set()
    for graph in saved_model.meta_graphs:
        found.update(node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            found.update(node.op for node in function.node_def)
    return found
