"""`export FILE.tflite --format c`: contract, names, options and refusals. The bits are in test_c.py."""

import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT, c_folder
from support.installed import needs
from support.web_models import needs_wasm_compiler

import fmnist_edge
from fmnist_edge.artifact import Artifact
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError, ExportError, InputError
from fmnist_edge.exporters import tflite_input
from fmnist_edge.exporters.tflite_contract import ContractOptions, contract_of, preprocessing_of
from fmnist_edge.exporters.tflite_input import TFLiteInput, head_of, is_tflite
from fmnist_edge.exporters.tflite_sources import EXPORTED_FROM
from fmnist_edge.jobs.export import ExportOptions, requests
from fmnist_edge.runtime import Preprocessing
from fmnist_edge.runtime.embedded import KEY
from fmnist_edge.runtime.flatbuffer import RefusedError
from fmnist_edge.runtime.folder import read_folder, sha256_of_files, unpack
from fmnist_edge.runtime.manifest import Manifest, manifest_path

SHIPPED = ROOT / "exported/compact_cnn/int8.tflite"
UNITS = {"unit": (-128, 1 / 255), "pixels": (-128, 1.0), "signed": (0, 1 / 127.5)}


@pytest.fixture
def shipped(tmp_path):
    """A copy of compact_cnn's file with its manifest."""
    for path in (SHIPPED, manifest_path(SHIPPED)):
        shutil.copy(path, tmp_path)
    return tmp_path / SHIPPED.name


@pytest.fixture
def bare(tmp_path):
    """The same file as somebody else's: no manifest, no contract inside."""
    path = tmp_path / "mine.tflite"
    content = SHIPPED.read_bytes()
    assert content.count(KEY.encode()) == 1
    path.write_bytes(content.replace(KEY.encode(), KEY.upper().encode()))
    return path


def read(path):
    return TFLiteInput.read(path, "C")


def contract(path, **options):
    file, given = read(path), ContractOptions(**options)
    return contract_of(file, given, preprocessing_of(file, given))


def with_input(file, zero_point, scale):
    """The same file with another scale and zero point of the input tensor."""
    tensor = file.model.input
    used = replace(tensor.quantization, scales=np.float32([scale]), zero_points=np.array([zero_point]))
    return replace(file, model=replace(file.model, input=replace(tensor, quantization=used)))


