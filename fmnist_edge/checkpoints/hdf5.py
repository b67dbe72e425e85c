"""HDF5: Keras 2 models and weights (`.h5`), Keras 3 weights (`.weights.h5`, and inside `.keras`)."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fmnist_edge.checkpoints.contents import Contents, Weight, leaf_of, shown, weight_of
from fmnist_edge.checkpoints.matching import Given, Source, check_loaded, load_model, load_together
from fmnist_edge.checkpoints.parts import Part, leaves_of
from fmnist_edge.errors import CheckpointError

if TYPE_CHECKING:
    import h5py

__all__ = ["SIGNATURE", "read", "read_weights"]

SIGNATURE = b"\x89HDF\r\n\x1a\n"
STOPPED = "its writer stopped in the middle; save the model again with model.save('model.keras')"
BFLOAT16 = np.dtype("V2")  # as HDF5 has it
MAX_OBJECTS = 100_000
MAX_DEPTH = 50
MAX_EXPANSION = 1000  # of a dataset over its bytes in the file
FREE_EXPANSION = 1 << 20  # bytes a dataset may declare and not store
TOP_GROUPS = ("layers", "_layer_checkpoint_dependencies")  # Keras 3; 2.12 to 2.13


def read(content: bytes) -> Contents:
    """Read an `.h5` file of any Keras; raises CheckpointError when it is damaged or reaches outside of itself."""
    with opened(content) as file:
        config = config_of(file)
        group = file.get("model_weights", file)
        if "layer_names" not in group.attrs and "layer_names0" not in group.attrs:
            if not len(group) or (config is not None and not any(name in file for name in TOP_GROUPS)):
                raise CheckpointError(f"holds no weights: {STOPPED}")
            return read_weights(content, config)
        weights = list(legacy_weights(group))
        version = group.attrs.get("keras_version", file.attrs.get("keras_version", ""))

    by_layer: dict[str, list[Weight]] = {}
    for weight in weights:
        by_layer.setdefault(weight.layer, []).append(weight)
    text = version.decode() if isinstance(version, bytes) else str(version)
    keras_2 = text.startswith(("1.", "2.")) or not text
    return Contents(config, [weights], lambda root: load_legacy(root, by_layer), keras_2)


def load_legacy(root: Part, by_layer: dict[str, list[Weight]]) -> None:
    """Give each of a model's layers the weights listed for it, by its name, or in order where names differ."""
    asking = [part for part in root.parts or () if asks(part)]
    names = [part.name for part in asking]
    if set(names) != set(by_layer):
        extra = next((name for name in by_layer if name not in names), "")
        if len(names) != len(by_layer):
            raise ValueError(
                f"the file holds weights of {len(by_layer)} layers, its config asks for those of {len(names)}"
                + (f"; {shown(extra)} is one too many" if extra else "")
            )
        names = list(by_layer)
    values: Given = {}
    for name, part in zip(names, asking, strict=True):
        values |= load_together(part, by_layer[name])
    check_loaded(root, values)


def asks(part: Part) -> bool:
    return any(leaf.layer is not None and getattr(leaf.layer, "weights", None) for leaf in leaves_of(part))


def read_weights(content: bytes, config: Any, *, keras_2: bool = False) -> Contents:
    """Read a Keras 3 weights file; `config` is the model's, None where there is none."""
    if not content.startswith(SIGNATURE):
        raise CheckpointError("its weights are not an HDF5 file; save the model again with model.save('model.keras')")
    with opened(content) as file:
        top = next((name for name in TOP_GROUPS if name in file), None)
        if top is None:
            raise CheckpointError(f"holds {shown(list(file))}; expected the weights of a Keras model")
        queues = queues_of(file[top])
        source = source_of(file, 0)

    def load(root: Part) -> None:
        check_loaded(root, load_model(root, source))

    return Contents(config, queues, load, keras_2)


def source_of(group: h5py.Group, depth: int) -> Source:
    """A group's own arrays ("vars/0", "vars/1", …) and the groups in it, random states left out."""
    import h5py

    own = group.get("vars")
    arrays = [own[name] for name in sorted(own, key=natural)] if isinstance(own, h5py.Group) else []
    weights = [weight_of("", "", np.asarray(array)) for array in arrays if isinstance(array, h5py.Dataset)]
    inner = [name for name in group if name not in ("vars", "seed_generator") and isinstance(group[name], h5py.Group)]
    return Source(weights, {name: source_of(group[name], depth + 1) for name in sorted(inner, key=natural)})


