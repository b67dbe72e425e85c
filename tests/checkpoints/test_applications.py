"""keras.applications: every family at its smallest input, from tf-keras and Keras 3, answers as before it was saved."""

import warnings

import numpy as np
import pytest
from support.keras_models import answers, distance, keras_2

from fmnist_edge import checkpoints

# The smallest of each family and the least input it takes.
FAMILIES = {
    "ConvNeXtTiny": 32, "DenseNet121": 32, "EfficientNetB0": 32, "EfficientNetV2B0": 32, "InceptionResNetV2": 75,
    "InceptionV3": 75, "MobileNet": 32, "MobileNetV2": 32, "MobileNetV3Large": 32, "MobileNetV3Small": 32,
    "NASNetMobile": 32, "RegNetX002": 32, "RegNetY002": 32, "ResNet50": 32, "ResNet50V2": 32, "ResNetRS50": 32,
    "VGG16": 32, "Xception": 71,
}  # fmt: skip
QUICK = {("tf_keras", "MobileNetV3Small"), ("keras", "MobileNetV2")}


def writers():
    import keras

    return {"tf_keras": keras_2(), "keras": keras}


def cases():
    for writer, k in writers().items():
        for family in FAMILIES:
            if hasattr(k.applications, family):
                marks = [pytest.mark.slow] if (writer, family) in QUICK else [pytest.mark.slow, pytest.mark.long]
                yield pytest.param(writer, family, marks=marks, id=f"{writer}-{family}")


@pytest.mark.parametrize("writer, family", list(cases()))
def test_an_application_loads(writer, family, tmp_path):
    k, size = writers()[writer], FAMILIES[family]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        k.backend.clear_session()
        model = getattr(k.applications, family)(input_shape=(size, size, 3), weights=None, classes=7)
        images = np.random.default_rng(0).uniform(0, 255, (2, size, size, 3)).astype("float32")
        expected = answers(model, images)
        for form in (".h5", ".keras"):
            path = tmp_path / f"model{form}"
            model.save(path)
            assert distance(answers(checkpoints.load(path).model, images), expected) <= 1e-5, form
            path.unlink()
