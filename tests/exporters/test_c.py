"""C sources: their bits, for every back end, compiler and op; their text; and the memory plan."""

import ctypes
import hashlib
import re
import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT, TARGETS, compiled, generated, numpy_answers, runs_here
from support.tflite_models import SHAPE, converted, images

from fmnist_edge.data import fashion_mnist
from fmnist_edge.exporters.c.binary import LOW_BITS, formula_for
from fmnist_edge.exporters.c.files import KERNELS
from fmnist_edge.exporters.c.graph import pair_function, read_graph
from fmnist_edge.exporters.c.linear import grouped, pack, tile_for
from fmnist_edge.exporters.c.make import c_model
from fmnist_edge.exporters.c.memory import plan
from fmnist_edge.exporters.c.source import c_name, long_text
from fmnist_edge.exporters.c.tables import with_tables
from fmnist_edge.runtime import Contract, Preprocessing
from fmnist_edge.runtime.embedded import contract_text
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.engines.numpy.fixed_point import Multiplier, multiply, multiply_once
from fmnist_edge.runtime.flatbuffer import RefusedError
from fmnist_edge.runtime.manifest import Manifest

SHIPPED = sorted((ROOT / "exported").glob("*/int8.tflite"))
SOME = [path for path in SHIPPED if path.parent.name in ("compact_cnn", "tiny_resnet", "tiny_googlenet")]
OPS = ("windows", "branches", "activations")
CONTRACT = Contract(SHAPE, "logits", tuple(f"class {number}" for number in range(7)), Preprocessing(6 / 255, 3.0))
HOSTILE = ('a "quoted" \\ label', "what??/", "*/ int x; /*", "@name@ %s \\0 \\n", "é7", "'", "#define x ??=")
AARCH64 = "aarch64-linux-gnu-gcc"
CORES = {"NEON": ("cortex-a53", "-march=armv8-a"), "NEON with dot products": ("cortex-a76", "-march=armv8.2-a+dotprod")}
needs_aarch64 = pytest.mark.skipif(
    not (shutil.which(AARCH64) and shutil.which("qemu-aarch64")),
    reason=f"no {AARCH64} or qemu-aarch64; run: apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
)


@pytest.fixture(scope="module")
def op_models(tmp_path_factory):
    """Model of many ops -> (its .tflite file, its folder of C, the CModel)."""
    found = {}
    for name in OPS:
        folder = tmp_path_factory.mktemp(name)
        (folder / "net.tflite").write_bytes(converted(name, "int8_only"))
        pixels = np.random.default_rng(3).integers(0, 256, (3, *SHAPE), np.uint8)
        model = generated((folder / "net.tflite").read_bytes(), folder, CONTRACT, pixels)
        found[name] = folder / "net.tflite", folder, model
    return found


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """The same of a model with a larger image."""
    folder = tmp_path_factory.mktemp("photos")
    path = folder / "net.tflite"
    path.write_bytes(converted("photos", "int8_only"))
    contract = replace(CONTRACT, input_shape=(40, 40, 3))
    pixels = np.random.default_rng(3).integers(0, 256, (3, 40, 40, 3), np.uint8)
    return path, folder, generated(path.read_bytes(), folder, contract, pixels)


@pytest.fixture(scope="module")
def compact(tmp_path_factory):
    """compact_cnn: (its .tflite file, its folder of C, the CModel)."""
    folder = tmp_path_factory.mktemp("compact")
    path = ROOT / "exported/compact_cnn/int8.tflite"
    contract = Contract((28, 28, 1), "logits", (*HOSTILE, "h", "i", "j"))
    model = generated(path.read_bytes(), folder, contract, fashion_mnist.load("test").images[:2])
    return path, folder, model


def quantized(path, batch):
    return ENGINES["numpy"].load(path).input.quantize(batch)


