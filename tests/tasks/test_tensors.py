"""Models with the task `tensor`: a regression, and one with two inputs and two outputs; exported, checked and run."""

import json
import os
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from support.task_models import regression, rows, save, two_by_two, views

from fmnist_edge import checkpoints, cli
from fmnist_edge.benchmark.loop import Request, measure, measure_memory
from fmnist_edge.catalog.gates import TENSOR_GATES, TensorGate
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ArtifactError, ExportError, InputError
from fmnist_edge.exporters.contracts import contract_for, preprocessing_for
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.several import answers
from fmnist_edge.exporters.tasks import TaskOptions
from fmnist_edge.jobs.bench import images_of
from fmnist_edge.parity.tensors import OutputReport, compare_tensors
from fmnist_edge.runtime import Classifier, Model
from fmnist_edge.runtime.manifest import Manifest, manifest_path

FILES = {
    "regression": ("float32.tflite", "int8.onnx"),
    "two": ("float32.tflite", "int8.tflite", "float32.onnx", "int8.onnx", "float32.keras"),
}
MODELS = {"regression": (regression, rows), "two": (two_by_two, views)}
OF_TWO = [("two", file) for file in FILES["two"]]
EACH = [(name, file) for name, files in FILES.items() for file in files]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("tensors")
    for name, (make, data) in MODELS.items():
        checkpoint, given = checkpoints.load(save(make(), found)), data()
        np.savez(found / f"{name}.npz", **(given if isinstance(given, dict) else {"row": given}))
        decision = preprocessing_for(checkpoint).preprocessing
        contract = contract_for(checkpoint, decision, None, options=TaskOptions("tensor"))
        for file in FILES[name]:
            precision, format = file.split(".")
            export(checkpoint, get_precision(format, precision), contract, found / "exported" / name, calibration=given)
    return found


def path_of(folder, name, file):
    return folder / "exported" / name / file


@pytest.fixture(scope="module")
def expected(folder):
    """name -> (inputs, the Keras model's outputs)"""
    found = {}
    for name, (_, data) in MODELS.items():
        given, model = data(), checkpoints.load(folder / f"{name}.keras").model
        outputs = answers(model, list(given.values()) if isinstance(given, dict) else [given])
        names = ("price",) if name == "regression" else ("steering", "mask")
        found[name] = given, dict(zip(names, map(np.asarray, outputs), strict=True))
    return found


@pytest.mark.parametrize(("name", "file"), EACH)
def test_the_outputs_are_keras_s_by_name(folder, expected, name, file):
    given, outputs = expected[name]
    with Model.load(path_of(folder, name, file), verify=True) as model:
        found = model(given)
        assert [tensor.name for tensor in model.outputs] == list(outputs) == list(found)
    for key, want in outputs.items():
        assert found[key].dtype == np.float32 and found[key].shape == want.shape
        assert np.abs(found[key] - want).max() < (0.05 if "int8" in file else 1e-5) * np.abs(want).max()


@pytest.mark.parametrize(("name", "file"), OF_TWO)
def test_one_example_needs_no_batch_axis(folder, expected, name, file):
    given, outputs = expected[name]
    with Model.load(path_of(folder, name, file)) as model:
        one = model({key: array[3] for key, array in given.items()})
        batch = model(given)
    assert one["steering"].shape == (3,) and one["mask"].shape == (8, 8, 1)
    assert all(np.allclose(one[key], batch[key][3], atol=1e-5) for key in outputs)


