"""The scales of an integer input and output, in the metadata of a file whose format has no other place for them.

The value of KEY in `metadata_props` of an ONNX file is {"input": {"scale": 0.004, "zero_point": 0}, "output": ...}.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import json_values as values

__all__ = ["KEY", "Scaling", "interface_text", "read_interface"]

KEY = "fmnist_edge.interface"
LARGEST = 1 << 12  # bytes


class Scaling(NamedTuple):
    """real = (integer - zero_point) * scale"""

    scale: float
    zero_point: int


def interface_text(input: Scaling, output: Scaling) -> str:
    entries = {"input": input._asdict(), "output": output._asdict()}
    return json.dumps(entries, sort_keys=True, separators=(",", ":"), allow_nan=False)


def read_interface(text: str | None, path: str) -> dict[str, Scaling]:
    """ "input" and "output" -> the scaling, as `interface_text` wrote them; empty for None.

    Raises ArtifactError for other text, which a hostile file may have.
    """
    if text is None:
        return {}
    try:
        if len(text) > LARGEST:
            raise ValueError("too long")
        found = values.dict_of(values.json_object)(json.loads(text), KEY)
    except (ValueError, RecursionError) as error:
        raise ArtifactError(f"{path}: its {KEY} is not JSON ({type(error).__name__}); export the model again") from None
    except ArtifactError as error:
        raise ArtifactError(f"{path}: in its metadata, {error}") from None
    try:
        return {
            name: Scaling(
                values.number(entry.get("scale"), f"{name}.scale"),
                values.integer(entry.get("zero_point"), f"{name}.zero_point"),
            )
            for name, entry in found.items()
        }
    except ArtifactError as error:
        raise ArtifactError(f"{path}: in its metadata, {error}") from None
