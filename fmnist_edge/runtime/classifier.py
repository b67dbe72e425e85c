"""Classifier: image in, label out, whatever the engine and precision."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fmnist_edge.errors import ArtifactError, InputError, UnavailableError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.golden import Golden, SelfTest
from fmnist_edge.runtime.images import read_image
from fmnist_edge.runtime.loading import Source
from fmnist_edge.runtime.polarity import Polarity
from fmnist_edge.runtime.prediction import Prediction, softmax
from fmnist_edge.runtime.runner import Runner, model_input

__all__ = ["Classifier"]


class Classifier:
    """A model file ready to classify images. Make one with `Classifier.load`.

    Threads may share one: calls take turns, and answers are those of a single thread. For parallel work load one per
    thread. A forked child may go on with its parent's: at its first call it loads an engine of its own, because an
    engine's threads do not survive a fork. End such a child by `os._exit`, as multiprocessing does: where ONNX Runtime
    is loaded, a plain exit waits for those threads. The Keras engines refuse, TensorFlow does not survive at all.

    >>> import numpy as np
    >>> shirt = np.zeros((28, 28), np.uint8)
    >>> shirt[4:, 8:20] = 200
    >>> with Classifier.load("exported/compact_cnn/int8.tflite") as classify:
    ...     one = classify(shirt)
    ...     three = classify(np.stack([shirt, shirt // 2, shirt[:, ::-1]]))
    ...     scores = classify.scores(shirt)
    >>> len(three), three[0].index == one.index, scores.shape
    (3, True, (1, 10))
    >>> one.top_k(1) == [one.index], float(one.probabilities[one.index]) == one.confidence
    (True, True)
    """

    def __init__(
        self,
        engine: Engine,
        contract: Contract,
        *,
        golden: object = None,
        reload: Callable[[], Engine] | None = None,
    ) -> None:
        """`golden` is the manifest's section of that name; `reload` makes the engine that a forked child uses."""
        self.contract = contract
        self._runner = Runner(engine, contract)
        self._polarity = Polarity(contract)
        self._golden = golden
        self._reload = reload
        self._process = os.getpid()
        self._locks: dict[int, threading.Lock] = {}
        self._parents: list[Engine] = []
        self._closed = False

    @property
    def engine(self) -> Engine:
        """What runs the file: its `name`, `version`, `input` and `output`."""
        return self._runner.engine

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        threads: int | None = None,
        engine: str | None = None,
        contract: Contract | None = None,
        verify: bool = False,
        try_first: bool = False,
    ) -> Classifier:
        """Load an exported file: by the manifest beside it, else by the contract inside it.

        A file that is its manifest's, by SHA-256, is loaded at once. A file that came without manifest is first tried
        in a child process, which takes longer than loading it: nothing vouches for its bytes, and engines can crash on
        hostile ones. It has no golden vectors either.

        Args:
            threads: engine threads; None leaves the engine's default.
            engine: its name, e.g. "litert" or "onnxruntime"; None picks it from the file's suffix.
            contract: for a file that has neither, or instead of what they say. The file is tried as one without.
            verify: replay the golden vectors that the manifest carries, see `self_test`.
            try_first: try it in a child process although its manifest vouches for it. That says who altered the file
                since it was exported: nobody. Not who exported it: for a manifest that came from where the file did.

        Raises ArtifactError when the file is missing, differs from its manifest's SHA-256, holds another contract than
        its manifest, is refused by the engine, or with `verify` has a golden vector that fails; UnavailableError when
        the engine is not installed; InputError on a bad argument.
        """
        path = Path(path)
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise InputError(f"threads is {threads!r}; expected a whole number of at least 1")
        name = engine or engines_for(path)[0]
        record = ENGINES[name]
        if not path.is_file():
            raise ArtifactError(f"{path}: no such file; `fmnist-edge export MODEL` writes one")
        source = Source.of(path, name, contract, try_first)

        def again() -> Engine:
            source.check()
            return record.load(path, threads)

        loaded = record.load(path, threads)
        try:
            source.check()  # once more: the engine has read it after it was found fit
            classifier = cls(loaded, source.contract, golden=source.golden, reload=again)
        except BaseException:
            loaded.close()
            raise
        if verify:
            classifier._verify(path)
        return classifier

    def __call__(self, images: np.ndarray, *, invert: str = "never") -> Prediction | list[Prediction]:
        """Classify one image (-> Prediction) or a batch (-> list).

        Args:
            images: uint8 0..255 or float 0..1, the contract's shape or a batch of it; a channel axis of 1 may be left
                out. For the zoo: (28, 28), (28, 28, 1), (n, 28, 28) or (n, 28, 28, 1). A model whose layout is NCHW
                takes its own order of axes too.
            invert: "never" takes images as they are, with a PolarityWarning when one looks dark on light to a model
                of light on dark or the other way round; "auto" inverts such an image; "always" inverts each.

        Raises InputError for images that do not fit and for a classifier that was closed, ArtifactError when the engine
        fails or answers what is no number.
        """
        start = time.perf_counter_ns()
        batch, one = model_input(images, self.contract)
        answers = self._answers(self._polarity.applied(batch, invert, 2), start)
        return answers[0] if one else answers

    def classify(self, images: np.ndarray, *, invert: str = "never") -> list[Prediction]:
        """Like calling it, but always a list, of one for one image."""
        start = time.perf_counter_ns()
        batch, _ = model_input(images, self.contract)
        return self._answers(self._polarity.applied(batch, invert, 2), start)

    def from_file(self, path: str | Path | BinaryIO, *, invert: str = "never") -> Prediction:
        """Classify a PNG or JPEG, a path or an open file: upright, grey or RGB, as large as the contract says.

        Needs Pillow, which is imported now.

        Raises FileError when the file is missing or not a readable image, UnavailableError without Pillow.

        >>> with Classifier.load("exported/compact_cnn/int8.tflite") as classify:
        ...     classify.from_file("examples/images/0000-ankle_boot.png").label
        'Ankle boot'
        """
        start = time.perf_counter_ns()
        image = read_image(path, self.contract.input_shape, self.contract.resize)
        return self._answers(self._polarity.applied(image[None], invert, 2), start)[0]

    def scores(self, images: np.ndarray) -> np.ndarray:
        """The model's own outputs, dequantised, float32 (n, classes): logits or probabilities, as the contract says.

        Images are taken as they are, whatever their polarity. Raises as calling it does.
        """
        return self._run(model_input(images, self.contract)[0])

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

    def _run(self, batch: np.ndarray) -> np.ndarray:
        with self._lock():
            return self._usable().scores(batch)

    def _answers(self, batch: np.ndarray, start: int) -> list[Prediction]:
        """Of a batch that `model_input` made, in a call that began at `start`."""
        scores = self._run(batch)
        rows = softmax(scores) if self.contract.output == "logits" else scores
        latency = time.perf_counter_ns() - start
        labels = self.contract.labels
        return [Prediction(labels[(i := int(row.argmax()))], i, float(row[i]), row, latency) for row in rows]

    def _lock(self) -> threading.Lock:
        """This process's lock: a parent's may be held forever in a forked child."""
        process = os.getpid()
        return self._locks.get(process) or self._locks.setdefault(process, threading.Lock())

    def _usable(self) -> Runner:
        """The runner, in a forked child with an engine of its own.

        Raises InputError for a classifier that was closed, UnavailableError for an engine that does not survive a fork.
        """
        if self._closed:
            raise InputError("the classifier was closed; load the file again")
        process = os.getpid()
        if process != self._process:
            if not self.engine.survives_fork:
                raise UnavailableError(
                    f"{self.engine.name} does not survive a fork; start processes by 'spawn', and load the file there"
                )
            if self._reload is not None:
                self._parents.append(self.engine)  # kept: giving it back may wait for threads that are not here
                self._runner.engine = self._reload()
            self._process = process
        return self._runner

    def _verify(self, path: Path) -> None:
        """Close and raise ArtifactError unless every golden vector passes."""
        try:
            result = self.self_test()
            if not result.passed:
                raise ArtifactError(f"{result.engine}: {result.advice}")
        except ArtifactError as error:
            self.close()
            raise ArtifactError(f"{path}: {error}") from None
