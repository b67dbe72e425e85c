"""Classifier: image in, label out, whatever the engine and precision."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fmnist_edge.errors import ArtifactError, InputError, one_line
from fmnist_edge.registry import ENGINES, resolve
from fmnist_edge.runtime.contract import Contract, read_manifest
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.golden import Golden, SelfTest
from fmnist_edge.runtime.preprocess import Preprocessing, as_batch
from fmnist_edge.runtime.probe import probe

__all__ = ["Classifier", "Prediction", "engines_for"]

# The engines that can run a kind of file, the default one first.
ENGINES_OF_SUFFIX = {
    ".tflite": (
        "litert",
        "litert-builtin",
        "litert-reference",
        "litert-compiled",
        "tflite-runtime",
        "tflite-micro",
        "numpy",
        "openvino",
    ),
    ".onnx": ("onnxruntime", "onnxruntime-extended", "onnxruntime-basic", "onnxruntime-disabled", "openvino"),
    ".ncnn": ("ncnn",),
    ".mnn": ("mnn",),
    ".keras": ("keras-predict", "keras-call", "keras-function"),
}
LARGEST_CHUNK = 256  # images per call of a dynamic-batch model


@dataclass(frozen=True)
class Prediction:
    """The answer for one image.

    Attributes:
        label, index, confidence: the likeliest class: its name, its place among the labels, its probability.
        probabilities: of all classes, float32 (classes,).
        latency_ns: nanoseconds from image to probabilities, of the whole call: a batch's images share one.
    """

    label: str
    index: int
    confidence: float
    probabilities: np.ndarray
    latency_ns: int

    def top_k(self, k: int = 3) -> list[int]:
        """Indices of the `k` likeliest classes, likeliest first."""
        return [int(index) for index in np.argsort(-self.probabilities, kind="stable")[:k]]


class Classifier:
    """A model file ready to classify images. Make one with `Classifier.load`.

    Threads may share one: calls take turns, and answers are those of a single thread. For parallel work load one per
    thread. A forked child may go on with its parent's: at its first call it loads an engine of its own, because an
    engine's threads do not survive a fork.
    """

    def __init__(
        self,
        engine: Engine,
        contract: Contract,
        *,
        golden: dict[str, Any] | None = None,
        reload: Callable[[], Engine] | None = None,
    ) -> None:
        """`golden` is the manifest's section of that name; `reload` makes the engine that a forked child uses."""
        self.engine = engine
        self.contract = contract
        self._golden = golden
        self._reload = reload
        self._process = os.getpid()
        self._locks: dict[int, threading.Lock] = {}
        self._parents: list[Engine] = []
        self._closed = False
        check_fit(engine, contract)
        # Preprocessing and quantisation go value by value, and a pixel has 256.
        levels = np.arange(256, dtype=np.uint8)
        self._inputs = engine.input.quantize(contract.preprocessing.apply(levels, levels.shape)[0])

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        threads: int | None = None,
        engine: str | None = None,
        contract: Contract | None = None,
        verify: bool = False,
    ) -> Classifier:
        """Load an exported file that has its manifest beside it.

        Args:
            threads: engine threads; None leaves the engine's default.
            engine: a registry name, e.g. "litert" or "onnxruntime"; None picks it from the file's suffix.
            contract: for a file without manifest. It is then tried in a child process first, because nothing
                vouches for it.
            verify: replay the golden vectors that the manifest carries, see `self_test`.

        Raises ArtifactError when the file is missing, differs from its manifest's SHA-256, is refused by the engine, or
        with `verify` has a golden vector that fails; UnavailableError when the engine is not installed; InputError on a
        bad argument.
        """
        path = Path(path)
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise InputError(f"threads is {threads!r}; expected a whole number of at least 1")
        name = engine or engines_for(path)[0]
        engine_class = resolve("engine", ENGINES, name)
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file; `fmnist-edge export MODEL` writes one")
        manifest: dict[str, Any] = {}
        if contract is None:
            manifest = read_manifest(path)
            contract = Contract.from_dict(manifest.get("contract"))
        else:
            probe(path, name)

        def engine_of_file() -> Engine:
            if manifest:
                check_hash(path, manifest["sha256"])
            return engine_class(str(path), threads)

        classifier = cls(engine_of_file(), contract, golden=manifest.get("golden"), reload=engine_of_file)
        if verify:
            classifier._verify(path)
        return classifier

    def __call__(self, images: np.ndarray) -> Prediction | list[Prediction]:
        """Classify one image (-> Prediction) or a batch (-> list).

        `images`: uint8 0..255 or float 0..1, the contract's shape or a batch of it; a channel axis of 1 may be
        left out. For the zoo: (28, 28), (28, 28, 1), (n, 28, 28) or (n, 28, 28, 1).
        """
        answers = self.classify(images)
        is_one = np.shape(images) in (self.contract.input_shape, self.contract.input_shape[:-1])
        return answers[0] if is_one else answers

    def classify(self, images: np.ndarray) -> list[Prediction]:
        """Like calling it, but always a list, of one for one image."""
        start = time.perf_counter_ns()
        probabilities = self._probabilities(self.scores(images))
        latency = time.perf_counter_ns() - start
        return [self._prediction(row, latency) for row in probabilities]

    def scores(self, images: np.ndarray) -> np.ndarray:
        """The model's own outputs, dequantised, float32 (n, classes): logits or probabilities, as the contract says.

        Raises InputError for images that do not fit and for a classifier that was closed, ArtifactError when the engine
        fails or answers what is no number.
        """
        return self._run(self._prepared(images))

    def warm_up(self, calls: int = 3) -> None:
        """Classify a black image some times, so that first calls do not pay for memory and caches."""
        black = np.zeros(self.contract.input_shape, np.uint8)
        for _ in range(calls):
            self.scores(black)

    def self_test(self) -> SelfTest:
        """Replay the golden vectors that the artifact carries, on this device, with this engine.

        Raises ArtifactError when it carries none.
        """
        if self._golden is None:
            raise ArtifactError("the artifact carries no golden vectors; export the model again")
        golden = Golden.from_dict(self._golden, self.contract.input_shape, len(self.contract.labels))
        return SelfTest.of(golden, self.scores(golden.images), f"{self.engine.name} ({self.engine.version})")

    def close(self) -> None:
        """Give the engine's memory back; the classifier cannot classify afterwards."""
        with self._lock():
            self._closed = True
            if os.getpid() == self._process:
                self.engine.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _prepared(self, images: np.ndarray) -> np.ndarray:
        """Images as the engine takes them, (n, *input_shape) of its input's dtype."""
        shape = self.contract.input_shape
        batch = as_batch(images, shape)
        if batch.dtype == np.uint8:
            return self._inputs[batch]
        return self.engine.input.quantize(self.contract.preprocessing.apply(batch, shape))

    def _run(self, batch: np.ndarray) -> np.ndarray:
        with self._lock():
            engine = self._usable_engine()
            rows = [run_chunk(engine, chunk) for chunk in chunks(batch, engine.input.shape[0])]
        # A fixed-batch model answers its padding too.
        scores = engine.output.dequantize((rows[0] if len(rows) == 1 else np.concatenate(rows))[: len(batch)])
        if not np.isfinite(scores).all():
            raise ArtifactError("the model answered NaN or infinity for a valid image; its weights are damaged")
        return scores

    def _lock(self) -> threading.Lock:
        """This process's lock: a parent's may be held forever in a forked child."""
        process = os.getpid()
        return self._locks.get(process) or self._locks.setdefault(process, threading.Lock())

    def _usable_engine(self) -> Engine:
        """The engine, in a forked child one of its own. Raises InputError for a classifier that was closed."""
        if self._closed:
            raise InputError("the classifier was closed; load the file again")
        process = os.getpid()
        if process != self._process:
            if self._reload is not None:
                self._parents.append(self.engine)  # kept: giving it back would wait for threads that are not here
                self.engine = self._reload()
            self._process = process
        return self.engine

    def _verify(self, path: Path) -> None:
        """Close and raise ArtifactError unless every golden vector passes."""
        try:
            result = self.self_test()
            if not result.passed:
                raise ArtifactError(f"{result.engine}: {result.advice}")
        except ArtifactError as error:
            self.close()
            raise ArtifactError(f"{path}: {error}") from None

    def _probabilities(self, scores: np.ndarray) -> np.ndarray:
        return softmax(scores) if self.contract.output == "logits" else scores

    def _prediction(self, probabilities: np.ndarray, latency: int) -> Prediction:
        index = int(probabilities.argmax())
        return Prediction(self.contract.labels[index], index, float(probabilities[index]), probabilities, latency)