class TestBits:
    @needs_c_compiler()
    @pytest.mark.parametrize("target", TARGETS)
    @pytest.mark.parametrize("name", OPS)
    def test_every_op_in_every_back_end(self, op_models, name, target):
        flags, needed = TARGETS[target]
        if not runs_here(needed):
            pytest.skip(f"this CPU has no {target}")
        path, folder, model = op_models[name]
        batch = quantized(path, images(24))
        found = compiled(model, folder, "-O1", *flags.split())(batch)
        assert np.array_equal(found, numpy_answers(path, batch))
        assert len(np.unique(found)) > 20

    @needs_c_compiler()
    @pytest.mark.parametrize("target", TARGETS)
    def test_a_larger_image_at_the_highest_level_without_a_warning(self, photos, target):
        flags, needed = TARGETS[target]
        if not runs_here(needed):
            pytest.skip(f"this CPU has no {target}")
        path, folder, model = photos
        text = (folder / "net.c").read_text()
        assert all(f"  {call}(&" in text for call in ("fe_convolve", "fe_convolve_3x3", "fe_convolve_large"))
        batch = quantized(path, images(6, (40, 40, 3)))
        found = compiled(model, folder, "-O3", *flags.split())(batch)
        assert np.array_equal(found, numpy_answers(path, batch)) and len(np.unique(found)) > 20

    @pytest.mark.slow
    @needs_c_compiler()
    @pytest.mark.parametrize("path", SOME, ids=lambda path: path.parent.name)
    def test_shipped_models(self, path, tmp_path):
        manifest = Manifest.read(path)
        batch = fashion_mnist.load("test").images[:12]
        model = generated(path.read_bytes(), tmp_path, manifest.contract, batch[:1])
        inputs = model.pixels[batch][..., None]
        assert np.array_equal(compiled(model, tmp_path, "-O1")(inputs), numpy_answers(path, inputs))

    @pytest.mark.slow
    @needs_c_compiler()
    @pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
    @pytest.mark.parametrize("images", [1000, pytest.param(10_000, marks=pytest.mark.long)])
    def test_test_images(self, path, images, tmp_path):
        batch = fashion_mnist.load("test").images[:images]
        model = generated(path.read_bytes(), tmp_path, Manifest.read(path).contract, batch[:1])
        inputs = model.pixels[batch][..., None]
        expected = numpy_answers(path, inputs)
        for flags, needed in TARGETS.values():
            if runs_here(needed):
                assert np.array_equal(compiled(model, tmp_path, "-O3", *flags.split())(inputs), expected), flags

    @pytest.mark.slow
    @needs_c_compiler()
    @pytest.mark.parametrize("options", [
        ("-O0",), ("-O2",), ("-O3", "-march=native"), ("-O3", "-ffast-math"), ("-O1", "-DFE_PORTABLE"),
    ])  # fmt: skip
    @pytest.mark.parametrize("compiler", ["gcc", "clang"])
    def test_compilers_and_levels_give_the_same_bits(self, op_models, compiler, options):
        if not shutil.which(compiler):
            pytest.skip(f"no {compiler}; run: apt-get install {compiler}")
        for path, folder, model in op_models.values():
            batch = quantized(path, images(8))
            found = compiled(model, folder, *options, compiler=compiler)(batch)
            assert np.array_equal(found, numpy_answers(path, batch))

    @pytest.mark.slow
    @needs_c_compiler()
    @pytest.mark.parametrize("flags", ["-DFE_PORTABLE", "-march=native", "-mavx2"])
    @pytest.mark.parametrize("name", OPS)
    def test_sanitizers_find_nothing(self, op_models, tmp_path, name, flags):
        if flags == "-mavx2" and not runs_here("avx2"):
            pytest.skip("this CPU has no AVX2")
        _, folder, _ = op_models[name]
        program = tmp_path / "test"
        checks = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
        sources = sorted(folder.glob("*.c"))
        subprocess.run([c_compiler(), *STRICT, *checks, flags, *sources, "-o", program], check=True)
        ended = subprocess.run([program], capture_output=True, text=True, check=False)
        assert ended.returncode == 0 and ended.stdout.startswith("ok: 0 scores differ"), ended.stderr[-2000:]

    @needs_aarch64
    @pytest.mark.parametrize("target", CORES)
    def test_emulated_arm_cores(self, op_models, tmp_path, target):
        core, flags = CORES[target]
        _, folder, _ = op_models["branches"]
        program = tmp_path / "test"
        subprocess.run(
            [AARCH64, *STRICT, "-O2", "-static", flags, *sorted(folder.glob("*.c")), "-o", program], check=True
        )
        ended = subprocess.run(["qemu-aarch64", "-cpu", core, program], capture_output=True, text=True, check=False)
        assert ended.returncode == 0 and f"compiled for {target}," in ended.stdout, ended.stdout

    @needs_c_compiler()
    def test_self_test_notices_another_weight(self, compact, tmp_path):
        _, folder, _ = compact
        for file in folder.glob("*.[ch]"):
            shutil.copy(file, tmp_path)
        text = (tmp_path / "net_weights.c").read_text()
        begin = re.search(r"net_factors_\d+\[\d+\] = {\n", text).end()
        (tmp_path / "net_weights.c").write_text(text[:begin] + "    5," + text[begin:].split(",", 1)[1])
        subprocess.run([c_compiler(), "-std=c99", "-O1", *tmp_path.glob("*.c"), "-o", tmp_path / "test"], check=True)
        assert subprocess.run([tmp_path / "test"], capture_output=True, check=False).returncode == 1


