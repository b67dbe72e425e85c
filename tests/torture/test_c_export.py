"""`export --format c` on hostile input: sources that compile and answer as the numpy engine does, or one line."""

import ctypes
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT

from fmnist_edge.artifact import Artifact
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError
from fmnist_edge.exporters.c.source import c_name
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.folder import read_folder
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from torture import tflite_attacks

LABELS = (
    'a "quoted" \\ label', "what??/", "*/ int x; /*", "@name@ %s \\0 \\n", "é7\u202e", "'", "#define x ??="
)  # fmt: skip
NAMES = ('a "quoted" ??= \\ name', "*@name@%s", "int")
SHAPE = (12, 12, 1)


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


@pytest.mark.slow
def test_tflite_files_are_no_input(inputs, tmp_path, capfd):
    """Sound or not: export starts from a Keras model, and says so."""
    sound, rng = (ROOT / "exported/compact_cnn/int8.tflite").read_bytes(), np.random.default_rng(5)
    attacks = {name: tflite_attacks.ATTACKS[name] for name in ("shapes", "lengths")}  # five seconds for each
    files = [tmp_path / "sound.tflite", *(tmp_path / f"{name}.tflite" for name in attacks)]
    for path, content in zip(files, [sound, *(attack(sound, rng) for attack in attacks.values())], strict=True):
        path.write_bytes(content)
    assert export(inputs, files, tmp_path / "out") == 2
    said = capfd.readouterr().err
    assert refused_in_one_line(said) and "sound.tflite: is a .tflite file; expected the .keras" in said
    assert files_in(tmp_path / "out") == []


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
