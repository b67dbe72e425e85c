"""Local response normalisation in C: sums of neighbours and one table, with the numpy engine's bits."""

import subprocess
from dataclasses import replace

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT, TARGETS, compiled, generated, numpy_answers, runs_here

from fmnist_edge.data import fashion_mnist
from fmnist_edge.exporters.c.graph import Graph, Node, evaluate, read_graph, windows
from fmnist_edge.exporters.c.linear import weights_of
from fmnist_edge.exporters.c.tables import with_tables
from fmnist_edge.exporters.c.window_sums import band_of, with_window_sums
from fmnist_edge.runtime.manifest import Manifest

GOOGLENET, RESNET = (ROOT / f"exported/{name}/int8.tflite" for name in ("tiny_googlenet", "tiny_resnet"))


def kinds(graph: Graph) -> list[str]:
    return [node.kind for node in graph.nodes]


def multiply_accumulates(graph: Graph) -> int:
    convolutions = [node for node in graph.nodes if node.kind == "convolve"]
    return sum(
        graph.values[node.output].rows * graph.values[node.output].columns * weights_of(node.op).matrix.size
        for node in convolutions
    )


def is_band(node: Node) -> bool:
    """Whether a convolution has two kinds of weights, one of them 0."""
    return node.kind == "convolve" and len(np.unique(weights_of(node.op).matrix)) == 2


@pytest.fixture(scope="module")
def googlenet() -> Graph:
    """tiny_googlenet's steps before windows are summed."""
    return with_tables(read_graph(GOOGLENET.read_bytes()))


class TestShippedModels:
    @pytest.mark.parametrize(("path", "layers", "steps", "multiplications"), [
        (RESNET, 16, (131, 50), (26_358_468, 21_861_060)), (GOOGLENET, 5, (64, 37), (35_891_908, 31_484_612)),
    ], ids=["tiny_resnet", "tiny_googlenet"])  # fmt: skip
    def test_each_layer_is_one_step(self, path, layers, steps, multiplications):
        before = with_tables(read_graph(path.read_bytes()))
        after = with_window_sums(before)
        assert kinds(after).count("window") == layers
        assert all(node.op.kind == "MUL" for node in after.nodes if node.kind == "window")
        assert any(map(is_band, before.nodes)) and not any(map(is_band, after.nodes))
        assert (len(before.nodes), len(after.nodes)) == steps
        assert (multiply_accumulates(before), multiply_accumulates(after)) == multiplications

    @needs_c_compiler()
    @pytest.mark.parametrize(
        "target", [pytest.param(it, marks=[] if it == "AVX2" else [pytest.mark.slow]) for it in TARGETS]
    )
    def test_bits(self, target, tmp_path):
        """tiny_googlenet has lines of one pixel and of a row of pixels."""
        flags, needed = TARGETS[target]
        if not runs_here(needed):
            pytest.skip(f"this CPU has no {target}")
        images = fashion_mnist.load("test").images[:4]
        model = generated(GOOGLENET.read_bytes(), tmp_path, Manifest.read(GOOGLENET).contract, images[:1])
        inputs = model.pixels[images][..., None]
        assert np.array_equal(
            compiled(model, tmp_path, "-O1", *flags.split())(inputs), numpy_answers(GOOGLENET, inputs)
        )

    @pytest.mark.slow
    @needs_c_compiler()
    @pytest.mark.parametrize("flags", ["-DFE_PORTABLE", "-march=native"])
    def test_sanitizers_find_nothing(self, flags, tmp_path):
        images = fashion_mnist.load("test").images[:1]
        generated(GOOGLENET.read_bytes(), tmp_path, Manifest.read(GOOGLENET).contract, images)
        checks = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", flags]
        command = [c_compiler(), *STRICT, *checks, *sorted(tmp_path.glob("*.c")), "-o", tmp_path / "test"]
        subprocess.run(command, check=True)
        ended = subprocess.run([tmp_path / "test"], capture_output=True, text=True, check=False)
        assert ended.returncode == 0 and ended.stdout.startswith("ok: 0 scores differ"), ended.stderr[-2000:]

    def test_models_without_such_a_layer_keep_their_steps(self):
        graph = with_tables(read_graph((ROOT / "exported/tiny_resnet_edge/int8.tflite").read_bytes()))
        assert kinds(with_window_sums(graph)) == kinds(graph)