class TestRequantisation:
    """One multiplication, as kernels/rescale.h does it."""

    @staticmethod
    def rescale(total: int, factor: int, shift: int, once: bool) -> int:
        half = 1 << (shift - 1)
        add = half if once or shift <= 31 else half + (1 << 30)
        scaled = (abs(total) * factor + add - (total < 0)) >> shift
        return -scaled if total < 0 else scaled

    @settings(max_examples=500)
    @given(st.integers(-(1 << 31) + 1, (1 << 31) - 1), st.integers(1 << 30, (1 << 31) - 1), st.integers(0, 31))
    @example(-(1 << 15), 1 << 30, 14)
    @example(-3, 1 << 30, 1)
    @example(3, 1 << 30, 1)
    def test_equals_the_double_rounding(self, total, factor, right):
        by = Multiplier(np.int64(factor), np.int64(-right))
        assert self.rescale(total, factor, 31 + right, False) == multiply(np.array([total]), by)[0]
        if right:
            assert self.rescale(total, factor, 31 + right, True) == multiply_once(np.array([total]), by)[0]

    @given(st.integers(-(1 << 20), 1 << 20), st.integers(1 << 30, (1 << 31) - 1), st.integers(0, 10))
    def test_equals_it_for_factors_above_one(self, total, factor, left):
        by = Multiplier(np.int64(factor), np.int64(left))
        assert self.rescale(total, factor, 31 - left, False) == multiply(np.array([total]), by)[0]

    @needs_c_compiler()
    def test_the_kernel_does_the_same(self, tmp_path):
        (tmp_path / "r.c").write_text(
            f'#include <stdint.h>\n#include "{KERNELS}/target.h"\n#include "{KERNELS}/rescale.h"\n'
            "int32_t f(int32_t a, int32_t m, int32_t s, int32_t o)"
            " { return fe_rescale(a, m, fe_rounding(s, o), s); }\n"
        )
        command = [c_compiler(), *STRICT, "-shared", "-fPIC", tmp_path / "r.c", "-o", tmp_path / "r.so"]
        subprocess.run(command, check=True)
        function = ctypes.CDLL(str(tmp_path / "r.so")).f
        numbers = np.random.default_rng(5)
        for _ in range(2000):
            total, factor = int(numbers.integers(-(1 << 31) + 1, 1 << 31)), int(numbers.integers(1 << 30, 1 << 31))
            shift, once = int(numbers.integers(32, 62)), bool(numbers.integers(2))
            total >>= int(numbers.integers(31))
            assert function(total, factor, shift, once) == self.rescale(total, factor, shift, once)


class TestFormulas:
    def test_shipped_sums_and_products_have_short_formulas(self):
        kinds = set()
        for path in SHIPPED:
            for node in with_tables(read_graph(path.read_bytes())).nodes:
                if node.kind == "binary":
                    found = formula_for(node.op, pair_function(node.op))
                    assert found is not None, f"{path} {node.op.output.name}"
                    kinds.add(node.op.kind)
        assert kinds == {"ADD", "MUL"}

    def test_a_formula_gives_every_result_in_32_bits(self):
        graph = read_graph((ROOT / "exported/tiny_resnet_edge/int8.tflite").read_bytes())
        op = next(node.op for node in graph.nodes if node.op.kind == "ADD")
        formula, results = formula_for(op, pair_function(op)), pair_function(op)
        zeros = [graph.values[operand.index].zero_point for operand in op.inputs]
        a, b = ((np.arange(-128, 128) - zero).astype(np.int32) for zero in zeros)
        mask = (1 << LOW_BITS) - 1
        low = a[:, None] * np.int32(formula.first & mask) + b * np.int32(formula.second & mask)
        low += np.int32(formula.add & mask)
        high = a[:, None] * np.int32(formula.first >> LOW_BITS) + b * np.int32(formula.second >> LOW_BITS)
        high += np.int32(formula.add >> LOW_BITS)
        found = np.clip((high + (low >> LOW_BITS)) >> formula.shift, formula.low, formula.high)
        assert np.array_equal(found, results)


class TestMemory:
    @pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
    def test_values_that_live_together_do_not_overlap(self, path):
        graph = with_tables(read_graph(path.read_bytes()))
        memory = plan(graph)
        storages = list({id(item): item for item in memory.storages.values()}.values())
        for one in storages:
            assert one.offset + one.size <= memory.size
            for other in storages:
                together = one.first <= other.last and other.first <= one.last
                apart = one.offset + one.size <= other.offset or other.offset + other.size <= one.offset
                assert one is other or apart or not together
        together = sum(item.size for item in storages)
        assert memory.size < together, "nothing shares memory"

    def test_an_elementwise_sum_is_computed_in_place_and_concatenations_cost_nothing(self):
        graph = with_tables(read_graph((ROOT / "exported/tiny_googlenet_edge/int8.tflite").read_bytes()))
        memory = plan(graph)
        for node in graph.nodes:
            if node.kind == "concatenation":
                assert all(memory.shares(number, node.output) for number in node.inputs)