def opened(content: bytes) -> h5py.File:
    """An h5py.File in memory whose every object was checked."""
    import h5py

    try:
        file = h5py.File(io.BytesIO(content), "r")
    except Exception as error:
        raise CheckpointError(f"is damaged as an HDF5 file ({shown(str(error))}); copy or save it again") from error
    try:
        check_group(file, set(), 0)
    except CheckpointError:
        file.close()
        raise
    except Exception as error:
        file.close()
        raise CheckpointError(f"is damaged as an HDF5 file ({shown(str(error))}); copy or save it again") from error
    return file


def check_group(group: h5py.Group, seen: set[int], depth: int) -> None:
    """Refuse what points out of the file or loops, and datasets that are not plain numbers of a plausible size."""
    import h5py

    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise CheckpointError(f"{shown(name)} is a {type(link).__name__}; expected the data itself; save it again")
        item = group[name]
        address = h5py.h5o.get_info(item.id).addr
        if address in seen or len(seen) >= MAX_OBJECTS or depth >= MAX_DEPTH:
            raise CheckpointError(f"{shown(name)} is linked twice or nested too deep; save the model again")
        seen.add(address)
        if isinstance(item, h5py.Group):
            check_group(item, seen, depth + 1)
        elif isinstance(item, h5py.Dataset):
            check_dataset(name, item)
        else:
            raise CheckpointError(f"{shown(name)} is neither a group nor a dataset; save the model again")


def check_dataset(name: str, dataset: h5py.Dataset) -> None:
    if dataset.external or dataset.is_virtual:
        raise CheckpointError(f"{shown(name)} keeps its data in another file; expected it in this one; save it again")
    if dataset.shape is None or (dataset.dtype.kind not in "fiub" and dataset.dtype != BFLOAT16):
        raise CheckpointError(f"{shown(name)} holds {shown(str(dataset.dtype))}; expected numbers; save it again")
    size = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size > max(FREE_EXPANSION, MAX_EXPANSION * dataset.id.get_storage_size()):
        raise CheckpointError(f"{shown(name)} declares {size:,} bytes that the file does not hold; save it again")


def config_of(file: h5py.File) -> Any:
    text = file.attrs.get("model_config")
    if text is None:
        return None
    try:
        return json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"its model_config is not JSON ({shown(str(error))}); save the model again") from error


def legacy_weights(group: h5py.Group) -> Iterator[Weight]:
    """Weights as Keras 2 lists them: by layer, trainable ones first."""
    seen = set()
    for layer in names_of(group, "layer_names"):
        if layer not in group:
            raise CheckpointError(f"{shown(layer)}, which it lists, is missing: {STOPPED}")
        for path in names_of(group[layer], "weight_names"):
            if path not in group[layer]:
                raise CheckpointError(f"{shown(path)}, which it lists, is missing: {STOPPED}")
            if group[layer][path] in seen:
                raise CheckpointError(f"lists {shown(path)} twice; save the model again")
            seen.add(group[layer][path])
            yield weight_of(layer, leaf_of(path), np.asarray(group[layer][path]), path)


def names_of(group: h5py.Group, key: str) -> list[str]:
    """A list of names, which Keras splits over several attributes when it is long."""
    keys = [key] if key in group.attrs else []
    while f"{key}{len(keys)}" in group.attrs and key not in group.attrs:
        keys.append(f"{key}{len(keys)}")
    names = [name for part in keys for name in np.asarray(group.attrs[part]).ravel()]
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def queues_of(group: h5py.Group) -> list[list[Weight]]:
    """Keras 3 numbers layers per class ("conv2d_1") and keeps no order between classes: one queue each."""
    queues: dict[str, list[Weight]] = {}
    for name in sorted(group, key=natural):
        queues.setdefault(re.sub(r"_\d+$", "", name), []).extend(variables_of(group[name], ""))
    return list(queues.values())


def variables_of(group: h5py.Group, layer: str) -> Iterator[Weight]:
    import h5py

    for name in sorted(group, key=natural):
        item = group[name]
        if isinstance(item, h5py.Dataset):
            yield weight_of(layer, "", np.asarray(item))
        elif isinstance(item, h5py.Group) and name != "seed_generator":
            yield from variables_of(item, str(item.attrs.get("name", "")))


def natural(name: str) -> list[tuple[int, str]]:
    """Sort key that puts conv2d_10 after conv2d_9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
