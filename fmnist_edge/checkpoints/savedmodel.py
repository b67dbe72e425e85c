"""SavedModel folders: variables and metadata are read as data; the graph is never loaded or run."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from fmnist_edge.checkpoints.contents import Contents, Weight, copy_in_order, leaf_of
from fmnist_edge.errors import CheckpointError

__all__ = ["read"]

GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
MAX_FILES = 1000
FIX = "load it where it was made and save it again with model.save('model.keras')"


def read(folder: Path, max_bytes: int) -> tuple[Contents, str]:
    """Read a Keras 2 SavedModel or a Keras 3 export, and its SHA-256; raises CheckpointError when it is neither."""
    if not (folder / "saved_model.pb").is_file() or not (folder / "variables" / "variables.index").is_file():
        raise CheckpointError("is a folder without saved_model.pb and variables/; expected a SavedModel, .keras or .h5")
    digest = digest_of(folder, max_bytes)
    weights = read_weights(folder / "variables")
    config = read_config(folder / "keras_metadata.pb")
    # With no config to tell the last activation, a graph that mentions Softmax anywhere ends in one: nothing in
    # the zoo has it elsewhere.
    head = "softmax" if "Softmax" in operations_of(folder / "saved_model.pb") else "linear"
    return Contents(config, [weights], lambda model: copy_in_order(model.weights, weights), True, head), digest


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


def read_weights(folder: Path) -> list[Weight]:
    """The root object's `variables`, in its order; optimizer slots and metrics are not among them."""
    import tensorflow as tf
    from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

    reader = tf.train.load_checkpoint(str(folder / "variables"))
    declared = sum(math.prod(shape) for shape in reader.get_variable_to_shape_map().values())
    stored = sum(path.stat().st_size for path in folder.glob("variables.data-*"))
    if declared > stored:
        raise CheckpointError(f"declares {declared:,} numbers in {stored:,} bytes of data; copy or save it again")
    nodes = TrackableObjectGraph.FromString(reader.get_tensor(GRAPH)).nodes
    listed = {child.local_name: child.node_id for child in nodes[0].children}.get("variables")
    if listed is None:
        raise CheckpointError(f"has no list of variables, so Keras did not write it; {FIX}")
    weights = []
    for child in sorted(nodes[listed].children, key=lambda child: int(child.local_name)):
        attribute = nodes[child.node_id].attributes[0]
        value = reader.get_tensor(attribute.checkpoint_key)
        if value.dtype.kind == "f":  # random states are integers
            weights.append(Weight("", leaf_of(attribute.full_name), value))
    return weights


def read_config(path: Path) -> Any:
    """The model's config from Keras 2's metadata; None where there is none."""
    from tensorflow.python.keras.protobuf.saved_metadata_pb2 import SavedMetadata

    if not path.is_file():
        return None
    for node in SavedMetadata.FromString(path.read_bytes()).nodes:
        if node.node_path == "root":
            metadata = json.loads(node.metadata)
            config = metadata.get("model_config") or metadata
            return config if config.get("config") else None
    return None


def operations_of(path: Path) -> set[str]:
    """Names of the operations in a SavedModel's graphs."""
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    found: set[str] = set()
    for graph in SavedModel.FromString(path.read_bytes()).meta_graphs:
        found.update(node.op for node in graph.graph_def.node)
        for function in graph.graph_def.library.function:
            found.update(node.op for node in function.node_def)
    return found
