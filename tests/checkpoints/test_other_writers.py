"""Files as TensorFlow 1.15, 2.4, Keras 3.0 and tf-keras wrote them, held against what their own framework answered."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from support.keras_models import answers, distance

from fmnist_edge import checkpoints
from fmnist_edge.errors import CheckpointError

FILES = Path(__file__).parent / "files"
ROUNDED = {"mixed16": 5e-3}  # the writer computed in float16
REFUSED = {
    "tf1.15/plain_w.h5": "weights without a model config; build the model, load the weights into it",
    "keras3.0/plain_w.weights.h5": "weights without a model config; build the model, load the weights into it",
    "keras3.0/normalization_sm": r"a graph and no Keras config, as model.export\(\) and tf.saved_model.save\(\) write",
    "keras3.0/nested_partly.h5": "'image', which it lists, is missing: its writer stopped in the middle",
    "keras3.0/ops_model.h5": "holds no weights: its writer stopped in the middle",
    "keras3.0-transfer/seqfn.h5": "holds no weights: its writer stopped in the middle",
}


def files():
    found = [path for path in FILES.glob("*/*") if path.suffix in (".h5", ".keras") or path.is_dir()]
    return sorted(str(path.relative_to(FILES)) for path in found)


def kind_of(name: str) -> str:
    stem = Path(name).name
    for ending in (".weights.h5", ".h5", ".keras", "_sm", "_w"):
        stem = stem.removesuffix(ending)
    return stem


@pytest.mark.parametrize("name", [name for name in files() if name not in REFUSED])
def test_a_file_of_another_time_answers_as_its_writer_did(name):
    folder = FILES / Path(name).parent
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = checkpoints.load(FILES / name)
    images = np.load(folder / "x.npy").astype("float32") / 255
    expected = np.load(folder / f"{kind_of(name)}.npy").astype("float64")
    assert distance(answers(loaded.model, images), expected) <= ROUNDED.get(kind_of(name), 1e-5)


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_that_holds_no_model_says_so(name):
    with pytest.raises(CheckpointError, match=REFUSED[name]):
        checkpoints.load(FILES / name)