class TestArtifact:
    def test_a_shipped_file_gives_the_sources_of_its_keras_model(self, shipped, tmp_path, capsys):
        out = tmp_path / "out"
        assert main(["export", str(shipped), "--format", "c", "--out", str(out)]) == 0
        assert "by the contract of int8.tflite.json" in capsys.readouterr().out
        made, expected = Artifact.open(out / "compact_cnn/int8_only.c"), c_folder(SHIPPED, tmp_path / "expected")
        assert unpack(read_folder(made.path)) == unpack(read_folder(expected.path))
        assert made.manifest.sha256 == sha256_of_files(unpack(read_folder(made.path)))
        source = Manifest.read(SHIPPED)
        assert made.contract == source.contract and made.manifest.model == source.model
        digest = hashlib.sha256(SHIPPED.read_bytes()).hexdigest()
        found = made.manifest.document
        assert found[EXPORTED_FROM] == {"format": "tflite", "file": "int8.tflite", "sha256": digest}
        assert found["tflite_sha256"] == digest and made.manifest.calibration == source.calibration
        golden, before = made.manifest.golden_vectors(), source.golden_vectors()
        assert np.array_equal(golden.images, before.images) and golden.engine.startswith("numpy")
        assert np.abs(golden.scores - before.scores).max() <= before.tolerance
        assert not (out / "compact_cnn/project.toml").exists()

    def test_needs_numpy_alone(self, bare, tmp_path):
        code = (
            "import sys\n"
            "for name in ('tensorflow', 'keras', 'ai_edge_litert', 'flatbuffers', 'PIL'): sys.modules[name] = None\n"
            "from fmnist_edge.conversion.from_tflite import export_here, TFLiteJob\n"
            "from dataclasses import asdict\n"
            "job = TFLiteJob(sys.argv[1], sys.argv[2], 'c')\n"
            "print(export_here(asdict(job), print)['path'])\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code, bare, tmp_path / "out"], capture_output=True, text=True, check=True, cwd=ROOT
        )
        assert done.stdout.strip() == str(tmp_path / "out/mine/int8_only.c")
        assert (
            Manifest.read(tmp_path / "out/mine/int8_only.c").require_model().sha256
            == hashlib.sha256(bare.read_bytes()).hexdigest()
        )

    @pytest.mark.slow
    @needs_c_compiler()
    def test_other_commands_take_the_folder(self, bare, tmp_path, capsys):
        out, labels = tmp_path / "out", tmp_path / "labels.txt"
        labels.write_text("".join(f"label {number}\n" for number in range(10)))
        options = ["--labels", str(labels), "--name", "My net", "--out", str(out)]
        assert main(["export", str(bare), "--format", "c", *options]) == 0
        assert "mine.tflite: input is pixels / 255 (0 to 1), the default" in capsys.readouterr().out
        folder = out / "My net/int8_only.c"
        program = [c_compiler(), *STRICT, *folder.glob("*.c"), "-o", tmp_path / "test"]
        subprocess.run(program, check=True)
        assert subprocess.run([tmp_path / "test"], check=False).returncode == 0
        report = ["--report", str(tmp_path / "doctor.json")]
        assert main(["doctor", str(folder), *report]) == 0
        assert main(["classify", str(folder), str(ROOT / "examples/images/0002-trouser.png")]) == 0
        assert "label 1" in capsys.readouterr().out
        np.save(tmp_path / "images.npy", np.zeros((4, 28, 28, 1), np.uint8))
        check = ["check", str(folder), "--images", str(tmp_path / "images.npy")]
        for command in (check, ["reproduce", str(folder)]):
            assert main([*command, "--report", str(tmp_path / "report.json")]) == 2
            said = capsys.readouterr().err
            assert "made of a .tflite file" in said and said.count("\n") == 1

    @pytest.mark.slow
    @needs_wasm_compiler()
    def test_web(self, shipped, tmp_path):
        assert main(["export", str(shipped), "--format", "web", "--out", str(tmp_path / "out")]) == 0
        folder = tmp_path / "out/compact_cnn/int8_only.web"
        ours = ROOT / "exported/compact_cnn/int8_only.web"
        assert {path.name for path in folder.iterdir()} == {path.name for path in ours.iterdir()}
        assert (folder / "weights.bin").read_bytes() == (ours / "weights.bin").read_bytes()
        assert json.loads((folder / "manifest.json").read_text())[EXPORTED_FROM]["file"] == "int8.tflite"

    def test_python_api(self, bare, tmp_path):
        labels = [f"label {number}" for number in range(10)]
        images = (np.full((28, 28, 1), level, np.uint8) for level in range(20))
        made = fmnist_edge.export(bare, images, format="c", labels=labels, name="net", out=tmp_path / "out")
        (file,) = made.files
        assert file.path == tmp_path / "out/net/int8_only.c" and made.project is None
        manifest = Manifest.read(file.path)
        assert manifest.contract.labels == tuple(labels)
        assert set(manifest.golden_vectors().images.ravel().tolist()) <= set(range(20))


