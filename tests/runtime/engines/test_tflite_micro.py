"""TensorFlow Lite Micro: its arena and its refusals."""

import os

import numpy as np
import pytest
from support.engines import IMAGES, refused
from support.installed import MICRO
from support.linear import LINEAR

from fmnist_edge.errors import ArtifactError
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engines.tflite_micro import TFLiteMicroEngine


@pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")
class TestTFLiteMicro:
    def test_the_arena_it_reports_is_the_arena_it_needs(self, linear_models):
        path = linear_models["int8.tflite"]
        with Classifier.load(path, engine="tflite-micro") as classifier:
            expected = classifier.scores(IMAGES)
            arena = classifier.engine.arena
        assert arena["total"] == arena["head"] + arena["tail"] and arena["head"] >= 784
        with Classifier(TFLiteMicroEngine(str(path), arena_size=arena["total"]), LINEAR) as classifier:
            assert np.array_equal(classifier.scores(IMAGES), expected)
        with pytest.raises(ArtifactError, match="Failed to resize buffer"):
            TFLiteMicroEngine(str(path), arena_size=arena["total"] - 512)

    def test_a_refusal_says_the_librarys_reason_and_leaves_stderr_alone(self, linear_models, capfd):
        refused(linear_models["dynamic_int8.tflite"], "filter type: INT8 not supported", engine="tflite-micro")
        assert capfd.readouterr().err == ""
        os.write(2, b"still here")
        assert capfd.readouterr().err == "still here"
