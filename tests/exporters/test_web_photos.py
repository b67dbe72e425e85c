"""Golden photos of the user's own image files: which, what a copy keeps and what not, and that a page agrees."""

import io

import numpy as np
import pytest
from PIL import Image
from support.browser import browser, needs_browser, served
from support.small_model import CONTRACT, small_model
from support.web_models import needs_node, needs_wasm_compiler, photo_test, web_folder
from support.web_page import opened, text

from fmnist_edge import checkpoints
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.exporters.calibration_images import Calibration, as_calibration
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.web.own_photos import LARGEST_SIDE, own_photos
from fmnist_edge.runtime.images import read_image

ORIENTATION, MAKER = 0x0112, 0x010F
SECRET = "the photographer's name"


def saved(path, mode, size=(61, 47), orientation=1, seed=0):
    """An image file of random pixels with metadata."""
    levels = np.random.default_rng(seed).integers(0, 256, (*size[::-1], 3), np.uint8)
    if mode == "I;16":
        picture = Image.fromarray(levels[..., 0].astype(np.uint16) * 257)
    else:
        picture = Image.fromarray(levels).convert(mode)
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = orientation, SECRET
    picture.save(path, exif=exif)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    return {
        "large": saved(folder / "a-secret.jpg", "RGB", (700, 200), orientation=6),
        "palette": saved(folder / "b-secret.png", "P"),
        "same palette": saved(folder / "c-secret.png", "P", seed=1),
        "alpha": saved(folder / "d-secret.png", "LA"),
        "turned": saved(folder / "e-secret.png", "L", orientation=3),
        "16 bits": saved(folder / "f-secret.png", "I;16"),
        "cmyk": saved(folder / "g-secret.jpg", "CMYK"),
        "bits": saved(folder / "h-secret.png", "1", (31, 27)),
    }


class TestCopies:
    def test_files_of_other_kinds_come_first(self, files):
        made = own_photos([*files.values(), files["palette"]], 99)
        modes = [facts["mode"] for _, facts in made]
        assert modes == ["RGB", "P", "LA", "L", "I;16", "CMYK", "1", "P"]
        assert [facts["orientation"] for _, facts in made] == [6, 1, 1, 3, 1, 1, 1, 1]
        assert own_photos(list(files.values()), 3) == made[:3]

    def test_a_small_copy_has_the_pixels_of_its_file(self, files):
        for name in ("palette", "alpha", "turned", "16 bits", "cmyk", "bits"):
            ((content, _),) = own_photos([files[name]], 1)
            for shape in ((28, 28, 1), (19, 30, 3)):
                expected = read_image(files[name], shape)
                assert np.array_equal(read_image(io.BytesIO(content), shape), expected), name

    def test_what_a_copy_keeps(self, files):
        expected = {"palette": "P", "alpha": "LA", "turned": "L", "16 bits": "L", "cmyk": "RGB", "large": "RGB"}
        for name, mode in expected.items():
            ((content, facts),) = own_photos([files[name]], 1)
            with Image.open(io.BytesIO(content)) as image:
                assert (image.format, image.mode) == ("PNG", mode)
                assert image.getexif().get(ORIENTATION, 1) == facts["orientation"]
        ((content, facts),) = own_photos([files["large"]], 1)
        with Image.open(io.BytesIO(content)) as image:
            assert image.size == (LARGEST_SIDE, 91) and (facts["width"], facts["height"]) == (700, 200)

    def test_no_other_metadata_and_no_name(self, files):
        for content, facts in own_photos(list(files.values()), 99):
            assert SECRET.encode() not in content and "secret" not in str(facts)

    def test_transparent_files_are_left_out(self, tmp_path):
        picture = Image.new("RGBA", (9, 9), (1, 2, 3, 200))
        picture.save(tmp_path / "rgba.png")
        Image.new("P", (9, 9)).save(tmp_path / "p.png", transparency=0)
        Image.new("RGB", (9, 9)).save(tmp_path / "rgb.png", transparency=(0, 0, 0))
        assert own_photos(sorted(tmp_path.iterdir()), 9) == []


@pytest.mark.filterwarnings("ignore::fmnist_edge.runtime.images.AspectWarning")
def test_golden_images_are_traced_to_their_files(files, tmp_path):
    shape = (28, 28, 1)
    for number, file in enumerate(files.values()):
        folder = tmp_path / "train" / ("f" if number % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / file.name).write_bytes(file.read_bytes())
    contract = CONTRACT.__class__(shape, "logits", tuple("abcdef"))
    found = as_calibration(tmp_path / "train", contract)
    assert len(found.files) == len(files)
    for image, file in zip(found.images, found.files, strict=True):
        assert np.array_equal(image, read_image(file, shape))
    assert found.files_of(found.images[[5, 0]]) == [found.files[5], found.files[0]]
    assert found.files_of(255 - found.images[:1]) == []
    assert Calibration(found.images, "an array").files_of(found.images) == []


@needs_wasm_compiler()
@needs_node()
def test_they_hold_in_node(files, tmp_path):
    made = web_folder("compact_cnn", tmp_path, golden_files=list(files.values()))
    photos = made.manifest.document["photos"]["images"]
    assert [photo["made_from"] == "a golden vector's image" for photo in photos] == [False] * 4 + [True]
    for build in ("simd", "plain"):
        result = photo_test(made, build)
        assert result["passed"] and len(result["photos"]) == 5


@pytest.mark.slow
@needs_wasm_compiler()
@needs_browser()
def test_they_hold_in_a_page(files, tmp_path):
    """Every kind of file: the browser's decoder gives the pixels that Pillow gives."""
    given = list(files.values())
    with browser(tmp_path / "profile") as chromium:
        for start in (0, 4):
            made = web_folder("compact_cnn", tmp_path / str(start), golden_files=given[start : start + 4])
            with served(made.path) as url:
                page = opened(chromium, url)
                assert text(page, "proof-text") == "Answers as at export (16 golden vectors, 5 photos)"


@pytest.mark.slow
@needs_wasm_compiler()
def test_an_export_takes_them_from_a_folder_of_images(tmp_path):
    folder = tmp_path / "train"
    folder.mkdir()
    for number in range(20):
        saved(folder / f"{number:02}.png", ("L", "P", "RGB")[number % 3], (12 + number, 12), seed=number)
    small_model().save(tmp_path / "small.keras")
    checkpoint = checkpoints.load(tmp_path / "small.keras")
    made = export(checkpoint, get_precision("web", "int8_only"), CONTRACT, tmp_path / "out", calibration=str(folder))
    photos = made.manifest.document["photos"]["images"]
    assert {photo["made_from"]["mode"] for photo in photos[:4]} == {"L", "P", "RGB"}
    assert photos[4]["made_from"] == "a golden vector's image"
