"""Run one recipe: resumable, seeded, chosen on validation images, read once on the test set."""

from __future__ import annotations

import dataclasses
import json
import platform
import time
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge import data
from fmnist_edge.errors import CheckpointError, InputError
from fmnist_edge.files import check_writable, sha256_of, write_json, write_via
from fmnist_edge.models.spec import ModelSpec
from fmnist_edge.runtime.preprocess import Preprocessing
from fmnist_edge.training.augment import augment
from fmnist_edge.training.recipes import Recipe

__all__ = ["evaluate", "train"]

DRAWS_PER_EPOCH = 1 << 20  # more than any epoch's steps, so that no two epochs share dropout masks


def train(
    spec: ModelSpec,
    recipe: Recipe,
    *,
    out: Path,
    scratch: Path,
    seed: int = 0,
    resume: bool = False,
    data_folder: str | Path | None = None,
    limit: int | None = None,
) -> dict[str, Any]:
    """Train `spec` with `recipe`; write `<name>.keras`, `<name>.json` (the card) and `<name>.png` to `out`.

    Args:
        scratch: folder for the checkpoint of the last finished epoch and the learning curve so far.
        resume: go on from `scratch`; without it a new run starts and old checkpoints are dropped.
        limit: fit on that many images only and read only that many test images, for tests; the card says so.

    Returns the card. Raises CheckpointError when `scratch` belongs to another run, FileError when `out` cannot be
    written, which is tried before anything else.
    """
    import keras

    check_writable(out)
    run = {"model": spec.name, "recipe": dataclasses.asdict(recipe), "seed": seed, "limit": limit}
    curve = Curve(scratch, run, resume)
    fitted, validation = data.train_and_validation(spec.train_images, spec.validation_images, data_folder)
    if limit is not None:
        if limit < 1:
            raise InputError(f"limit must be at least 1 image, got {limit}")
        fitted, validation = fitted.part(0, limit), validation.part(0, limit)

    keras.utils.set_random_seed(seed)
    model = spec.build(**recipe.build)
    steps = -(-len(fitted) // recipe.batch_size)
    model.compile(
        optimizer=optimizer_for(recipe, steps),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
        jit_compile=False if keras.backend.backend() == "tensorflow" else "auto",  # XLA on CPUs is 6 times slower
    )
    fed = batches(fitted, recipe, seed)
    # The curve is written before the state: a kill between the two repeats an epoch and overwrites its record.
    callbacks: list[Any] = [
        epoch_callback(fed, curve),
        keras.callbacks.BackupAndRestore(scratch / "state", double_checkpoint=True),
    ]
    if recipe.ema_momentum:
        callbacks.append(keras.callbacks.SwapEMAWeights())  # validate the averaged weights, train the raw ones

    model.fit(
        fed,
        validation_data=(prepare(validation.images), one_hot(validation.labels)),
        epochs=recipe.epochs,
        callbacks=callbacks,
        verbose="auto",
        shuffle=False,
    )

    test = data.load("test", data_folder)
    if limit is not None:
        test = test.part(0, limit)
    write_via(out / f"{spec.name}.keras", lambda path: model_without_optimizer(model).save(path))
    card = {
        "schema": 1,
        **run,
        "parameters": model.count_params(),
        "published_accuracy": spec.published_accuracy,
        "validation": {"images": len(validation), **evaluate(model, validation)},
        "test": {"images": len(test), **evaluate(model, test)},
        "fitted_images": len(fitted),
        "curve": curve.records,
        "wall_time_s": round(sum(record["seconds"] for record in curve.records), 1),
        "images_per_second": round(len(fitted) * len(curve.records) / sum(r["seconds"] for r in curve.records), 1),
        "sha256": sha256_of(out / f"{spec.name}.keras"),
        "backend": keras.backend.backend(),
        "versions": {"keras": keras.version(), "numpy": np.__version__, "python": platform.python_version()},
    }
    write_json(out / f"{spec.name}.json", card)
    plot_curve(card, out / f"{spec.name}.png")
    curve.forget()
    return card


def evaluate(model: Any, split: data.Split) -> dict[str, float]:
    """Accuracy (fraction) and mean cross-entropy (nats) of a logits model on a split, without smoothing."""
    logits = np.asarray(model.predict(prepare(split.images), batch_size=500, verbose=0), np.float64)
    peak = logits.max(axis=1, keepdims=True)
    log_probabilities = logits - peak - np.log(np.exp(logits - peak).sum(axis=1, keepdims=True))
    picked = log_probabilities[np.arange(len(split)), split.labels]
    accuracy = float((logits.argmax(axis=1) == split.labels).mean())
    return {"accuracy": round(accuracy, 6), "loss": round(float(-picked.mean()), 6)}


def prepare(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 28, 28) -> the models' float32 (n, 28, 28, 1), by the one definition of preprocessing."""
    return Preprocessing().apply(images, (28, 28, 1))


def one_hot(labels: np.ndarray) -> np.ndarray:
    return np.eye(10, dtype=np.float32)[labels]


def model_without_optimizer(model: Any) -> Any:
    """The same layers and weights in an uncompiled model: a third of the file."""
    import keras

    return keras.Model(model.inputs, model.outputs, name=model.name)


def optimizer_for(recipe: Recipe, steps: int) -> Any:
    """`recipe`'s optimizer for epochs of `steps` batches."""
    import keras

    average = {"use_ema": True, "ema_momentum": recipe.ema_momentum} if recipe.ema_momentum else {}
    if recipe.optimizer == "adam":
        return keras.optimizers.Adam(recipe.learning_rate, **average)
    warmup = round(recipe.warmup_epochs * steps)
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0 if warmup else recipe.learning_rate,
        decay_steps=max(1, recipe.epochs * steps - warmup),
        warmup_target=recipe.learning_rate if warmup else None,
        warmup_steps=warmup,
    )
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=recipe.weight_decay, **average)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def batches(split: data.Split, recipe: Recipe, seed: int) -> Any:
    """A PyDataset of augmented batches; each depends on (seed, epoch, batch) alone, so that a resumed run sees
    what an uninterrupted one would have seen."""
    import keras

    class Batches(keras.utils.PyDataset):
        def start(self, epoch):
            self.epoch = epoch
            self.order = np.random.default_rng((seed, epoch)).permutation(len(split))

        def __len__(self):
            return -(-len(split) // recipe.batch_size)

        def __getitem__(self, index):
            chosen = self.order[index * recipe.batch_size : (index + 1) * recipe.batch_size]
            rng = np.random.default_rng((seed, self.epoch, index))
            return prepare(augment(split.images[chosen], recipe, rng)), one_hot(split.labels[chosen])

    fed = Batches()
    fed.start(0)
    return fed


class Curve:
    """The learning curve, one JSON record an epoch, on disk as soon as the epoch ends."""

    def __init__(self, folder: Path, run: dict[str, Any], resume: bool):
        self.path = folder / "curve.json"
        self.run, self.records = run, []
        if not resume:
            self.forget()
        elif self.path.exists():
            saved = json.loads(self.path.read_text())
            if saved["run"] != json.loads(json.dumps(run)):
                raise CheckpointError(
                    f"{folder} holds another run (model, recipe or seed differ); finish it or start without --resume"
                )
            self.records = saved["records"]

    def add(self, record: dict[str, Any]) -> None:
        self.records = [*self.records[: record["epoch"]], record]
        write_json(self.path, {"run": self.run, "records": self.records})

    def forget(self) -> None:
        import shutil

        shutil.rmtree(self.path.parent, ignore_errors=True)


def epoch_callback(fed: Any, curve: Curve) -> Any:
    """Makes an epoch's randomness depend on its number alone, also after a resume, and keeps the curve."""
    import keras

    class EpochCallback(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.started = time.monotonic()
            fed.start(epoch)
            for layer in self.model.layers:
                if hasattr(layer, "seed_generator"):  # checkpoints leave dropout's random state out
                    seed = int(np.asarray(layer.seed_generator.state)[0])
                    layer.seed_generator.state.assign(np.array([seed, epoch * DRAWS_PER_EPOCH], np.uint32))

        def on_epoch_end(self, epoch, logs=None):
            values = {name: round(float(value), 6) for name, value in (logs or {}).items()}
            curve.add({"epoch": epoch, "seconds": round(time.monotonic() - self.started, 2), **values})

    return EpochCallback()


def plot_curve(card: dict[str, Any], path: Path) -> None:
    """Loss and accuracy of every epoch, fitted and validation images, as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for axes, metric in zip(figure.subplots(1, 2), ("loss", "accuracy"), strict=True):
        for key, label in ((metric, "augmented training images"), (f"val_{metric}", "validation images")):
            axes.plot([r["epoch"] + 1 for r in card["curve"]], [r[key] for r in card["curve"]], label=label)
        axes.set(xlabel="epoch", ylabel=metric)
        axes.grid(alpha=0.3)
    axes.legend()
    figure.suptitle(f"{card['model']}, recipe {card['recipe']['name']}: test accuracy {card['test']['accuracy']:.2%}")
    write_via(path, lambda temporary: figure.savefig(temporary, dpi=110))
