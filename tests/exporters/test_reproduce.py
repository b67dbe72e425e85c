"""The same model and recipe give the same bytes in another process and folder; a manifest is enough to reproduce."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT
from support.linear import linear_onnx
from support.small_model import images, small_model

from fmnist_edge import checkpoints
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError, ExportError
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.flatbuffer import pack, unpack
from fmnist_edge.exporters.recovery.equalise import equalise
from fmnist_edge.exporters.reproduce import Recipe, apply_remedy
from fmnist_edge.exporters.sections import differences
from fmnist_edge.files import sha256_of
from fmnist_edge.worker.calls import child_environment

pytestmark = pytest.mark.slow  # exports in every precision

SHIPPED = ROOT / "exported/compact_cnn/int8.tflite"
PRECISIONS = ("float32", "dynamic_int8", "int8")  # test_export.py exports all of them twice in one process
values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A user's own model and images, and their exports by another process."""
    folder = tmp_path_factory.mktemp("own")
    small_model().save(folder / "mine.keras")
    np.save(folder / "images.npy", images())
    named = [option for name in PRECISIONS for option in ("--precision", name)]
    command = [sys.executable, "-m", "fmnist_edge", "export", "mine.keras", "--calibration", "images.npy", *named]
    environment = {**child_environment(), "PYTHONHASHSEED": "1"}
    subprocess.run([*command, "--out", "out"], cwd=folder, env=environment, capture_output=True, check=True)
    return folder


@pytest.fixture
def copy(own, tmp_path):
    """A copy of some of the exports, which a test may change."""
    for name in ("float32.onnx", "int8.tflite"):
        for file in (name, f"{name}.json"):
            shutil.copy(own / "out/mine" / file, tmp_path)
    return tmp_path


def again(own: Path, tmp_path: Path, *manifests: Path, model: str = "mine.keras") -> int:
    options = ["--model", str(own / model), "--calibration", str(own / "images.npy")]
    return main(["reproduce", *map(str, manifests), *options, "--report", str(tmp_path / "report.json")])


@pytest.mark.slow
def test_another_process_and_folder_give_the_same_bytes(own, tmp_path, capsys):
    assert os.environ.get("PYTHONHASHSEED") != "1"
    manifests = sorted((own / "out/mine").glob("*.json"))
    assert len(manifests) == 2 * len(PRECISIONS)
    assert again(own, tmp_path, *manifests) == 0
    assert capsys.readouterr().out.count(": identical (") == len(manifests)
    report = json.loads((tmp_path / "report.json").read_text())
    assert all(item["identical"] and not item["differences"] for item in report["artifacts"])


def test_an_export_contains_no_time_and_no_path(own):
    for path in (own / "out/mine").iterdir():
        content = path.read_bytes()
        assert str(own).encode() not in content, path.name
        if path.suffix == ".json":
            assert not {"time", "date", "created", "seconds"} & set(keys(json.loads(content))), path.name


def keys(value):
    if isinstance(value, dict):
        yield from value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from keys(item)


def changed(path: Path, change) -> None:
    """Change a manifest, and set its hash to that of the file beside it."""
    file = path.with_name(path.name + ".json")
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps({**manifest, "sha256": sha256_of(path)}))


def test_differences_are_named(own, copy, tmp_path, capsys):
    graph = unpack((copy / "int8.tflite").read_bytes())
    sizes = [0 if buffer.data is None else len(buffer.data) for buffer in graph.buffers]
    tensor = next(item for item in graph.subgraphs[0].tensors if sizes[item.buffer] > 100)
    weights = graph.buffers[tensor.buffer].data.copy()
    weights[5] ^= 1
    graph.buffers[tensor.buffer].data = weights
    (copy / "int8.tflite").write_bytes(pack(graph))
    changed(copy / "int8.tflite", lambda manifest: manifest["versions"].update(keras="3.0"))
    changed(copy / "float32.onnx", lambda manifest: manifest["inputs"][0].update(name="other"))
    assert again(own, tmp_path, copy / "int8.tflite.json", copy / "float32.onnx") == 1
    message = capsys.readouterr().out
    assert f"tensor {tensor.name.decode()}: data (1 of " in message and "version of keras: was 3.0, is " in message
    assert "float32.onnx: differs\n  manifest: inputs\n" in message
    report = json.loads((tmp_path / "report.json").read_text())["artifacts"]
    assert [item["identical"] for item in report] == [False, False]


