"""Sources for microcontrollers: their text, their cross-compiled array, and what an emulated core reads."""

import hashlib
import json
import re
import subprocess

import numpy as np
import pytest
from support import ROOT
from support.installed import needs
from support.programs import skip_where, why_it_does_not_compile, why_it_does_not_run

from fmnist_edge import checkpoints, cli
from fmnist_edge.catalog.precisions import select
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ExportError
from fmnist_edge.exporters import c_array
from fmnist_edge.exporters.c_source import float_literal, identifier, resolver_call, string_literal
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime import Classifier, Contract
from fmnist_edge.runtime.engines.tflite_micro import TFLiteMicroEngine

pytestmark = needs("tflite_micro")
CONTRACT = Contract(
    (28, 28, 1), "logits", ('a "quoted" \\ label', "what??/", "Ankle boot é7", *fashion_mnist.LABELS[3:])
)
SOURCES = select("c-array")[0]
DUMP = ROOT / "tests/microcontroller/dump.cc"
COMPILER = "arm-none-eabi-g++"
OBJCOPY = "arm-none-eabi-objcopy"
EMULATOR = "qemu-system-arm"
FLAGS = ("-mthumb", "-mfloat-abi=soft", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Os", "-fdata-sections")


LINKED = ("-mcpu=cortex-m4", "-std=c++17", *FLAGS, "--specs=rdimon.specs")  # with newlib and semihosting
PACKAGES = "gcc-arm-none-eabi libstdc++-arm-none-eabi-newlib qemu-system-arm"
needs_compiler = skip_where([why_it_does_not_compile(COMPILER, *LINKED), why_it_does_not_run(OBJCOPY)], PACKAGES)
needs_core = skip_where([why_it_does_not_compile(COMPILER, *LINKED), why_it_does_not_run(EMULATOR)], PACKAGES)


@pytest.fixture(scope="module")
def tflite(compact, calibration, tmp_path_factory):
    """The same model as a `.tflite` file, without what only other vendors' tools read."""
    out = tmp_path_factory.mktemp("tflite")
    return export(
        compact, select("tflite", ["int8_only"])[0], CONTRACT, out, calibration=calibration, tool_metadata=False
    )


@pytest.fixture(scope="module")
def sources(compact, calibration, tmp_path_factory):
    return export(compact, SOURCES, CONTRACT, tmp_path_factory.mktemp("c"), calibration=calibration)


@pytest.fixture(scope="module")
def texts(sources):
    return {path.name: path.read_text() for path in sources.path.iterdir()}


def numbers(text: str, name: str) -> list[int]:
    """The array `name` of a C++ source."""
    return [int(number) for number in re.search(rf"{name}\[.*?\] = {{(.*?)}};", text, re.DOTALL)[1].split(",")[:-1]]


def constant(text: str, name: str) -> str:
    return re.search(rf"^constexpr .* {name} = (.*?)f?;$", text, re.MULTILINE)[1]


class TestTexts:
    def test_the_array_is_the_tflite_file(self, texts, tflite):
        content = tflite.path.read_bytes()
        assert bytes(numbers(texts["compact_cnn_model.cc"], "kModel")) == content
        header = texts["compact_cnn_model.h"]
        assert constant(header, "kModelLength") == str(len(content))
        assert hashlib.sha256(content).hexdigest() in header

    def test_manifest_has_the_hash_of_every_file(self, sources, tflite):
        manifest = json.loads(sources.path.with_name("int8_only.c-array.json").read_text())
        assert manifest == sources.manifest.as_dict()
        assert manifest["artifact"] == sources.path.name == "int8_only.c-array"
        assert set(manifest["files"]) == {"compact_cnn_model.h", "compact_cnn_model.cc", "README.md"}
        for name, sha256 in manifest["files"].items():
            assert hashlib.sha256((sources.path / name).read_bytes()).hexdigest() == sha256
        assert {path.name for path in sources.path.iterdir()} == set(manifest["files"]), "nothing temporary is left"
        for key in ("sha256", "size_bytes", "inputs", "outputs", "golden", "op_census", "float_ops", "model"):
            assert manifest[key] == tflite.manifest.as_dict()[key]
        assert None not in manifest["versions"].values() and "tflite-micro" in manifest["versions"]

    def test_two_exports_are_byte_identical(self, sources, texts, compact, calibration, tmp_path):
        again = export(compact, SOURCES, CONTRACT, tmp_path, calibration=calibration)
        assert {path.name: path.read_text() for path in again.path.iterdir()} == texts
        assert again.manifest == sources.manifest

    def test_arena_size_is_what_tensorflow_lite_micro_needs(self, texts, sources, tflite):
        size = int(constant(texts["compact_cnn_model.h"], "kArenaSize"))
        engine = TFLiteMicroEngine(str(tflite.path))
        engine.run(np.zeros((1, 28, 28, 1), np.int8))
        assert engine.arena["total"] <= size <= engine.arena["total"] + 1040
        assert sources.manifest.arena_bytes == size and size % 16 == 0

    def test_an_arena_that_is_too_small_to_load_grows_until_it_is_enough(self, tflite, monkeypatch):
        """As of MobileNetV2 at 32x32, whose memory for planning is more than what its measured arena has free."""
        engine = TFLiteMicroEngine(str(tflite.path))
        batch = np.zeros((1, 28, 28, 1), np.int8)
        output, total = engine.run(batch), engine.arena["total"]
        given = str(tflite.path), total // 1024 * 1024 - 3072, batch
        size = c_array.arena_for(*given, output, engine.version)
        assert total <= size <= total + 4096 and size % 1024 == 0
        with pytest.raises(ExportError, match="gives another output in an arena of"):
            c_array.arena_for(*given, output + 1, engine.version)
        monkeypatch.setattr(c_array, "ARENA_TRIES", 0)
        with pytest.raises(ExportError, match=r"cannot run it in an arena of 1,024 bytes .*; please report it"):
            c_array.arena_for(given[0], 1024, batch, output, engine.version)

    def test_ops_of_the_file_are_spelled_as_in_the_resolver(self, texts, sources):
        calls = re.findall(r"resolver\.(\w+)\(\)", texts["compact_cnn_model.h"])
        assert calls == ["AddConv2D", "AddFullyConnected", "AddMaxPool2D", "AddReshape"]
        assert constant(texts["compact_cnn_model.h"], "kOpCount") == "4"
        assert sources.manifest.ops == ("CONV_2D", "FULLY_CONNECTED", "MAX_POOL_2D", "RESHAPE")

    def test_pixels_and_scores_are_those_of_the_runtime(self, texts, tflite):
        header, source = texts["compact_cnn_model.h"], texts["compact_cnn_model.cc"]
        with Classifier.load(tflite.path) as classify:
            spec, answer = classify.engine.input, classify.engine.output
        levels = np.arange(256, dtype=np.uint8).reshape(1, 256)
        expected = spec.quantize(CONTRACT.preprocessing.apply(levels, (256,)))
        assert numbers(source, "kPixelToInput") == expected.reshape(-1).tolist()
        for name, value in (
            ("kPixelScale", 1 / 255), ("kPixelMean", 0), ("kPixelStd", 1), ("kInputScale", spec.scale),
            ("kInputZeroPoint", spec.zero_point), ("kOutputScale", answer.scale),
            ("kOutputZeroPoint", answer.zero_point),
        ):  # fmt: skip
            assert np.float32(constant(header, name)) == np.float32(value), name

    def test_golden_answer_is_tensorflow_lite_micros(self, texts, tflite):
        source = texts["compact_cnn_model.cc"]
        image = np.array(numbers(source, "kGoldenInput"), np.int8).reshape(1, 28, 28, 1)
        assert image.std() > 20, "an image, not a blank"
        answer = numbers(source, "kGoldenOutput")
        assert answer == TFLiteMicroEngine(str(tflite.path)).run(image)[0].tolist()
        with Classifier.load(tflite.path, engine="numpy") as classify:
            assert np.abs(classify.engine.run(image)[0].astype(int) - answer).max() <= 1

    def test_readme_has_ten_lines_and_the_figures(self, texts, sources):
        lines = texts["README.md"].splitlines()
        assert len(lines) == 10 and max(map(len, lines)) <= 120
        assert f"{sources.manifest.size_bytes:,} bytes of flash" in lines[0]
        assert f"{sources.manifest.arena_bytes:,} bytes of RAM" in lines[0]


@pytest.mark.parametrize(("name", "expected"), [
    ("compact_cnn", "compact_cnn_model"), ("My net-2.1", "my_net_2_1_model"), ("3conv", "m_3conv_model"),
    ("double", "double_model"), ("__x__", "x_model"), ("сеть", "model"),
])  # fmt: skip
def test_any_name_becomes_a_namespace(name, expected):
    assert identifier(name) == expected


@pytest.mark.parametrize(("op", "expected"), [
    ("CONV_2D", "AddConv2D"), ("LOGISTIC", "AddLogistic"), ("AVERAGE_POOL_2D", "AddAveragePool2D"),
    ("ADD", "AddAdd"), ("L2_NORMALIZATION", "AddL2Normalization"), ("RELU6", "AddRelu6"), ("PADV2", "AddPadV2"),
    ("BATCH_MATMUL", "AddBatchMatMul"), ("CUMSUM", "AddCumSum"), ("SPACE_TO_BATCH_ND", "AddSpaceToBatchNd"),
    ("UNIDIRECTIONAL_SEQUENCE_LSTM", "AddUnidirectionalSequenceLSTM"),
])  # fmt: skip
def test_spelling_of_ops(op, expected):
    assert resolver_call(op) == expected


def test_literals_survive_the_language():
    assert string_literal('a"b\\c?é7\n') == '"a\\042b\\134c\\077\\303\\2517\\012"'
    assert (float_literal(1.0), float_literal(1 / 255), float_literal(1e-20), float_literal(None)) == (
        "1.0f",
        "0.00392156886f",
        "9.99999968e-21f",
        "0.0f",
    )


@needs_compiler
@pytest.mark.parametrize("standard", ["c++11", "c++20"])
@pytest.mark.parametrize("core", ["cortex-m4", "cortex-m7"])
def test_compiled_array_is_the_tflite_file(sources, tflite, tmp_path, core, standard):
    command = [COMPILER, f"-mcpu={core}", f"-std={standard}", *FLAGS, "-c", sources.path / "compact_cnn_model.cc"]
    subprocess.run([*command, "-o", tmp_path / "model.o"], check=True)
    section = ".rodata._ZN17compact_cnn_model6kModelE"
    extract = [OBJCOPY, "-O", "binary", f"--only-section={section}"]
    subprocess.run([*extract, tmp_path / "model.o", tmp_path / "model.bin"], check=True)
    assert (tmp_path / "model.bin").read_bytes() == tflite.path.read_bytes()
    listed = subprocess.run(["arm-none-eabi-readelf", "-SW", tmp_path / "model.o"], capture_output=True, text=True)
    alignment = next(line.split()[-1] for line in listed.stdout.splitlines() if section in line)
    assert alignment == "16", "flatbuffers are read in place"


@needs_core
@pytest.mark.parametrize(("core", "board"), [("cortex-m4", "mps2-an386"), ("cortex-m7", "mps2-an500")])
def test_an_emulated_core_reads_what_the_host_wrote(sources, texts, tflite, tmp_path, core, board):
    ops = " ".join(f"OP({call.removeprefix('Add')})" for call in map(resolver_call, sources.manifest.ops))
    subprocess.run([
        COMPILER, f"-mcpu={core}", "-std=c++17", *FLAGS, "-fno-exceptions", "-fno-rtti", "--specs=rdimon.specs",
        "-Wl,--section-start=.vectors=0", f"-I{sources.path}", "-include", "compact_cnn_model.h",
        "-DMODEL=compact_cnn_model", f"-DOPS={ops}", DUMP, sources.path / "compact_cnn_model.cc",
        "-o", tmp_path / "dump.elf",
    ], check=True)  # fmt: skip
    quiet = ["-nographic", "-monitor", "none", "-serial", "none", "-semihosting-config", "enable=on,target=native"]
    subprocess.run([EMULATOR, "-M", board, *quiet, "-kernel", "dump.elf"], cwd=tmp_path, check=True, timeout=300)
    source = texts["compact_cnn_model.cc"]
    golden = np.array(numbers(source, "kGoldenOutput"), np.int8)
    with Classifier.load(tflite.path, engine="numpy") as classify:
        scores = classify.engine.output.dequantize(golden)
    expected = [
        tflite.path.read_bytes(),
        np.array(numbers(source, "kPixelToInput") + numbers(source, "kGoldenInput"), np.int8).tobytes(),
        golden.tobytes(),
        scores.astype("<f4").tobytes(),
        "".join(f"{label}\n" for label in CONTRACT.labels).encode(),
    ]
    assert (tmp_path / "dump.bin").read_bytes() == b"".join(expected)


def own_model(activation, folder):
    """A model with one op that TensorFlow Lite Micro cannot run."""
    import keras

    inputs = keras.Input((28, 28, 1))
    features = keras.layers.Flatten()(keras.layers.Conv2D(2, 3, strides=4, activation=activation)(inputs))
    keras.Model(inputs, keras.layers.Dense(10)(features)).save(folder / "own.keras")
    return checkpoints.load(folder / "own.keras")


@pytest.mark.parametrize(("activation", "message"), [("squareplus", "no integer kernel for|SQUARE"), ("gelu", "GELU")])
def test_a_model_that_a_microcontroller_cannot_run_is_refused_in_one_line(calibration, tmp_path, activation, message):
    """squareplus leaves a float island. GELU has an integer kernel in TFLite, but not in TensorFlow Lite Micro."""
    model = own_model(activation, tmp_path)
    with pytest.raises(ExportError, match=message) as refusal:
        export(model, SOURCES, CONTRACT, tmp_path / "out", calibration=calibration)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("batch", [None, 8])
def test_other_batches_than_1_are_refused(compact, calibration, tmp_path, batch):
    with pytest.raises(ExportError, match="one image per call"):
        export(compact, SOURCES, CONTRACT, tmp_path / "out", batch=batch, calibration=calibration)
    assert not (tmp_path / "out").exists()


def test_tune_accuracy_is_refused_for_sources(capsys):
    assert cli.main(["export", "compact_cnn", "--format", "c-array", "--tune-accuracy", "1"]) == 2
    assert "use --format tflite" in capsys.readouterr().err
