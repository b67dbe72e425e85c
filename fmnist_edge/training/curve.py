"""The learning curve of a run, written after every epoch, and the callback that makes a run resumable."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fmnist_edge.aliases import JsonObject
from fmnist_edge.errors import CheckpointError
from fmnist_edge.files import check_room, write_json
from fmnist_edge.training.feed import Feed

if TYPE_CHECKING:
    import keras

__all__ = ["Curve", "epoch_callback"]

STATES = 2  # the last checkpoint is kept until the next one is complete
ROOM_FOR_NAMES = 1 << 20  # bytes of a checkpoint beside its numbers
DRAWS_PER_EPOCH = 1 << 20  # more than any epoch's steps, so that no two epochs share dropout masks


class Curve:
    """One JSON record per epoch in `folder`/curve.json, with the run that it belongs to.

    Raises CheckpointError when the folder holds the curve of another run.
    """

    def __init__(self, folder: Path, run: JsonObject) -> None:
        self.folder, self.path = folder, folder / "curve.json"
        self.run, self.records = json.loads(json.dumps(run)), []
        if self.path.exists():
            saved = json.loads(self.path.read_text())
            if saved["run"] != self.run:
                raise CheckpointError(
                    f"{folder} holds another run (model, recipe or seed differ); finish it or start without --resume"
                )
            self.records = saved["records"]

    def add(self, record: JsonObject) -> None:
        self.records = [*self.records[: record["epoch"]], record]
        write_json(self.path, {"run": self.run, "records": self.records})

    @property
    def seconds(self) -> float:
        """Wall time of the recorded epochs, validation included."""
        return round(sum(record["seconds"] for record in self.records), 1)


def state_bytes(model: keras.Model) -> int:
    """Approximate size of a checkpoint of weights and optimizer."""
    variables = [*model.variables, *model.optimizer.variables]
    return ROOM_FOR_NAMES + sum(math.prod(variable.shape) * np.dtype(variable.dtype).itemsize for variable in variables)


def epoch_callback(fed: Feed, curve: Curve) -> keras.callbacks.Callback:
    """A Keras callback that records the curve, and makes an epoch's randomness depend on its number alone."""
    import keras

    class EpochCallback(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.started = time.monotonic()
            fed.start(epoch)
            for layer in self.model.layers:
                if hasattr(layer, "seed_generator"):  # checkpoints do not save dropout's random state
                    seed = int(np.asarray(layer.seed_generator.state)[0])
                    layer.seed_generator.state.assign(np.array([seed, epoch * DRAWS_PER_EPOCH], np.uint32))

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            values = {name: round(float(value), 6) for name, value in (logs or {}).items()}
            curve.add({"epoch": epoch, "seconds": round(time.monotonic() - self.started, 2), **values})
            # HDF5 writes the checkpoint next, and crashes on a full disk.
            check_room(curve.folder, STATES * state_bytes(self.model))

    return EpochCallback()