class TestContract:
    def test_manifest_then_the_one_inside_then_defaults(self, shipped, bare):
        known = Manifest.read(shipped).contract
        assert read(shipped).source == "of int8.tflite.json" and contract(shipped) == known
        manifest_path(shipped).unlink()
        assert read(shipped).source == "inside the file" and contract(shipped) == known
        assert read(bare).source == "" and read(bare).contract is None
        found = contract(bare)
        assert found.labels == tuple(f"class {number}" for number in range(10))
        assert (found.input_shape, found.output, found.preprocessing) == ((28, 28, 1), "logits", Preprocessing())
        assert (found.polarity, found.resize, found.fit) == (None, "bilinear", "stretch")

    def test_options_win(self, shipped, tmp_path):
        (tmp_path / "labels.txt").write_text("\n".join("abcdefghij"))
        known = contract(shipped)
        found = contract(
            shipped,
            labels=str(tmp_path / "labels.txt"),
            polarity="either",
            resize="box",
            fit="letterbox",
            fill=7,
            scale=1 / 127.5,
            mean=1.0,
        )
        assert (found.labels, found.polarity, found.resize) == (tuple("abcdefghij"), None, "box")
        assert (found.fit, found.fill) == ("letterbox", 7)
        assert found.preprocessing == Preprocessing(1 / 127.5, 1.0)
        assert contract(shipped, resize="box") == replace(known, resize="box")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"preprocess": "model"}, "reads the first layers of a Keras model"),
            ({"preprocess": "tf", "scale": 1.0}, "leave it out, or leave out --scale"),
            ({"preprocess": "imagenet"}, "for images of 3 channels"),
            ({"channel_order": "BGR"}, "3 channels"),
            ({"task": "binary"}, "expected one output"),
            ({"task": "tensor"}, "as task tensor; C and web have labels and scores"),
            ({"positive": "x"}, "--positive is for the task binary"),
            ({"thresholds": (0.5,)}, "--threshold is for the tasks"),
            ({"fill": 7}, "only letterbox has bars"),
        ],
    )
    def test_options_that_do_not_fit(self, bare, options, message):
        with pytest.raises((InputError, ExportError), match=message):
            contract(bare, **options)

    def test_labels_of_another_number(self, bare, tmp_path):
        (tmp_path / "labels.txt").write_text("a\nb\n")
        with pytest.raises(InputError, match="2 labels for a model of 10 classes"):
            contract(bare, labels=str(tmp_path / "labels.txt"))

    @pytest.mark.parametrize("unit", UNITS)
    def test_an_input_that_was_made_for_another_range_is_a_warning(self, bare, unit):
        """Whoever leaves the preprocessing out is told which one the file was not made for."""
        file = with_input(read(bare), *UNITS[unit])
        presets = {"unit": "unit", "pixels": "none", "signed": "tf"}
        for name, preset in presets.items():
            warnings = preprocessing_of(file, ContractOptions(preprocess=preset)).warnings
            assert bool(warnings) == (name != unit), (preset, warnings)
        default = preprocessing_of(file, ContractOptions())
        assert default.source == "default" and bool(default.warnings) == (unit != "unit")
        assert all("say how the model was trained" in line for line in default.warnings)

    def test_strict(self, bare, tmp_path, capsys):
        arguments = [
            "export",
            str(bare),
            "--format",
            "c",
            "--preprocess",
            "none",
            "--strict",
            "--out",
            str(tmp_path / "o"),
        ]
        assert main(arguments) == 2
        assert "holds 0 to" in capsys.readouterr().err and not (tmp_path / "o").exists()

    def test_the_contract_of_another_file(self, shipped):
        document = json.loads(manifest_path(shipped).read_text())
        document["contract"]["input_shape"] = [32, 32, 1]
        shipped.write_bytes(shipped.read_bytes().replace(KEY.encode(), KEY.upper().encode()))
        document["sha256"] = hashlib.sha256(shipped.read_bytes()).hexdigest()
        manifest_path(shipped).write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"takes \(28, 28, 1\) .* it is not this file's"):
            contract(shipped)

    def test_a_manifest_that_is_not_the_files(self, shipped):
        shipped.write_bytes(shipped.read_bytes() + b"\0")
        with pytest.raises(ArtifactError, match="SHA-256 is"):
            read(shipped)


class TestHead:
    @pytest.mark.parametrize(
        ("kind", "head"), [("SOFTMAX", "softmax"), ("LOGISTIC", "sigmoid"), ("RELU6", "relu6"), ("ADD", "linear")]
    )
    def test_the_last_op_that_changes_the_scores(self, bare, kind, head):
        model = read(bare).model
        last = replace(model.ops[-1], kind=kind)
        end = replace(model.output, index=9999)
        after = replace(last, kind="QUANTIZE", inputs=(model.output,), output=end)
        assert head_of(replace(model, ops=(*model.ops[:-1], last))) == head
        assert head_of(replace(model, ops=(*model.ops[:-1], last, after), output=end)) == head

    def test_an_op_that_reads_its_own_output(self, bare):
        model = read(bare).model
        loop = replace(model.ops[-1], kind="RESHAPE", inputs=(model.output,))
        assert head_of(replace(model, ops=(loop,))) == "linear"

    def test_probabilities_and_tasks(self, bare):
        file = read(bare)
        for kind, output, task in (
            ("SOFTMAX", "probabilities", "classification"),
            ("LOGISTIC", "probabilities", "multilabel"),
        ):
            ops = (*file.model.ops[:-1], replace(file.model.ops[-1], kind=kind))
            changed = replace(file, model=replace(file.model, ops=ops))
            found = contract_of(changed, ContractOptions(), preprocessing_of(changed, ContractOptions()))
            assert (found.output, found.task) == (output, task)


