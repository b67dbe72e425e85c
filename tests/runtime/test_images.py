"""Photos as they come: sixteen bits, turned by EXIF, damaged; of other sizes and shapes than the model's input."""

import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from fmnist_edge.errors import FileError
from fmnist_edge.runtime import AspectWarning
from fmnist_edge.runtime.images import read_image, resized


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3, 3)])
def test_sixteen_bit_png(tmp_path, shape):
    grey = np.array([[0, 20, 78], [128, 200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    narrow, wide = (read_image(tmp_path / name, shape) for name in ("8.png", "16.png"))
    assert np.array_equal(wide, narrow) and np.array_equal(wide[..., 0], grey)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    """EXIF orientations; `turns` are counter-clockwise quarter turns."""
    stored = np.zeros((32, 32), np.uint8)
    stored[:16, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    found = read_image(tmp_path / "photo.jpg", (32, 32, 1))[..., 0]
    assert np.abs(found.astype(int) - np.rot90(stored, turns)).mean() < 5


def test_damaged_exif(tmp_path):
    """The checksum is right, so only Pillow's EXIF reader notices."""
    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    chunk = b"eXIf" + b"II*\0"
    chunk = len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "image.png").write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(FileError, match="not a readable PNG or JPEG"):
        read_image(tmp_path / "image.png", (28, 28, 1))


sides = st.integers(1, 60)
filters = st.sampled_from(["nearest", "box", "bilinear", "bicubic", "lanczos"])


def noise(width: int, height: int, channels: int) -> Image.Image:
    pixels = np.random.default_rng(width * 61 + height).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels if channels == 3 else pixels[..., 0])


class TestFit:
    """Held against Pillow's ImageOps.fit and ImageOps.pad, which is ImageOps.contain between bars."""

    @given(sides, sides, st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), filters)
    def test_crop_and_letterbox_are_pillows(self, width, height, columns, rows, channels, resize):
        image, by = noise(width, height, channels), Image.Resampling[resize.upper()]
        cropped = ImageOps.fit(image, (columns, rows), by)
        shape = (rows, columns, channels)
        assert np.array_equal(resized(image, shape, resize, "crop"), np.asarray(cropped).reshape(shape))
        fill = 7 if channels == 1 else (1, 2, 3)
        found = resized(image, shape, resize, "letterbox", fill)
        inner = ImageOps.contain(image, (columns, rows), by)
        if min(inner.size):
            padded = ImageOps.pad(image, (columns, rows), by, color=fill)
            assert np.array_equal(found, np.asarray(padded).reshape(shape))

    def test_a_very_long_image_keeps_a_line(self):
        found = resized(Image.new("L", (1000, 1), 200), (8, 8, 1), "bilinear", "letterbox", 9)[..., 0]
        assert np.array_equal(np.unique(found), [9, 200]) and (found == 200).sum() == 8

    def test_a_grey_level_fills_rgb(self):
        found = resized(Image.new("RGB", (8, 2), (9, 9, 9)), (8, 8, 3), "box", "letterbox", 114)
        assert (found[0] == 114).all() and (found[3:5] == 9).all()

    @pytest.mark.parametrize(("size", "said"), [((30, 20), 0), ((31, 20), 1), ((20, 31), 1), ((20, 30), 0)])
    def test_a_stretched_image_is_said_once(self, size, said):
        with warnings.catch_warnings(record=True) as noticed:
            warnings.simplefilter("default")
            for level in range(3):  # other images, the same place
                resized(Image.new("L", size, level), (20, 20, 1))
        assert [item.category for item in noticed] == [AspectWarning] * said
        assert not said or ("--fit crop or --fit letterbox" in str(noticed[0].message))
        for fit in ("crop", "letterbox"):
            resized(Image.new("L", size), (20, 20, 1), "box", fit)  # warnings are errors in tests

    def test_the_warning_names_the_callers_line(self, tmp_path):
        Image.new("L", (20, 80)).save(tmp_path / "tall.png")
        with pytest.warns(AspectWarning) as found:
            read_image(tmp_path / "tall.png", (28, 28, 1))
        assert found[0].filename == __file__