def test_a_manifest_alone_is_enough_and_a_version_is_not_a_difference(own, copy, tmp_path, capsys):
    changed(copy / "float32.onnx", lambda manifest: manifest["versions"].update(keras="3.0"))
    (copy / "float32.onnx").unlink()
    assert again(own, tmp_path, copy / "float32.onnx.json") == 0
    message = capsys.readouterr().out
    assert "float32.onnx: identical" in message and "version of keras: was 3.0, is " in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "was made from 'mine' (SHA-256 "),
        (["--model", "{own}/mine.keras"], "give them with --calibration"),
        (["--model", "compact_cnn", "--trained", str(ROOT / "trained_model"), "--calibration", "{own}/images.npy"],
         "is not the model that"),
        (["--model", "{own}/mine.keras", "--calibration", "{other}/other.npy"], "not the images that"),
        (["--model", "{own}/none.keras"], "no such file"),
    ],
)  # fmt: skip
def test_another_model_or_other_images_are_refused(own, tmp_path, capsys, arguments, message):
    np.save(tmp_path / "other.npy", images()[1:])
    filled = [argument.format(own=own, other=tmp_path) for argument in arguments]
    manifest = str(own / "out/mine/int8.tflite.json")
    assert main(["reproduce", manifest, *filled, "--report", str(tmp_path / "report.json")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and message in err and err.count("\n") == 1


def test_a_file_that_does_not_match_its_manifest_is_refused(own, copy, tmp_path, capsys):
    (copy / "float32.onnx").write_bytes(b"x")
    assert again(own, tmp_path, copy / "float32.onnx.json") == 2
    assert "SHA-256 is not the one in its manifest" in capsys.readouterr().err


class TestRecipe:
    def test_is_read_from_the_manifest(self):
        recipe = Recipe.read(f"{SHIPPED}.json")
        assert (recipe.path, recipe.model.name, recipe.manifest.batch) == (SHIPPED, "compact_cnn", 1)
        assert recipe.precision.filename == "int8.tflite" and recipe.rung is None
        calibration = recipe.manifest.calibration
        assert (calibration.images, calibration.seed) == (500, 0), "manifests of before the seed had seed 0"

    @given(st.sampled_from(["model", "recipe", "batch", "keep_float", "calibration", "recovery", "golden", "contract"]),
           st.one_of(st.none(), st.sampled_from(["name", "sha256", "images", "seed", "rung", "format"])),
           values)  # fmt: skip
    def test_any_manifest_is_read_or_refused_in_one_line(self, tmp_path_factory, section, field, value):
        manifest = json.loads(Path(f"{SHIPPED}.json").read_text())
        if field is not None and isinstance(manifest.get(section), dict):
            manifest[section][field] = value
        else:
            manifest[section] = value
        path = tmp_path_factory.mktemp("hostile") / "int8.tflite.json"
        path.write_text(json.dumps(manifest))
        try:
            recipe = Recipe.read(path)
        except ArtifactError as error:
            assert str(error).startswith(str(path.parent)) and "\n" not in str(error)
        else:
            assert "/" not in recipe.precision.filename

    @pytest.mark.parametrize("name", ["../../escape", "/tmp/x", "a/b", ""])
    def test_a_precision_must_not_be_a_path(self, tmp_path, name):
        manifest = json.loads(Path(f"{SHIPPED}.json").read_text())
        manifest["recipe"]["name"] = name
        (tmp_path / "x.tflite.json").write_text(json.dumps(manifest))
        with pytest.raises(ArtifactError, match="not letters, digits and underscores"):
            Recipe.read(tmp_path / "x.tflite.json")

    def test_a_remedy_that_changed_weights_is_applied_again(self, own, tmp_path):
        manifest = json.loads((own / "out/mine/int8.tflite.json").read_text())
        manifest["recovery"] = {"rung": "equalisation", "weights_changed": True}
        (tmp_path / "int8.tflite.json").write_text(json.dumps(manifest))
        recipe = Recipe.read(tmp_path / "int8.tflite.json")
        checkpoint = checkpoints.load(own / "mine.keras")
        found = apply_remedy(recipe, checkpoint, Calibration(images(), "mine"), lambda: images()[::2])
        expected = equalise(checkpoint.model, recipe.manifest.contract.preprocessing.apply(images(), (12, 12, 1)))
        pairs = list(zip(found.get_weights(), expected.get_weights(), checkpoint.model.get_weights(), strict=True))
        assert all(np.array_equal(ours, theirs) for ours, theirs, _ in pairs)
        assert not all(np.array_equal(ours, before) for ours, _, before in pairs)


class TestDifferences:
    def test_of_onnx(self):
        import onnx

        before = linear_onnx(1)
        model = onnx.load_from_string(before)
        model.graph.node[1].name = "renamed"
        model.producer_version = "9"
        model.metadata_props.add(key="a", value="b")
        weights = bytearray(model.graph.initializer[0].raw_data)
        weights[:2] = b"\1\2"
        model.graph.initializer[0].raw_data = bytes(weights)
        lines = differences(before, model.SerializeToString(), "onnx")
        assert lines[0].startswith("file: ") and lines[1:] == [
            "op Gemm : not in the new one",
            "op Gemm renamed: in the new one alone",
            "metadata a: in the new one alone",
            "tensor w: data (2 of 31,360 bytes, the first at 0)",
            "header: producer (21 bytes, now 22)",
        ]

    def test_of_archives_and_of_formats_without_a_reader(self, tmp_path):
        contents = []
        for text in ("a", "b"):
            with zipfile.ZipFile(tmp_path / text, "w") as archive:
                archive.writestr("same", "x")
                archive.writestr("other", text)
            contents.append((tmp_path / text).read_bytes())
        assert differences(*contents, "ncnn")[1:] == ["member other: data (1 of 1 bytes, the first at 0)"]
        assert differences(b"abc", b"abd", "mnn") == ["file: 1 of 3 bytes, the first at 2"]
        assert differences(*contents[:1] * 2, "ncnn") == []

    @pytest.mark.parametrize("format", ["tflite", "onnx", "keras"])
    def test_of_a_damaged_file(self, format):
        with pytest.raises(ExportError, match=f"reading the {format} file failed"):
            differences(b"\xff" * 20, b"\xff" * 21, format)
