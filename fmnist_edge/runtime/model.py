"""Model: arrays in, named arrays out, for any task, engine and precision."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine import Engine
from fmnist_edge.runtime.golden import Golden, SelfTest
from fmnist_edge.runtime.opening import Opened, open_model
from fmnist_edge.runtime.shared_runner import SharedRunner
from fmnist_edge.runtime.tasks import TENSOR
from fmnist_edge.runtime.tensor_golden import TensorGolden
from fmnist_edge.runtime.tensor_runner import TensorRunner, named_inputs
from fmnist_edge.runtime.tensors import NamedTensor

if TYPE_CHECKING:
    from fmnist_edge.runtime.given import ModelSource

__all__ = ["Model"]

Inputs = Union[np.ndarray, Mapping[str, np.ndarray]]


class Model:
    """A model file that is loaded and ready to run. Create one with `Model.load`.

    It takes what the Keras model takes and gives what that gives: float32 arrays, whatever the file's own types are.
    Threads may share one, and a forked child may use its parent's, as with a `Classifier`.

    >>> with Model.load("exported/compact_cnn/int8.tflite") as model:
    ...     model.inputs[0].shape, model.outputs[0].name
    ...     model(np.zeros((2, 28, 28, 1), np.float32))["scores"].shape
    ((28, 28, 1), 'scores')
    (2, 10)
    """

    def __init__(
        self,
        engine: Engine,
        contract: Contract,
        *,
        golden: object = None,
        reload: Callable[[], Engine] | None = None,
    ) -> None:
        """`golden`: the manifest's section "golden". `reload`: creates the engine that a forked child uses."""
        self.contract = contract
        runner = TensorRunner(engine, contract)
        self.inputs: tuple[NamedTensor, ...] = runner.inputs
        self.outputs: tuple[NamedTensor, ...] = runner.outputs
        self._runner = SharedRunner(runner, reload, "model")
        self._golden = golden

    @property
    def engine(self) -> Engine:
        """The engine that runs the file."""
        return self._runner.engine

    @classmethod
    def load(
        cls,
        model: ModelSource,
        *,
        threads: int | None = None,
        engine: str | None = None,
        contract: Contract | None = None,
        verify: bool = False,
        try_first: bool = False,
        manifest: ModelSource | None = None,
    ) -> Model:
        """Load an exported file. Arguments and errors are those of `Classifier.load`."""

        def make(found: Opened) -> Model:
            made = cls(found.engine, found.source.contract, golden=found.source.golden, reload=found.reload)
            if verify:
                made._verify(found.path)
            return made

        return open_model(
            model, make, threads=threads, engine=engine, contract=contract, try_first=try_first, manifest=manifest
        )

    def __call__(self, inputs: Inputs) -> dict[str, np.ndarray]:
        """Run one example or a batch.

        Args:
            inputs: {name: array}, or the array alone for a model with one input. Each is (*shape) or (n, *shape), see
                `inputs`. Floats are the model's own numbers, already preprocessed; uint8 pixels, of a model that takes
                images, are preprocessed as its contract says.

        Returns float32 (*shape) or (n, *shape) for each of `outputs`, by its name.

        Raises InputError for inputs that do not fit and for a closed model; ArtifactError when the engine fails or
        returns NaN or infinity.
        """
        arrays, one = named_inputs(inputs, self.contract)
        found = self._runner.call(lambda runner: runner.run(arrays))
        return {tensor.name: array[0] if one else array for tensor, array in zip(self.outputs, found)}

    def prepare(self, inputs: Inputs) -> list[np.ndarray]:
        """A batch as the engine itself takes it: contiguous arrays of the file's types, in the file's order."""
        arrays, _ = named_inputs(inputs, self.contract)
        return self._runner.call(lambda runner: [array.copy() for array in runner.prepare(arrays)])

    @property
    def golden_inputs(self) -> Mapping[str, np.ndarray] | None:
        """The examples of a tensor model's golden vectors, name -> float32 (n, *shape); None without."""
        if self._golden is None or self.contract.task != TENSOR:
            return None
        return TensorGolden.from_dict(self._golden, self.contract).inputs

    def self_test(self) -> SelfTest:
        """Replay the artifact's golden vectors on this device with this engine.

        Raises ArtifactError when it has none.
        """
        if self._golden is None:
            raise ArtifactError("the artifact has no golden vectors; export the model again")
        engine = f"{self.engine.name} ({self.engine.version})"
        if self.contract.task == TENSOR:
            vectors = TensorGolden.from_dict(self._golden, self.contract)
            return vectors.compare(self(vectors.inputs), engine)
        golden = Golden.from_dict(self._golden, self.contract.input_shape, self.contract.score_count)
        prepared = self.contract.preprocessing.apply(golden.images, self.contract.input_shape)
        if self.contract.layout != "NHWC":
            prepared = np.ascontiguousarray(np.moveaxis(prepared, -1, -3))
        return SelfTest.of(golden, self(prepared)["scores"], engine, self.contract)

    def _verify(self, path: Path) -> None:
        """Raises ArtifactError unless every golden vector passes."""
        try:
            result = self.self_test()
        except ArtifactError as error:
            raise ArtifactError(f"{path}: {error}") from None
        result.require(path)

    def close(self) -> None:
        """Free the engine's memory. The model cannot be used afterwards."""
        self._runner.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
