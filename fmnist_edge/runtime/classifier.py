"""Classifier: image in, label out, with any engine and precision."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from fmnist_edge.errors import ArtifactError, InputError
from fmnist_edge.runtime.confidence import Confidence
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.engine_catalog import ENGINES, engines_for
from fmnist_edge.runtime.golden import Golden, SelfTest
from fmnist_edge.runtime.images import fitted, read_image
from fmnist_edge.runtime.loading import Source
from fmnist_edge.runtime.polarity import Polarity
from fmnist_edge.runtime.prediction import Prediction, softmax
from fmnist_edge.runtime.runner import Runner, model_input
from fmnist_edge.runtime.same_file import check_exists
from fmnist_edge.runtime.shared_runner import SharedRunner

if TYPE_CHECKING:
    from PIL import Image

    from fmnist_edge.runtime.given import Model

__all__ = ["Classifier"]


class Classifier:
    """A model file that is loaded and ready to classify images. Create one with `Classifier.load`.

    Threads may share one: calls take turns, and the answers are the same as from a single thread. For parallel work,
    load one per thread.

    A forked child may use its parent's classifier. At its first call it loads its own engine, because an engine's
    threads do not survive a fork. End such a child by `os._exit`, as multiprocessing does: where ONNX Runtime is
    loaded, a normal exit waits for those threads. Some engines refuse to run in a forked child, such as Keras, because
    TensorFlow does not survive a fork.

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
        confidence: Confidence | None = None,
        abstain: bool | None = None,
    ) -> None:
        """`golden`: the manifest's section "golden". `reload`: creates the engine that a forked child uses.

        `confidence`, `abstain`: see `load`. Raises ArtifactError when `confidence` does not fit the contract.
        """
        if confidence is not None:
            confidence.check_classes(len(contract.labels))
        elif abstain:
            raise InputError(
                "abstain=True needs a confidence in the manifest, and there is none; `fmnist-edge confidence` fits it"
            )
        self._confidence = confidence
        self._abstain = abstain if abstain is not None else confidence is not None and confidence.abstain
        self.contract = contract
        self._runner = SharedRunner(Runner(engine, contract), reload)
        self._polarity = Polarity(contract)
        self._golden = golden

    @property
    def engine(self) -> Engine:
        """The engine that runs the file; see its `name`, `version`, `input` and `output`."""
        return self._runner.engine

    @classmethod
    def load(
        cls,
        model: Model,
        *,
        threads: int | None = None,
        engine: str | None = None,
        contract: Contract | None = None,
        verify: bool = False,
        try_first: bool = False,
        manifest: Model | None = None,
        abstain: bool | None = None,
    ) -> Classifier:
        """Load an exported file with the manifest beside it, or else with the contract inside it.

        A file whose SHA-256 matches its manifest is loaded at once. A file without a manifest is first loaded in a
        child process, because a hostile file can crash an engine. This takes longer. It has no golden vectors either.

        Args:
            model: a path; or the file's content as bytes, a file opened in binary mode, or a file inside a package or
                zip (`importlib.resources.files(...) / "int8.tflite"`), beside which the manifest is found too. What is
                no path is written to a temporary folder for as long as the engine loads it.
            threads: engine threads; None leaves the engine's default.
            engine: its name, e.g. "litert" or "onnxruntime"; None chooses it by the file's suffix.
            contract: use this contract, and ignore the manifest and the contract inside the file. The file is loaded
                like one without a manifest.
            verify: replay the manifest's golden vectors, see `self_test`.
            try_first: load the file in a child process first, even if it has a manifest. The manifest proves that the
                file is unaltered, not who made it. Use this for a file and manifest from an untrusted source.
            manifest: the manifest, given as a model can be. None for the one beside the model.
            abstain: whether `label` is None for an answer that the manifest's confidence calls unknown; None: as the
                manifest says. Without a confidence in the manifest, every answer has its label.

        Raises ArtifactError when the file is missing, when its SHA-256 or its contract differs from the manifest's,
        when the engine refuses it, or, with `verify`, when a golden vector fails; UnavailableError when the engine is
        not installed; InputError for an invalid argument; FileError for a model that cannot be read.
        """
        if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
            raise InputError(f"threads is {threads!r}; expected a whole number of at least 1")
        if contract is not None and not isinstance(contract, Contract):
            raise InputError(f"contract is {type(contract).__name__}; expected a Contract, see Contract.from_dict")
        if isinstance(model, (str, os.PathLike)) and manifest is None:
            return cls._load(Path(model), threads, engine, contract, verify, try_first, abstain)
        from fmnist_edge.runtime.given import Given

        given = Given.of(model, manifest, engine)
        with given.on_disk() as path:
            classifier = cls._load(path, threads, engine, contract, verify, try_first, abstain)
        classifier._runner.reload = partial(given.load, classifier.engine.name, threads)
        return classifier

    @classmethod
    def _load(
        cls,
        path: Path,
        threads: int | None,
        engine: str | None,
        contract: Contract | None,
        verify: bool,
        try_first: bool,
        abstain: bool | None,
    ) -> Classifier:
        name = engine or engines_for(path)[0]
        record = ENGINES[name]
        check_exists(path)
        source = Source.of(path, name, contract, try_first)

        def reload() -> Engine:
            source.check()
            return record.load(path, threads)

        loaded = record.load(path, threads)
        try:
            source.check()  # again: the file may have changed before the engine read it
            classifier = cls(
                loaded,
                source.contract,
                golden=source.golden,
                reload=reload,
                confidence=source.confidence,
                abstain=abstain,
            )
        except BaseException:
            loaded.close()
            raise
        if verify:
            classifier._verify(path)
        return classifier

    def __call__(self, images: np.ndarray, *, invert: str = "never") -> Prediction | list[Prediction]:
        """Classify one image (-> Prediction) or a batch (-> list).

        Args:
            images: uint8 0..255 or float 0..1, one image of the contract's shape or a batch; a channel axis of 1 may be
                left out. For the zoo: (28, 28), (28, 28, 1), (n, 28, 28) or (n, 28, 28, 1). A model whose layout is
                NCHW also accepts channels first.
            invert: what to do when an image's polarity (light on dark or dark on light) differs from the training
                images': "never" leaves images as they are and raises a PolarityWarning; "auto" inverts such images.
                "always" inverts every image.

        Raises InputError for images that do not fit and for a closed classifier; ArtifactError when the engine fails or
        returns NaN or infinity.
        """
        start = time.perf_counter_ns()
        batch, one = model_input(images, self.contract)
        answers = self._predictions(self._polarity.apply(batch, invert, 2), start)
        return answers[0] if one else answers

    def classify(self, images: np.ndarray, *, invert: str = "never") -> list[Prediction]:
        """Like `__call__`, but always returns a list, even for one image."""
        start = time.perf_counter_ns()
        batch, _ = model_input(images, self.contract)
        return self._predictions(self._polarity.apply(batch, invert, 2), start)

    def from_file(self, path: str | Path | BinaryIO, *, invert: str = "never") -> Prediction:
        """Classify a PNG or JPEG, given as a path or an open file.

        The image is turned upright, converted to greyscale or RGB, and resized as the contract says. Needs Pillow.

        Raises FileError when the file is missing or not a readable image, UnavailableError without Pillow.

        >>> with Classifier.load("exported/compact_cnn/int8.tflite") as classify:
        ...     classify.from_file("examples/images/0000-ankle_boot.png").label
        'Ankle boot'
        """
        start = time.perf_counter_ns()
        image = read_image(path, self.contract.input_shape, self.contract.resize)
        return self._predictions(self._polarity.apply(image[None], invert, 2), start)[0]

    def fit_image(
        self, image: np.ndarray | Image.Image, *, order: str = "RGB", ground: int | tuple[int, int, int] | None = None
    ) -> np.ndarray:
        """A camera's or Pillow's image of any size as the model takes it: uint8 of the contract's shape.

        It is stretched by the contract's filter, and converted to greyscale or RGB. Needs Pillow.

        Args:
            image: a Pillow image; or an array (height, width) or (height, width, 1, 3 or 4), uint8, uint16, bool or
                float 0..1. A fourth channel is alpha.
            order: of an array's channels, "RGB" or "BGR" (OpenCV's).
            ground: what lies behind transparent pixels: a grey level 0..255, or (red, green, blue).

        Raises InputError for other images, and for one with transparent pixels and no `ground`; UnavailableError
        without Pillow.

        >>> frame = np.full((480, 640, 3), 30, np.uint8)
        >>> with Classifier.load("exported/compact_cnn/int8.tflite") as classify:
        ...     classify.fit_image(frame, order="BGR").shape
        (28, 28, 1)
        """
        return fitted(image, self.contract.input_shape, self.contract.resize, order, ground)

    def scores(self, images: np.ndarray) -> np.ndarray:
        """The model's dequantised outputs, float32 (n, classes): logits or probabilities, as the contract says.

        The polarity of the images is not checked. Raises the same errors as `__call__`.
        """
        return self._runner.scores(model_input(images, self.contract)[0])

    def warm_up(self, calls: int = 3) -> None:
        """Classify a black image `calls` times, so that memory and caches are ready for the first real image."""
        black = np.zeros(self.contract.input_shape, np.uint8)
        for _ in range(calls):
            self.scores(black)

    def self_test(self) -> SelfTest:
        """Replay the artifact's golden vectors on this device with this engine.

        Raises ArtifactError when it has none.
        """
        if self._golden is None:
            raise ArtifactError("the artifact has no golden vectors; export the model again")
        golden = Golden.from_dict(self._golden, self.contract.input_shape, len(self.contract.labels))
        return SelfTest.of(golden, self.scores(golden.images), f"{self.engine.name} ({self.engine.version})")

    def close(self) -> None:
        """Free the engine's memory. The classifier cannot be used afterwards."""
        self._runner.close()

    def __enter__(self) -> Classifier:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _predictions(self, batch: np.ndarray, start: int) -> list[Prediction]:
        """Predictions for a batch from `model_input`; `start` is the call's start time in nanoseconds."""
        scores = self._runner.scores(batch)
        rows = self._probabilities(scores)
        known = self._known(scores, batch)
        latency = time.perf_counter_ns() - start
        labels = self.contract.labels
        return [
            Prediction(labels[i] if answered else None, i, float(row[i]), row, latency)
            for row, i, answered in zip(rows, map(int, rows.argmax(axis=1)), known)
        ]

    def _probabilities(self, scores: np.ndarray) -> np.ndarray:
        """Scores (n, classes) -> probabilities, calibrated where the manifest has a confidence."""
        if self._confidence is not None:
            return self._confidence.probabilities(scores, self.contract.output)
        return softmax(scores) if self.contract.output == "logits" else scores

    def _known(self, scores: np.ndarray, batch: np.ndarray) -> Iterable[bool]:
        """Whether each answer is known; always, for a classifier that does not abstain."""
        if self._confidence is None or not self._abstain:
            return repeat(True)
        return self._confidence.known(scores, self.contract.output, batch).tolist()

    def _verify(self, path: Path) -> None:
        """Close and raise ArtifactError unless every golden vector passes."""
        try:
            result = self.self_test()
            if not result.passed:
                raise ArtifactError(f"{result.engine}: {result.advice}")
        except ArtifactError as error:
            self.close()
            raise ArtifactError(f"{path}: {error}") from None
