"""Photos as they come: sixteen bits, turned by EXIF, damaged."""

import zlib

import numpy as np
import pytest

from fmnist_edge.errors import FileError
from fmnist_edge.runtime.images import read_image


@pytest.mark.parametrize("shape", [(2, 3, 1), (2, 3, 3)])
def test_sixteen_bit_png(tmp_path, shape):
    from PIL import Image

    grey = np.array([[0, 20, 78], [128, 200, 255]], np.uint8)
    Image.fromarray(grey).save(tmp_path / "8.png")
    Image.fromarray(grey.astype(np.uint16) * 257).save(tmp_path / "16.png")
    narrow, wide = (read_image(tmp_path / name, shape) for name in ("8.png", "16.png"))
    assert np.array_equal(wide, narrow) and np.array_equal(wide[..., 0], grey)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_exif_orientation(tmp_path, orientation, turns):
    """EXIF orientations; `turns` are counter-clockwise quarter turns."""
    from PIL import Image

    stored = np.zeros((32, 32), np.uint8)
    stored[:16, :8] = 200
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(stored).save(tmp_path / "photo.jpg", exif=exif, quality=95)
    found = read_image(tmp_path / "photo.jpg", (32, 32, 1))[..., 0]
    assert np.abs(found.astype(int) - np.rot90(stored, turns)).mean() < 5


def test_damaged_exif(tmp_path):
    """The checksum is right, so only Pillow's EXIF reader notices."""
    from PIL import Image

    Image.new("L", (28, 28)).save(tmp_path / "image.png")
    content = (tmp_path / "image.png").read_bytes()
    chunk = b"eXIf" + b"II*\0"
    chunk = len(chunk[4:]).to_bytes(4, "big") + chunk + zlib.crc32(chunk).to_bytes(4, "big")
    (tmp_path / "image.png").write_bytes(content[:33] + chunk + content[33:])
    with pytest.raises(FileError, match="not a readable PNG or JPEG"):
        read_image(tmp_path / "image.png", (28, 28, 1))