def test_inputs_that_do_not_fit_are_refused_in_one_line(folder):
    given = {key: array[:4] for key, array in views().items()}
    wrong = [
        (given["view"], "expected {name: array} with the names view, motion"),
        ({"view": given["view"]}, "expected view, motion"),
        ({**given, "other": given["view"]}, "expected view, motion"),
        ({**given, "motion": given["motion"][:, :3]}, r"'motion' has the shape \(4, 3\); expected \(4,\)"),
        ({**given, "motion": given["motion"][:3]}, "4 of view, 3 of motion"),
        ({**given, "motion": given["motion"][0]}, "some inputs have a batch axis"),
        ({**given, "motion": given["motion"].astype(int)}, "'motion' is int64; expected a float type"),
        ({**given, "view": given["view"].astype(np.uint8)}, "'view' is uint8; expected a float type"),
        ({**given, "motion": given["motion"] * np.inf}, "NaN or infinity"),
        ({key: array[:0] for key, array in given.items()}, "at least 1"),
    ]
    with Model.load(path_of(folder, "two", "int8.tflite")) as model:
        for inputs, reason in wrong:
            with pytest.raises(InputError, match=reason) as error:
                model(inputs)
            assert "\n" not in str(error.value)
        assert model({key: array.astype(np.float64) for key, array in given.items()})["mask"].shape == (4, 8, 8, 1)
    with pytest.raises(InputError, match="the model is closed"):
        model(given)


@pytest.mark.parametrize("engine", ["numpy", "litert-compiled"])
def test_an_engine_for_one_input_refuses_by_name(folder, engine):
    path = path_of(folder, "two", "float32.tflite")
    with pytest.raises(ArtifactError, match=f"engine {engine} runs models with one input and one output, and this"):
        Model.load(path, engine=engine)
    with Model.load(path_of(folder, "regression", "float32.tflite"), engine=engine, verify=True) as model:
        assert model(rows(2))["price"].shape == (2, 1)


def test_a_classifier_refuses_and_a_model_runs_classifiers(folder, linear_models):
    with pytest.raises(ArtifactError, match="task is tensor"):
        Classifier.load(path_of(folder, "regression", "float32.tflite"))
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28, 1)).astype(np.uint8)
    for name in ("int8.tflite", "dynamic.onnx"):
        with Model.load(linear_models[name]) as model, Classifier.load(linear_models[name]) as classify:
            assert np.array_equal(model(pixels)["scores"], classify.scores(pixels))
            assert np.allclose(model(pixels / np.float32(255))["scores"], classify.scores(pixels), atol=1e-5)


def test_a_file_without_its_manifest_has_the_names_inside(folder, tmp_path):
    for file in ("int8.tflite", "float32.onnx"):
        content = path_of(folder, "two", file).read_bytes()
        (tmp_path / file).write_bytes(content)
        with Model.load(tmp_path / file) as model, Model.load(content, engine=None) as same:
            assert [item.name for item in (*model.inputs, *model.outputs)] == ["view", "motion", "steering", "mask"]
            assert np.array_equal(model(views(2))["mask"], same(views(2))["mask"])


def test_threads_and_forked_children_share_a_model(folder):
    given = views(4)
    with Model.load(path_of(folder, "two", "float32.tflite")) as model:
        expected = model(given)["steering"]
        wrong = []

        def work():
            for _ in range(20):
                if not np.array_equal(model(given)["steering"], expected):
                    wrong.append(1)

        workers = [threading.Thread(target=work) for _ in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not wrong
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(model(given)["steering"], expected) else 7)
        assert os.waitpid(child, 0)[1] == 0


def test_check_and_doctor(folder, expected, capsys):
    checked = {"regression": ["int8.onnx"], "two": ["int8.tflite", "float32.onnx"]}
    paths = [str(path_of(folder, name, file)) for name, files in checked.items() for file in files]
    for name, files in checked.items():
        command = ["check", *(str(path_of(folder, name, file)) for file in files), "--record"]
        command += ["--reference", str(folder / f"{name}.keras")]
        command += ["--images", str(folder / f"{name}.npz"), "--report", str(folder / f"{name}.json")]
        assert cli.main(command) == 0
        out = capsys.readouterr().out
        assert "SQNR dB" in out and "FAIL" not in out
        rows = json.loads((folder / f"{name}.json").read_text())["rows"]
        assert [row["images"] for row in rows] == [{"regression": 64, "two": 48}[name]] * len(files)
        for row in rows:
            assert [output["name"] for output in row["task"]["outputs"]] == list(expected[name][1])
    assert cli.main(["doctor", "-v", *paths]) == 0
    out = capsys.readouterr().out
    assert "3 steering" in out and "3 mask" in out and "pass, 100.00 % agreement" in out


