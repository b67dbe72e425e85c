"""`.keras`: a zip of config.json and an HDF5 file of weights."""

from __future__ import annotations

import io
import json
import zipfile

from fmnist_edge.checkpoints import hdf5
from fmnist_edge.checkpoints.contents import Contents, shown
from fmnist_edge.errors import CheckpointError

__all__ = ["SIGNATURE", "read"]

SIGNATURE = b"PK\x03\x04"
LIMITS = {"config.json": 16 << 20, "metadata.json": 1 << 20, "model.weights.h5": 2 << 30}  # bytes
MAX_EXPANSION = 100  # Keras stores without compression; DEFLATE reaches 1032 on zeros
FREE_EXPANSION = 1 << 20  # bytes that may expand as they like


def read(content: bytes) -> Contents:
    """Read a `.keras` file; raises CheckpointError when it is not one that Keras wrote."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_members(archive)
            config = json.loads(archive.read("config.json"))
            weights = archive.read("model.weights.h5")
            metadata = json.loads(archive.read("metadata.json")) if "metadata.json" in archive.namelist() else None
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise CheckpointError(f"is damaged as a zip file ({error}); copy or save it again") from error
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"its config is not JSON ({shown(str(error))}); save the model again") from error
    version = metadata.get("keras_version") if isinstance(metadata, dict) else None
    return hdf5.read_weights(weights, config, keras_2=str(version).startswith("2."))


def check_members(archive: zipfile.ZipFile) -> None:
    members = archive.infolist()
    names = [member.filename for member in members]
    if len(names) != len(set(names)):
        raise CheckpointError("holds a member twice; save the model again with model.save('model.keras')")
    for member in members:
        limit = LIMITS.get(member.filename)
        if limit is None:
            raise CheckpointError(
                f"holds {shown(member.filename)}; expected {', '.join(LIMITS)} alone; save the model without assets"
            )
        allowed = max(FREE_EXPANSION, MAX_EXPANSION * member.compress_size)
        if member.file_size > limit or member.file_size > allowed:
            raise CheckpointError(
                f"{member.filename} expands from {member.compress_size:,} to {member.file_size:,} bytes; "
                "expected what Keras writes, which is not compressed"
            )
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise CheckpointError(f"{member.filename} is encrypted or packed in an unusual way; save the model again")
    missing = {"config.json", "model.weights.h5"}.difference(names)
    if missing:
        raise CheckpointError(f"has no {' and no '.join(sorted(missing))}, so it is no .keras that Keras wrote")
