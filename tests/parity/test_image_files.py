"""`check` from image files: whether a web folder's own resize and this Pillow give the pixels of the export."""

import json

import numpy as np
import pytest
from PIL import Image
from support.web_models import needs_node, needs_wasm_compiler

from fmnist_edge.artifact import Artifact
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError
from fmnist_edge.parity import image_files
from fmnist_edge.parity.image_files import compare_files
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.manifest import Manifest, manifest_path

pytestmark = [needs_node(), needs_wasm_compiler()]


@pytest.fixture
def files(tmp_path):
    """A JPEG, a PNG, and a PNG with transparent pixels."""
    levels = np.random.default_rng(1).integers(0, 256, (70, 60, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "a.jpg")
    Image.fromarray(levels[..., 0]).save(tmp_path / "b.png")
    Image.new("RGBA", (30, 30), (9, 9, 9, 9)).save(tmp_path / "c.png")
    return [tmp_path / name for name in ("a.jpg", "b.png", "c.png")]


def compared(artifact, files=()):
    with Classifier.load(artifact.path) as classifier:
        return compare_files(artifact, classifier, files)


def test_the_resize_gives_pythons_pixels(compact_web, files):
    found = compared(compact_web, files)
    assert (found.files, found.left_out) == (7, 1)
    assert (found.resize_differs, found.scores_differ, found.classes_differ, found.export_differs) == (0, 0, 0, 0)
    assert found.line == (
        "from 7 image files, its resize gives Python's pixels and scores in all; 1 left out, too large or transparent"
    )


def test_another_resize_is_counted(compact_web, files, monkeypatch):
    """As if Python had another filter: the module's pixels differ, and so do the export's."""
    real = image_files.read_image
    monkeypatch.setattr(image_files, "read_image", lambda path, shape, *_: real(path, shape, "nearest"))
    found = compared(compact_web, files)
    assert found.resize_differs == 6 and found.export_differs == 4  # all but the photo that is not resized
    assert found.largest_difference > 50 and found.scores_differ >= found.classes_differ
    assert "other pixels in 6 (by up to" in found.line


def test_another_decoder_is_told_from_another_resize(compact_web, altered_web):
    document = json.loads(manifest_path(altered_web).read_text())
    document["photos"]["images"][1]["pixels_sha256"] = "0" * 64
    found = compared(Artifact(altered_web, Manifest.from_dict(document)))
    assert (found.resize_differs, found.export_differs) == (0, 1)


@pytest.mark.parametrize("photos", [[], {"images": 3}, {"images": [{"file": "../x.png", "pixels_sha256": ""}]}])
def test_damaged_photos_are_named(compact_web, photos):
    document = {**compact_web.manifest.document, "photos": photos or [1]}
    with pytest.raises(ArtifactError, match="photos are damaged; export it again"):
        image_files.photos_of(Artifact(compact_web.path, Manifest.from_dict(document)))


@pytest.mark.slow
def test_check_says_so(compact_web, capsys, tmp_path):
    report = tmp_path / "parity.json"
    assert main(["check", str(compact_web.path), "--limit", "20", "--report", str(report)]) == 0
    assert "from 5 image files, its resize gives Python's pixels and scores in all" in capsys.readouterr().out
    assert json.loads(report.read_text())["rows"][0]["image_files"]["files"] == 5