def engines_for(path: Path) -> tuple[str, ...]:
    """Names of the engines that can run `path`, by its suffix, the default one first; InputError when none can."""
    if path.suffix not in ENGINES_OF_SUFFIX:
        raise InputError(f"{path}: unknown suffix {path.suffix!r}; expected {' or '.join(ENGINES_OF_SUFFIX)}")
    return ENGINES_OF_SUFFIX[path.suffix]


def softmax(logits: np.ndarray) -> np.ndarray:
    """float32 (n, classes) -> rows that sum to 1, by the shift that cannot overflow."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def chunks(batch: np.ndarray, fixed: int | None) -> Iterator[np.ndarray]:
    """Contiguous pieces the engine accepts: of any size up to LARGEST_CHUNK, or of exactly `fixed`, zero-padded."""
    size = fixed or min(len(batch), LARGEST_CHUNK)
    for start in range(0, len(batch), size):
        piece = batch[start : start + size]
        if fixed and len(piece) < fixed:
            piece = np.concatenate([piece, np.zeros((fixed - len(piece), *piece.shape[1:]), piece.dtype)])
        yield piece


def run_chunk(engine: Engine, chunk: np.ndarray) -> np.ndarray:
    """The engine's answers; ArtifactError when it fails."""
    try:
        return engine.run(chunk)
    except Exception as error:  # engines raise classes of their own
        raise ArtifactError(
            f"{engine.version} failed on a batch of {len(chunk)} ({one_line(error, 160)}); "
            "classify fewer images at a time or export the model again"
        ) from error