class TestRefusals:
    @pytest.mark.parametrize(
        "options",
        [
            {"precision": ["int8_only"]}, {"batch": 4}, {"batch": None}, {"keep_float": ["dense"]},
            {"tune_accuracy": 0.2}, {"budget": 3.0}, {"io": "int8"}, {"per_tensor": True}, {"opset": 15},
            {"oldest": ["tflite-runtime-2.14"]},
            {"input": "image"}, {"test": "x.npy"}, {"test_labels": "y.npy"},
        ],
    )  # fmt: skip
    def test_options_for_keras_models_by_name(self, bare, options):
        (name,) = options
        with pytest.raises(InputError, match=f"^--{name.replace('_', '-')}: not for .*mine.tflite"):
            requests(ExportOptions(format="c", **options), [str(bare)])

    @pytest.mark.parametrize("format", ["all", "tflite", "onnx", "c-array"])
    def test_other_formats(self, bare, format):
        with pytest.raises(InputError, match="converted already; say --format c or --format web"):
            requests(ExportOptions(format=format), [str(bare)])

    @pytest.mark.parametrize("models", [["tiny_resnet"], ["mine.tflite", "mine.tflite"]])
    def test_a_name_is_for_one_file(self, bare, models, monkeypatch):
        monkeypatch.chdir(bare.parent)
        with pytest.raises(InputError, match=r"--name is for one \.tflite file"):
            requests(ExportOptions(format="c", name="x"), models)

    @pytest.mark.parametrize("name", ["../x", "/x", "", ".", "..", ".x", "a/b", "a\nb", "x" * 300])
    def test_names_that_are_no_folders(self, bare, name):
        with pytest.raises(InputError, match="no name of a folder; give another by --name"):
            requests(ExportOptions(format="c", name=name), [str(bare)])

    def test_a_name_in_a_manifest_that_leads_elsewhere(self, shipped, tmp_path, capsys):
        document = json.loads(manifest_path(shipped).read_text())
        document["model"]["name"] = "../../elsewhere"
        manifest_path(shipped).write_text(json.dumps(document))
        assert main(["export", str(shipped), "--format", "c", "--out", str(tmp_path / "a/b")]) == 2
        assert "no name of a folder" in capsys.readouterr().err
        assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.tflite", "int8.tflite.json"]

    def test_interfaces(self, bare):
        model = read(bare).model
        for kind in ("input", "output"):
            tensor = getattr(model, kind)
            for dtype in ("float32", "uint8"):
                with pytest.raises(
                    RefusedError, match=f"its {kind} is {dtype}, expected int8, .*; convert the model again"
                ):
                    tflite_input.check_interface(replace(model, **{kind: replace(tensor, dtype=dtype)}))
            for shape in ((2, *tensor.shape[1:]), (1, 3, 4, 5, 6), (1,)):
                with pytest.raises(RefusedError, match=f"its {kind} has the shape"):
                    tflite_input.check_interface(replace(model, **{kind: replace(tensor, shape=shape)}))
            for scale in (0.0, -1.0, float("nan"), float("inf"), 3e38):
                used = replace(tensor.quantization, scales=np.float32([scale]))
                with pytest.raises(RefusedError, match=f"damaged: its {kind} has the scale"):
                    tflite_input.check_interface(replace(model, **{kind: replace(tensor, quantization=used)}))

    @pytest.mark.parametrize(
        ("reason", "said"),
        [
            ("there is no C kernel for builtin op 65", "no C kernel for SLICE; replace that part"),
            ("there is no C kernel for builtin op 209", "no C kernel for builtin op 209; replace that part"),
            ("damaged: no graph in it", "damaged: no graph in it; get the file again"),
            ("this engine has no int8 kernel for PAD; engine='litert' has more", "kernel for PAD; replace that part"),
        ],
    )
    def test_reasons(self, reason, said):
        with pytest.raises(ExportError) as refusal, tflite_input.refused_as_one(Path("x.tflite"), "C"):
            raise RefusedError(reason)
        assert str(refusal.value).startswith("x.tflite: cannot be exported as C: ") and said in str(refusal.value)

    @needs("ai_edge_litert")
    def test_the_numbers_of_ops_are_the_schemas(self):
        """Read as text: importing the package would load its libraries."""
        folder = Path(importlib.util.find_spec("ai_edge_litert").submodule_search_locations[0])
        text = (folder / "schema_py_generated.py").read_text()
        listed = re.search(r"^class BuiltinOperator\b.*?^class ", text, re.DOTALL | re.MULTILINE)[0]
        numbers = {int(number): name for name, number in re.findall(r"^ +(\w+) = (\d+)$", listed, re.MULTILINE)}
        for number, name in tflite_input.OTHER_OPS.items():
            assert numbers[number] == name

    def test_what_is_a_tflite_file(self, tmp_path):
        contents = {"a.tflite": b"\x1c\0\0\0TFL3", "b.bin": b"\x1c\0\0\0TFL3", "c.tflite": b"", "d.tflite": b"PK\3\4",
                    "e.keras": b"PK\3\4", "f.h5": b"\x89HDF\r\n"}  # fmt: skip
        for name, content in contents.items():
            (tmp_path / name).write_bytes(content)
        assert [name for name in contents if is_tflite(tmp_path / name)] == ["a.tflite", "b.bin", "c.tflite"]
        assert not is_tflite(tmp_path) and not is_tflite(tmp_path / "missing.tflite") and not is_tflite("a\0b")
