"""`export --format c` on hostile input: sources that compile and answer as the numpy engine does, or one line."""

import ctypes
import hashlib
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT

from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, FmnistEdgeError
from fmnist_edge.exporters.c.source import c_name
from fmnist_edge.exporters.from_tflite import GoldenOptions, export_tflite
from fmnist_edge.exporters.tflite_contract import ContractOptions
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.folder import read_folder
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from torture import bytes_attacks, tflite_attacks

LABELS = (
    'a "quoted" \\ label', "what??/", "*/ int x; /*", "@name@ %s \\0 \\n", "é7\u202e", "'", "#define x ??="
)  # fmt: skip
NAMES = ('a "quoted" ??= \\ name', "*@name@%s", "int")
SHAPE = (12, 12, 1)
MADE = {"float32 ends": ("windows", "int8_only", "float32")}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A folder with a small model of seven classes, m.keras, and calibration.npy."""
    import keras
    from keras import layers

    folder = tmp_path_factory.mktemp("inputs")
    keras.utils.set_random_seed(1)
    image = keras.Input(SHAPE)
    x = layers.Flatten()(layers.Conv2D(4, 3, strides=2, activation="relu", name='conv" ??= \\')(image))
    keras.Model(image, layers.Dense(7)(x), name='x"; ??= \\').save(folder / "m.keras")
    np.save(folder / "calibration.npy", np.random.default_rng(1).integers(0, 256, (32, *SHAPE), np.uint8))
    return folder


def export(inputs, models, out, *options):
    calibration = ["--calibration", str(inputs / "calibration.npy")]
    return main(["export", *map(str, models), "--format", "c", *calibration, "--out", str(out), *options])


def refused_in_one_line(said):
    assert said.startswith("fmnist-edge: error: ") and said.count("\n") == 1, said
    assert "Traceback" not in said and "internal error" not in said
    return True


def files_in(folder):
    return [path for path in Path(folder).rglob("*") if not path.is_dir()]


@pytest.mark.slow
@needs_c_compiler()
def test_hostile_names_and_labels_compile_and_answer_right(inputs, tmp_path, capfd):
    models = [tmp_path / f"{name}.keras" for name in NAMES]
    for model in models:
        os.link(inputs / "m.keras", model)
    labels = tmp_path / "labels.txt"
    labels.write_text("\n".join(LABELS), encoding="utf-8")
    out = tmp_path / "out"
    assert export(inputs, [*models], out, "--labels", str(labels)) == 0
    assert "Traceback" not in capfd.readouterr().err
    for name in NAMES:
        folder, prefix = out / name / "int8_only.c", c_name(name)
        program = [c_compiler(), *STRICT, "-O1", *sorted(folder.glob("*.c")), "-o", tmp_path / "test"]
        subprocess.run(program, check=True)
        said = subprocess.run([tmp_path / "test"], capture_output=True, text=True, check=True).stdout
        assert said.startswith("ok: 0 scores differ")
        library = tmp_path / f"{prefix}.so"
        sources = [folder / f"{prefix}{suffix}" for suffix in (".c", "_weights.c")]
        subprocess.run([c_compiler(), *STRICT, "-shared", "-fPIC", *sources, "-o", library], check=True)
        found = (ctypes.c_char_p * len(LABELS)).in_dll(ctypes.CDLL(str(library)), f"{prefix}_labels")
        assert tuple(text.decode() for text in found) == LABELS
        assert main(["doctor", str(folder), "--report", str(tmp_path / "doctor.json")]) == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    "content", [b"a\0b\nb\nc\nd\ne\nf\ng\n", b"a\xff\nb\nc\nd\ne\nf\ng\n", b"\x1b[31m\nb\nc\nd\ne\nf\ng"]
)
def test_labels_that_no_contract_can_have(inputs, tmp_path, content, capfd):
    (tmp_path / "labels.txt").write_bytes(content)
    code = export(inputs, [inputs / "m.keras"], tmp_path / "out", "--labels", str(tmp_path / "labels.txt"))
    assert code == 2 and refused_in_one_line(capfd.readouterr().err) and files_in(tmp_path / "out") == []


@pytest.mark.parametrize("name", ["two\nlines", "a\tb", "\x1b[31m", "\udcff"])
def test_file_names_that_no_manifest_can_have(tmp_path, name, capfd):
    """Refused before anything is read; the model is not called damaged."""
    model = tmp_path / f"{name}.keras"
    model.write_bytes(b"")
    assert export(tmp_path, [model], tmp_path / "out") == 2
    said = capfd.readouterr().err
    assert refused_in_one_line(said) and "rename" in said and "damaged" not in said
    assert files_in(tmp_path / "out") == []


SHIPPED = ROOT / "exported/compact_cnn/int8.tflite"
# Those that need no schema, which TensorFlow has.
OF_BYTES = {**bytes_attacks.ATTACKS, **{name: tflite_attacks.ATTACKS[name] for name in ("offsets", "lengths")}}
CHECKS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def put(folder, content, manifest=None):
    """A `.tflite` file; with a manifest that has its SHA-256, as whoever makes the file can make it."""
    folder.mkdir(parents=True)
    path = folder / "hostile.tflite"
    path.write_bytes(content)
    if manifest is not None:
        document = {**manifest, "sha256": hashlib.sha256(content).hexdigest(), "artifact": path.name}
        manifest_path(path).write_text(json.dumps(document))
    return path


def made_of(path, out):
    """The folder that the export makes of a file; None if it refuses the file in a line and writes nothing."""
    try:
        artifact, _ = export_tflite(path, get_precision("c", "int8_only"), out, ContractOptions(), GoldenOptions())
    except FmnistEdgeError as refusal:
        assert "\n" not in str(refusal) and files_in(out) == [], refusal
        return None
    return artifact.path


def why_wrong(folder, scratch):
    """What the compiler or the self-test complains about, with sanitizers; "" for nothing."""
    program = scratch / "test"
    command = [c_compiler(), *STRICT, *CHECKS, *sorted(folder.glob("*.c")), "-o", program]
    built = subprocess.run(command, capture_output=True, text=True, check=False)
    if built.returncode:
        return built.stderr[-1500:]
    ended = subprocess.run([program], capture_output=True, text=True, check=False)
    return "" if ended.returncode == 0 and ended.stdout.startswith("ok: ") else ended.stdout + ended.stderr[-1500:]


@pytest.mark.parametrize("forged", [True, False])
def test_attacked_tflite_files_are_refused_or_become_folders(tmp_path, forged):
    rng, sound, made = np.random.default_rng(11), SHIPPED.read_bytes(), 0
    manifest = json.loads(manifest_path(SHIPPED).read_text()) if forged else None
    for number, attack in enumerate([*OF_BYTES.values()] * 2):
        folder = tmp_path / str(number)
        found = made_of(put(folder, attack(sound, rng), manifest), folder / "out")
        if found is not None:
            Artifact.open(found)
            made += 1
    assert 0 < made < 2 * len(OF_BYTES)


@pytest.mark.slow
@needs_c_compiler()
@pytest.mark.parametrize("name", ["branches", "windows", "activations", "float32 ends", "compact_cnn"])
def test_what_is_made_of_attacked_tflite_files_compiles_and_passes_its_test(tmp_path, name):
    from support.tflite_models import converted

    sound = SHIPPED.read_bytes() if name == "compact_cnn" else converted(*MADE.get(name, (name, "int8_only")))
    rng, wrong, made = np.random.default_rng(12), [], 0
    for kind, attack in {**bytes_attacks.ATTACKS, **tflite_attacks.ATTACKS}.items():
        for number in range(4):
            folder = tmp_path / f"{kind}-{number}"
            found = made_of(put(folder, attack(sound, rng)), folder / "out")
            if found is not None:
                made += 1
                wrong += [(kind, why)] if (why := why_wrong(found, folder)) else []
    assert made > 0 and wrong == []


@pytest.mark.slow
@needs_c_compiler()
def test_attacked_tflite_files_through_the_command(tmp_path, capfd):
    """Exit code 0 and a folder that `doctor` takes, or 2, one line and no file."""
    rng, sound, codes = np.random.default_rng(13), SHIPPED.read_bytes(), []
    manifest = json.loads(manifest_path(SHIPPED).read_text())
    for number, (kind, attack) in enumerate({**bytes_attacks.ATTACKS, **tflite_attacks.ATTACKS}.items()):
        folder = tmp_path / kind
        path = put(folder, attack(sound, rng), manifest if number % 2 else None)
        codes.append(main(["export", str(path), "--format", "c", "--out", str(folder / "out")]))
        said = capfd.readouterr().err
        if codes[-1] == 0:
            (made,) = (folder / "out").glob("*/int8_only.c")
            assert main(["doctor", str(made), "--report", str(folder / "doctor.json")]) == 0, kind
            capfd.readouterr()
        else:
            assert codes[-1] == 2 and refused_in_one_line(said) and files_in(folder / "out") == [], kind
    assert set(codes) == {0, 2}


@pytest.mark.slow
@needs_c_compiler()
@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_and_labels_of_a_tflite_file(tmp_path, name):
    """From the manifest beside it, from the contract inside it and from its own name."""
    manifest = json.loads(manifest_path(SHIPPED).read_text())
    manifest["contract"]["labels"] = [*LABELS, "h", "i", "j"]
    manifest["model"]["name"] = name
    key, text = b"fmnist_edge.contract", SHIPPED.read_bytes()
    path = put(tmp_path / "in", text.replace(key, key.upper()), manifest)
    folder = made_of(path, tmp_path / "out")
    assert folder == tmp_path / "out" / name / "int8_only.c"
    assert why_wrong(folder, tmp_path) == ""
    prefix = c_name(name)
    library = tmp_path / "net.so"
    sources = [folder / f"{prefix}{suffix}" for suffix in (".c", "_weights.c")]
    subprocess.run([c_compiler(), *STRICT, "-shared", "-fPIC", *sources, "-o", library], check=True)
    found = (ctypes.c_char_p * 10).in_dll(ctypes.CDLL(str(library)), f"{prefix}_labels")
    assert tuple(text.decode() for text in found)[: len(LABELS)] == LABELS


@pytest.mark.parametrize("content", [b"", b"TFL3", b"\x1c\0\0\0TFL3", b"\xff" * 4 + b"TFL3" + bytes(64), b"x" * 100])
def test_files_that_are_hardly_any(tmp_path, content):
    assert made_of(put(tmp_path / "in", content), tmp_path / "out") is None


@pytest.mark.parametrize("manifest", [b"", b"[]", b"{}", b'{"schema": 1}', b"\xff", b'{"schema": 1, "sha256": 3}'])
def test_manifests_that_are_none(tmp_path, manifest):
    path = put(tmp_path / "in", SHIPPED.read_bytes())
    manifest_path(path).write_bytes(manifest)
    assert made_of(path, tmp_path / "out") is None


LIES = {
    "scale beyond float32": {"preprocessing": {"scale": 1e300, "mean": 0.0, "std": 1.0}},
    "mean beyond float32": {"preprocessing": {"scale": 1.0, "mean": -1e39, "std": 1.0}},
    "std that is 0 in float32": {"preprocessing": {"scale": 1.0, "mean": 0.0, "std": 1e-300}},
    "many means": {"preprocessing": {"scale": 1.0, "mean": [0.0] * 5, "std": 1.0}},
    "numbers": {"dtype": "float32", "preprocessing": {"scale": 1.0, "mean": 0.0, "std": 1.0, "shape": None}},
    "other axes": {"layout": "NCHW"},
    "another shape": {"input_shape": [28, 28, 3]},
    "another number of labels": {"labels": ["a", "b"]},
    "a task of one score": {"task": "binary", "labels": ["a", "b"], "thresholds": [0.5]},
    "bars of no letterbox": {"fill": 9},
    "labels with newlines": {"labels": ["a\nb"] * 10},
}


@pytest.mark.parametrize("lie", LIES)
def test_contracts_that_are_not_the_files(tmp_path, lie):
    manifest = json.loads(manifest_path(SHIPPED).read_text())
    manifest["contract"].update(LIES[lie])
    key, content = b"fmnist_edge.contract", SHIPPED.read_bytes()
    assert made_of(put(tmp_path / "in", content.replace(key, key.upper()), manifest), tmp_path / "out") is None


@pytest.mark.parametrize("name", ["two\nlines", "\x1b[31m", "\udcff"])
def test_names_of_tflite_files_that_no_manifest_can_have(tmp_path, name, capfd):
    path = tmp_path / f"{name}.tflite"
    path.write_bytes(SHIPPED.read_bytes())
    assert main(["export", str(path), "--format", "c", "--out", str(tmp_path / "out")]) == 2
    said = capfd.readouterr().err
    assert refused_in_one_line(said) and "rename" in said and files_in(tmp_path / "out") == []


class TestHalfWritten:
    """`Artifact.write_folder` where a file cannot be written: the old folder stays as it was, a new one is none."""

    def write(self, path, files):
        sections = {"sha256": "0" * 64, "contract": Contract(SHAPE, "logits", LABELS).as_dict()}
        return Artifact.write_folder(path, files, Manifest.of(path.name, sections))

    @pytest.mark.parametrize("there", [False, True])
    def test_old_or_none(self, tmp_path, there):
        path = tmp_path / "int8_only.c"
        if there:
            self.write(path, {"old.c": "int x;", "kept.c": "int y;"})
        before = [read_folder(path), manifest_path(path).read_bytes()] if there else None
        with pytest.raises(FileError, match="File name too long"):
            self.write(path, {"kept.c": "int z;", "n" * 300: ""})
        assert path.exists() is there
        if there:
            assert [read_folder(path), manifest_path(path).read_bytes()] == before
