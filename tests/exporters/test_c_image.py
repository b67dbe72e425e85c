"""Images of any size in C: the same bits as the runtime's own functions, which are Pillow's."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT

from fmnist_edge.errors import InputError
from fmnist_edge.exporters.c.image import image_header, image_source, takes_any_size
from fmnist_edge.runtime import Contract
from fmnist_edge.runtime.images import FITS, RESIZES, fitted
from fmnist_edge.runtime.polarity import Polarity

pytestmark = [needs_c_compiler(), pytest.mark.filterwarnings("ignore::fmnist_edge.runtime.images.AspectWarning")]
GREY, RGB, RGBA, BGR, BGRA = 1, 3, 4, -3, -4
WRONG_SIZE, UNKNOWN_LAYOUT, TRANSPARENT = 1, 2, 3
FILLS = {1: 77, 3: (10, 200, 30)}
SIDES = st.integers(1, 90)


def contract_of(shape, resize="bilinear", fit="stretch", polarity=None):
    fill = FILLS[shape[2]] if fit == "letterbox" else 0
    return Contract(shape, "logits", ("a", "b"), resize=resize, fit=fit, fill=fill, polarity=polarity)


class Library:
    """`net_image.c` of a contract, compiled."""

    def __init__(self, contract, folder, *options, compiler=None):
        self.contract, self.shape = contract, contract.input_shape
        height, width, channels = self.shape
        sizes = f"#define NET_HEIGHT {height}\n#define NET_WIDTH {width}\n#define NET_CHANNELS {channels}\n"
        (folder / "net.h").write_text(f"#include <stdint.h>\n{sizes}{image_header('net', contract)}")
        (folder / "net_image.c").write_text(image_source("net", contract))
        command = [compiler or c_compiler(), *STRICT, *(options or ("-O1",)), "-fPIC"]
        subprocess.run([*command, "-c", "net_image.c", "-o", "net.o"], cwd=folder, check=True)
        # Linked without `options`: -ffast-math there changes how the whole process computes.
        subprocess.run([c_compiler(), "-shared", "net.o", "-o", "net.so"], cwd=folder, check=True)
        self.c = ctypes.CDLL(str(folder / "net.so"))

    def fitted(self, image, layout, ground=-1):
        """(the pixels, the return value)."""
        height, width = image.shape[:2]
        image, pixels = np.ascontiguousarray(image), np.full(self.shape, 99, np.uint8)
        workspace = ctypes.create_string_buffer(self.c.net_image_bytes(width, height))
        failed = self.c.net_image(
            ctypes.c_void_p(image.ctypes.data), width, height, layout, ground, ctypes.c_void_p(pixels.ctypes.data),
            workspace,
        )  # fmt: skip
        return pixels, failed


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A function: the same arguments as `contract_of` -> a Library, each compiled once."""
    made = {}

    def get(*arguments):
        if arguments not in made:
            made[arguments] = Library(contract_of(*arguments), tmp_path_factory.mktemp("image"))
        return made[arguments]

    return get


def noise(seed, *shape):
    """Pixels of all levels, many of them black or white, as filters that overshoot need."""
    levels = np.random.default_rng(seed).integers(-128, 384, shape)
    return levels.clip(0, 255).astype(np.uint8)


def expected(image, contract, order="RGB", ground=None):
    return fitted(image, contract.image_form, order, ground)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("fit", FITS)
@settings(max_examples=20, deadline=None)
@given(SIDES, SIDES, st.sampled_from([(28, 28, 1), (13, 29, 3)]), st.integers(0, 99))
@example(28, 28, (28, 28, 1), 0)
@example(29, 13, (13, 29, 3), 0)
@example(1, 1, (13, 29, 3), 0)
@example(1, 900, (28, 28, 1), 0)
@example(700, 2, (28, 28, 1), 1)
@example(56, 84, (28, 28, 1), 1)
@example(1, 3, (28, 28, 1), 1)
def test_every_filter_and_fit(library, resize, fit, width, height, shape, seed):
    made = library(shape, resize, fit)
    image = noise(seed, height, width, 3)
    found, failed = made.fitted(image, RGB)
    assert not failed and np.array_equal(found, expected(image, made.contract))


@pytest.mark.slow
@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("resize", RESIZES)
def test_photos(library, resize, fit):
    """Sizes as cameras have them, for a model of photos."""
    made = library((96, 128, 3), resize, fit)
    for number, (height, width) in enumerate([(480, 640), (601, 333), (45, 700)]):
        image = noise(number, height, width, 3)
        found, failed = made.fitted(image, RGB)
        assert not failed and np.array_equal(found, expected(image, made.contract))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 99), st.sampled_from([(28, 28, 1), (13, 29, 3)]), st.tuples(*[st.integers(0, 255)] * 3))
def test_transparent_pixels_lie_on_the_ground(library, seed, shape, ground):
    made = library(shape)
    image = noise(seed, 31, 17, 4)
    number = ground[0] << 16 | ground[1] << 8 | ground[2]
    assert np.array_equal(made.fitted(image, RGBA, number)[0], expected(image, made.contract, ground=ground))
    bgra = image[..., [2, 1, 0, 3]]
    assert np.array_equal(made.fitted(bgra, BGRA, number)[0], expected(image, made.contract, ground=ground))