def test_doctor_finds_another_output(folder, tmp_path, capsys):
    path = tmp_path / "int8.tflite"
    path.write_bytes(path_of(folder, "two", "int8.tflite").read_bytes())
    manifest = json.loads(manifest_path(path_of(folder, "two", "int8.tflite")).read_text())
    manifest.pop("parity", None)
    outputs, inputs = manifest["golden"]["outputs"], manifest["golden"]["inputs"]
    outputs["mask"]["tolerance"] = 0.0
    inputs["view"]["zlib_base64"] = zeros(inputs["view"]["shape"])
    manifest_path(path).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="golden vectors differ"):
        Model.load(path, verify=True)
    assert cli.main(["doctor", str(path)]) == 1
    assert "FAIL" in capsys.readouterr().out


def zeros(shape):
    from fmnist_edge.runtime.golden import pack

    return pack(np.zeros(shape, np.float32))["zlib_base64"]


@pytest.mark.parametrize("damage", [
    lambda golden: golden.pop("inputs"), lambda golden: golden["outputs"].pop("mask"),
    lambda golden: golden["outputs"]["mask"].update(tolerance=-1), lambda golden: golden["inputs"].update(view=3),
    lambda golden: golden["outputs"]["mask"].update(shape=[16, 64]),
])  # fmt: skip
def test_damaged_golden_vectors_are_refused(folder, damage, tmp_path):
    path = tmp_path / "float32.onnx"
    path.write_bytes(path_of(folder, "two", "float32.onnx").read_bytes())
    manifest = json.loads(manifest_path(path_of(folder, "two", "float32.onnx")).read_text())
    damage(manifest["golden"])
    manifest_path(path).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match=r"golden vectors: .* the manifest is damaged"):
        Model.load(path, verify=True)


def test_measures_against_numpy():
    rng = np.random.default_rng(3)
    want = rng.normal(size=(50, 7)).astype(np.float32)
    have = want + rng.normal(scale=0.01, size=want.shape).astype(np.float32)
    report = OutputReport.of("y", want, have)
    noise = (have.astype(float) - want).std() / want.astype(float).std()
    assert report.sqnr_db == pytest.approx(-20 * np.log10(noise), abs=0.2)
    assert report.relative_error == pytest.approx(np.abs(have - want).max() / np.abs(want).max(), rel=1e-5)
    assert report.cosine == pytest.approx(np.corrcoef(want.ravel(), have.ravel())[0, 1], abs=1e-3)
    same = OutputReport.of("y", want, want)
    assert (same.relative_error, same.sqnr_db, same.max_abs_delta) == (0, None, 0)
    assert same.cosine == pytest.approx(1)


@pytest.mark.parametrize(("scale", "kind", "passes"), [
    (1e-5, "float", True), (3e-3, "float", False), (3e-3, "half", True), (0.03, "half", False), (0.03, "integer", True),
    (0.3, "integer", False),
])  # fmt: skip
def test_gates(scale, kind, passes):
    want = np.random.default_rng(5).normal(size=(40, 3))
    report = compare_tensors({"y": want}, {"y": want + scale * np.sign(want)}, TENSOR_GATES[kind])
    assert report.passed is passes and (report.outcome == "pass") is passes
    assert passes or "output 'y' has" in report.failures[0]


def test_an_output_of_zeros_and_one_that_is_swapped():
    gate = TensorGate(0.2, 20, 0.99)
    zero, one = np.zeros((4, 2)), np.ones((4, 2))
    assert compare_tensors({"y": zero}, {"y": zero}, gate).passed
    swapped = compare_tensors({"y": zero, "z": one}, {"y": one, "z": zero}, gate)
    assert not swapped.passed and json.dumps(swapped.as_dict(), allow_nan=False)
    with pytest.raises(InputError, match="NaN"):
        compare_tensors({"y": one}, {"y": one * np.nan}, gate)
    with pytest.raises(InputError, match="expected the same"):
        compare_tensors({"y": one}, {"z": one}, gate)