class TestTables:
    def test_a_table_has_what_the_convolution_gives_for_every_sum(self, googlenet):
        """The numpy engine's whole convolution on random squares, against the table of the sums."""
        band = next(node for node in googlenet.nodes if is_band(node))
        alone = replace(googlenet, output=band.output, nodes=googlenet.nodes[: googlenet.nodes.index(band) + 1])
        node = with_window_sums(alone).nodes[-1]
        assert node.kind == "window" and node.op.kind == "CONV_2D"
        window, value = node.window, googlenet.values[band.inputs[0]]
        squares = np.random.default_rng(2).integers(-128, -98, (1, *value.shape), np.int8)
        expected = evaluate(band.op, squares).reshape(value.shape)
        padded = np.pad(squares[0].astype(int) - window.zero_point, ((0, 0), (0, 0), (window.before, window.after)))
        sums = sum(padded[:, :, i : i + value.channels] for i in range(window.before + window.after + 1))
        assert np.array_equal(node.table[sums - window.least], expected)
        assert len(np.unique(expected)) > 30


def changed(node: Node, operand: int, **fields) -> Node:
    inputs = list(node.op.inputs)
    inputs[operand] = replace(inputs[operand], **fields)
    return replace(node, op=replace(node.op, inputs=tuple(inputs)))


def other_weight(node):
    data = node.op.constant(1).copy()
    place = tuple(np.argwhere(data != 0)[0])
    data[place] += 1
    return changed(node, 1, data=data)


def hole_in_the_band(node):
    data = node.op.constant(1).copy()
    data[tuple(np.argwhere(data != 0)[0])] = 0
    return changed(node, 1, data=data)


def further_weight(node):
    data = node.op.constant(1).copy()
    data[tuple(np.argwhere(data == 0)[0])] = data.min()
    return changed(node, 1, data=data)


def other_bias(node):
    data = node.op.constant(2).copy()
    data[3] += 1
    return changed(node, 2, data=data)


def other_scale(node):
    found = node.op.operand(1).quantization
    scales = np.repeat(found.scales[:1], len(node.op.constant(2)))
    scales[5] *= np.float32(1.5)
    zero_points = np.zeros(len(scales), np.int64)
    return changed(node, 1, quantization=replace(found, scales=scales, zero_points=zero_points))


class TestProof:
    """Where one weight, bias or scale is another, the convolution stays."""

    @pytest.mark.parametrize("change", [other_weight, hole_in_the_band, further_weight, other_bias, other_scale])
    @pytest.mark.parametrize("place", [0, -1], ids=["pixel", "row of pixels"])
    def test_a_convolution_that_is_no_window_sum_stays(self, googlenet, change, place):
        node = [node for node in googlenet.nodes if is_band(node)][place]
        nodes = tuple(change(other) if other is node else other for other in googlenet.nodes)
        found = with_window_sums(replace(googlenet, nodes=nodes))
        assert [other.output for other in found.nodes if other.kind == "convolve"].count(node.output) == 1
        assert node.output not in [other.output for other in with_window_sums(googlenet).nodes]

    def test_a_window_that_reaches_beyond_the_blocks_stays(self, googlenet):
        """Blocks of 16 with one block on either side give 16 neighbours, not 17."""
        node = [node for node in googlenet.nodes if is_band(node)][-1]
        distance = (np.arange(3)[:, None] - 1) * 16 + np.arange(16)
        distance = distance[None, :, :, None] - np.arange(16)
        assert band_of(node.op, np.abs(distance) <= 16) == (16, 16)
        assert band_of(node.op, (distance <= 17) & (distance >= -5)) is None

    def test_a_band_with_a_stride_stays(self, googlenet):
        assert {windows(node.op)[1].stride for node in googlenet.nodes if is_band(node)} == {1}