@pytest.mark.parametrize("shape", [(28, 28, 1), (13, 29, 3)])
def test_layouts(library, shape):
    made, image, grey = library(shape), noise(3, 40, 50, 3), noise(4, 40, 50)
    assert np.array_equal(made.fitted(image, BGR)[0], expected(image, made.contract, order="BGR"))
    assert np.array_equal(made.fitted(grey, GREY)[0], expected(grey, made.contract))
    opaque = np.dstack([image, np.full((40, 50), 255, np.uint8)])
    assert np.array_equal(made.fitted(opaque, RGBA)[0], expected(image, made.contract))


def test_what_is_refused(library):
    made = library((28, 28, 1))
    image = noise(3, 4, 5, 4)
    with pytest.raises(InputError, match="transparent"):
        expected(image, made.contract)
    assert made.fitted(image, RGBA)[1] == TRANSPARENT
    assert made.fitted(image, 2)[1] == UNKNOWN_LAYOUT
    for width, height in ((0, 5), (5, 0), (-1, 5), (65_536, 1), (1, 65_536), (65_535, 65_535), (8192, 4097)):
        assert made.c.net_image_bytes(width, height) == 0
        assert made.c.net_image_begin(width, height, RGB, -1, None, ctypes.create_string_buffer(1000)) == WRONG_SIZE
    assert 0 < made.c.net_image_bytes(8192, 4096) < 1 << 20


def test_a_camera_frame_needs_little_memory(library):
    assert library((28, 28, 1)).c.net_image_bytes(640, 480) < 12_000


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(28, 28, 1), (13, 29, 3)]), st.sampled_from([None, "light-on-dark", "dark-on-light"]),
       st.integers(0, 99), st.integers(100, 156))  # fmt: skip
def test_polarity(library, shape, polarity, seed, level):
    made = library(shape, "bilinear", "stretch", polarity)
    image = np.random.default_rng(seed).normal(level, 20, shape).clip(0, 255).astype(np.uint8)
    said = Polarity(made.contract)
    inverted = image.copy()
    made.c.net_invert(ctypes.c_void_p(inverted.ctypes.data))
    assert np.array_equal(inverted, 255 - image)
    for item in (image, inverted, np.full(shape, 127, np.uint8), np.full(shape, 128, np.uint8)):
        looks = made.c.net_looks_inverted(ctypes.c_void_p(item.ctypes.data))
        assert bool(looks) is bool(said.looks_inverted(item[None])[0])


@pytest.mark.slow
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("options", ["-O3 -march=native", "-O3 -march=native -ffast-math"])
def test_options_change_no_bit(tmp_path, compiler, options):
    if not shutil.which(compiler):
        pytest.skip(f"no {compiler}")
    for resize in RESIZES:
        for fit in FITS:
            folder = tmp_path / f"{resize}-{fit}"
            folder.mkdir()
            made = Library(contract_of((28, 28, 1), resize, fit), folder, *options.split(), compiler=compiler)
            for seed in range(150):
                height, width = np.random.default_rng(seed).integers(1, 200, 2)
                image = noise(seed, height, width)
                assert np.array_equal(made.fitted(image, GREY)[0], expected(image, made.contract)), (width, height)


def test_sanitizers_find_nothing(tmp_path):
    program = tmp_path / "main.c"
    contract = contract_of((13, 29, 3), "lanczos", "letterbox")
    Library(contract, tmp_path)
    program.write_text("""
#include "net.h"
#include <stdlib.h>
int main(void) {
  uint8_t pixels[13 * 29 * 3];
  for (int32_t width = 1; width < 120; width += 7)
    for (int32_t height = 1; height < 120; height += 5) {
      uint8_t *image = calloc((size_t)(width * height), 4), *workspace = malloc((size_t)net_image_bytes(width, height));
      if (net_image(image, width, height, NET_RGBA, 0x102030, pixels, workspace)) return 1;
      free(image);
      free(workspace);
    }
  return 0;
}
""")
    checks = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    command = [c_compiler(), *STRICT, *checks, program, tmp_path / "net_image.c", "-o", tmp_path / "main"]
    subprocess.run(command, check=True)
    ended = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]


def test_a_model_of_two_channels_has_no_such_file():
    assert not takes_any_size(Contract((4, 4, 2), "logits", ("a", "b")))
    assert image_header("net", Contract((4, 4, 2), "logits", ("a", "b"))) == ""
    assert takes_any_size(Contract((4, 4, 1), "logits", ("a", "b")))


def test_it_compiles_as_cpp(tmp_path):
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler")
    Library(contract_of((13, 29, 3), "lanczos", "crop"), tmp_path)
    command = [compiler, "-x", "c++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-c", "net_image.c", "-o", "x.o"]
    subprocess.run(command, cwd=tmp_path, check=True)