@pytest.mark.parametrize(("channels", "width"), [(16, 16), (34, 4), (10, 12), (3, 4), (32, 16)])
def test_packed_weights(channels, width):
    matrix = np.random.default_rng(1).integers(-127, 128, (3, 3, 5, channels)).astype(np.int8)
    lanes, groups = grouped(matrix, by_rows=True), 4  # 15 inputs in a run
    assert len(lanes) == 3 * groups
    packed = pack(lanes)
    channel = channels - 1
    panel = channel // 16
    last = packed[panel * 3 * groups * 64 :]
    width = width if channels % 16 else 16
    for row, place in ((0, 0), (2, 7)):
        at = (row * groups + place // 4) * width * 4 + channel % 16 * 4 + place % 4
        assert last[at] == matrix[row].reshape(15, channels)[place, channel]


def test_tiles_waste_little():
    assert [tile_for(pixels, 8) for pixels in (784, 49, 16, 1)] == [8, 7, 8, 1]


class TestTexts:
    @needs_c_compiler()
    @pytest.mark.parametrize("compiler", ["gcc", "clang", "g++"])
    def test_hostile_labels_compile_without_a_warning_and_come_back(self, compact, tmp_path, compiler):
        if not shutil.which(compiler):
            pytest.skip(f"no {compiler}; run: apt-get install {compiler}")
        _, folder, model = compact
        strict = ["-x", "c++", "-std=c++11", *STRICT[1:]] if compiler == "g++" else STRICT
        sources = [folder / name for name in ("net.c", "net_weights.c", "golden.c")]
        library = tmp_path / "net.so"
        subprocess.run([compiler, *strict, "-O0", "-shared", "-fPIC", *sources, "-o", library], check=True)
        loaded = ctypes.CDLL(str(library))
        labels = (ctypes.c_char_p * 10).in_dll(loaded, "net_labels")
        assert [text.decode() for text in labels] == list(model.contract.labels)
        text = ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(loaded, "net_contract")))
        assert text.decode() == contract_text(model.contract)
        arena = ctypes.create_string_buffer(model.arena_bytes)
        assert loaded.net_self_test(arena) == 0

    @needs_c_compiler()
    def test_classify_gives_the_runtimes_scores(self, compact, tmp_path):
        path, folder, model = compact
        compiled(model, folder, "-O1")
        library = ctypes.CDLL(str(next(folder.glob("net*.so"))))
        image = fashion_mnist.load("test").images[7]
        scores = (ctypes.c_float * 10)()
        arena = ctypes.create_string_buffer(model.arena_bytes)
        library.net_classify(ctypes.c_void_p(image.ctypes.data), scores, arena)
        expected = model.output.dequantize(numpy_answers(path, model.pixels[image][None, ..., None]))
        assert np.array_equal(np.array(scores, np.float32), expected[0])

    def test_header_has_the_hash_of_the_tflite_file(self, compact):
        path, folder, _ = compact
        assert hashlib.sha256(path.read_bytes()).hexdigest() in (folder / "net.h").read_text()

    def test_lines_are_short_and_two_exports_are_the_same(self, compact):
        path, folder, model = compact
        again = c_model(path.read_bytes(), "net", model.contract, fashion_mnist.load("test").images[:2])
        assert again.files() == {file.name: file.read_text() for file in folder.iterdir() if file.suffix != ".so"}

    @pytest.mark.parametrize(("name", "expected"), [
        ("compact_cnn", "compact_cnn"), ("My net-2.1", "my_net_2_1"), ("3conv", "m_3conv"), ("double", "double_model"),
        ("string", "string_model"), ("сеть", "model"), ("__x__", "x_model"), ("arm_neon", "arm_neon_model"),
        ("main", "main_model"), ('a"; int x[]*/', "a_int_x"),
    ])  # fmt: skip
    def test_names(self, name, expected):
        assert c_name(name) == expected


def test_long_texts_are_no_string_literals():
    """C99 compilers need not take literals of more than 4,095 characters."""
    assert long_text("a\n") == '"a\\012"'
    assert long_text("ab" * 3000).startswith("{\n    97, 98,") and long_text("ab" * 3000).endswith(" 0,\n}")


class TestRefusals:
    def test_a_file_with_float_tensors(self):
        with pytest.raises(RefusedError, match="float32"):
            read_graph(converted("branches", "float32"))

    def test_an_op_without_a_kernel_is_named(self, monkeypatch):
        monkeypatch.delitem(__import__("fmnist_edge.exporters.c.graph", fromlist=["KINDS"]).KINDS, "MAX_POOL_2D")
        with pytest.raises(RefusedError, match="no C kernel for MAX_POOL_2D"):
            read_graph(SHIPPED[0].read_bytes())