def check_hash(path: Path, expected: str) -> None:
    """Raises ArtifactError for a file whose SHA-256 is not the `expected` one, and for one that cannot be read."""
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from None
    if digest != expected:
        raise ArtifactError(
            f"{path}: SHA-256 is {digest[:12]}…, its manifest says {expected[:12]}…; "
            "the file was truncated or altered, export it again"
        )


def check_fit(engine: Engine, contract: Contract) -> None:
    """Raises ArtifactError when the file's tensors are not those the contract promises, or cannot hold its images."""
    expected = (contract.input_shape, (len(contract.labels),))
    found = (engine.input.shape[1:], engine.output.shape[1:])
    for kind, want, have in zip(("input", "output"), expected, found, strict=True):
        if len(want) != len(have) or any(b is not None and a != b for a, b in zip(want, have, strict=True)):
            raise ArtifactError(f"the model's {kind} is {have} per image, its contract says {want}; export it again")
    entry, pixels = engine.input, Preprocessing(scale=1.0)
    if entry.scale is None and np.dtype(entry.dtype).kind in "iu" and contract.preprocessing != pixels:
        raise ArtifactError(
            f"the model's input is {entry.dtype} without a scale: it takes whole numbers, and its contract's "
            f"preprocessing, {contract.preprocessing}, makes others; expected {pixels}"
        )
