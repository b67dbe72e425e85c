"""MNN: what the library prints."""

from support.engines import IMAGES, refused
from support.installed import needs
from support.linear import with_manifest

from fmnist_edge.runtime import Classifier


@needs("MNN")
class TestMNN:
    def test_library_output_is_captured(self, linear_models, tmp_path, capfd):
        with Classifier.load(linear_models["float32.mnn"]) as classifier:
            classifier(IMAGES)
        refused(with_manifest(tmp_path / "x.mnn", b"x" * 300), "mnn 3", "refuses the file")
        assert capfd.readouterr() == ("", "")