def test_exports_that_are_refused(folder, tmp_path):
    checkpoint = checkpoints.load(folder / "two.keras")
    contract = Manifest.read(path_of(folder, "two", "int8.tflite")).contract
    for format, precision, reason in [
        ("ncnn", "float32", "2 inputs and 2 outputs, and ncnn export"),
        ("c", "int8_only", "2 inputs and 2 outputs, and c export"),
    ]:
        with pytest.raises(ExportError, match=reason):
            export(checkpoint, get_precision(format, precision), contract, tmp_path, calibration=views())
    with pytest.raises(InputError, match="expected view, motion"):
        export(checkpoint, get_precision("onnx", "int8"), contract, tmp_path, calibration={"view": views()["view"]})
    with pytest.raises(InputError, match="an array for each of: view, motion"):
        export(checkpoint, get_precision("onnx", "int8"), contract, tmp_path, calibration=views()["view"])
    with pytest.raises(InputError, match=r"FILE.npz with the arrays view \(10, 10, 2\), motion \(4,\)"):
        export(checkpoint, get_precision("onnx", "int8"), contract, tmp_path)
    with pytest.raises(InputError, match="2 inputs"):
        preprocessing_for(checkpoint, scale=0.5)
    with pytest.raises(InputError, match="say --task tensor"):
        contract_for(checkpoint, contract.preprocessing, None, options=TaskOptions("classification"))


@pytest.mark.parametrize(
    ("name", "file"), [("two", "int8.tflite"), ("two", "float32.onnx"), ("regression", "int8.onnx")]
)
def test_bench_times_a_model_of_tensors(folder, tmp_path, name, file):
    np.save(tmp_path / "images.npy", np.zeros((4, 28, 28), np.uint8))
    path, engine = path_of(folder, name, file), "litert" if "tflite" in file else "onnxruntime"
    request = Request(str(path), engine, 1, 1, str(tmp_path / "images.npy"), 0.01, 0.01, 5, 1, 0.0)
    found = measure(request)
    assert (found["status"], found["images"], found["placement"]) == ("measured", "golden", None)
    assert found["first_ns"] > 0 and found["engine"]["elapsed_ns"] > 0 and found["end_to_end"]["windows"]
    assert measure_memory(request)["status"] == "measured"
    given = images_of(SimpleNamespace(images=str(folder / f"{name}.npz"), skip_bad=False), path).images
    np.save(tmp_path / "images.npy", given)
    assert len(given) == min(64, len(next(iter(np.load(folder / f"{name}.npz").values()))))
    assert measure(request)["images"] == "given"


def test_what_explain_and_matrix_cannot_do_they_refuse_by_name(folder, capsys):
    path = str(path_of(folder, "two", "int8.tflite"))
    options = ["--reference", str(folder / "two.keras"), "--images", str(folder / "two.npz")]
    assert cli.main(["explain", path, *options]) == 2
    assert "from one input to one output" in capsys.readouterr().err
    assert cli.main(["matrix", path]) == 2
    assert "its task is tensor, and the matrix counts" in capsys.readouterr().err


def test_explain_finds_the_layers_of_a_regression(folder, capsys, tmp_path):
    path, arrays = path_of(folder, "regression", "int8.onnx"), tmp_path / "rows.npy"
    np.save(arrays, rows(20))
    options = ["--reference", str(folder / "regression.keras"), "--images", str(arrays)]
    assert cli.main(["explain", str(path), *options, "--report", str(tmp_path / "explain.json")]) == 0
    out = capsys.readouterr().out
    assert "price" in out and "--task=tensor" in out and "--scale" not in out
