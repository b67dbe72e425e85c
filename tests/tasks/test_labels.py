"""Binary and multilabel models, and classifiers of sensors: exported, checked, and run on a device."""

import json

import numpy as np
import pytest
from support.task_models import images, of_images, samples, save, sensor

from fmnist_edge import checkpoints, cli
from fmnist_edge.catalog.precisions import get_precision
from fmnist_edge.errors import ArtifactError, ExportError, InputError
from fmnist_edge.exporters.contracts import contract_for, preprocessing_for
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.exporters.tasks import TaskOptions, task_of
from fmnist_edge.parity.matrix.suite import agreement
from fmnist_edge.runtime import Classifier, Contract, Preprocessing
from fmnist_edge.runtime.manifest import Manifest

FILES = {  # two of each, so that every format and precision has its turn
    "sigmoid": ("float32.tflite", "int8.onnx"),
    "logit": ("int8.tflite", "float32.onnx"),
    "several": ("int8.tflite", "float32.onnx"),
    "sensor": ("int8.tflite", "int8.onnx"),
}
MODELS = {
    "sigmoid": lambda: of_images(1, "sigmoid", "sigmoid"),
    "logit": lambda: of_images(1, None, "logit"),
    "several": lambda: of_images(4, "sigmoid", "several"),
    "sensor": sensor,
}
OPTIONS = {
    "logit": TaskOptions("binary", positive="cat", thresholds=(0.3,)),
    "several": TaskOptions(thresholds=(0.5, 0.4, 0.3, 0.6)),
}
INPUTS = {"sensor": samples}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("tasks")
    for name, make in MODELS.items():
        checkpoint = checkpoints.load(save(make(), found))
        given = INPUTS.get(name, images)()
        np.save(found / f"{name}.npy", given)
        contract = contract_for(
            checkpoint, preprocessing_for(checkpoint).preprocessing, None, options=OPTIONS.get(name)
        )
        for file in FILES[name]:
            precision, format = file.split(".")
            export(checkpoint, get_precision(format, precision), contract, found / "exported" / name, calibration=given)
    return found


def keras_scores(folder, name):
    given = INPUTS.get(name, images)()
    prepared = given if given.dtype == np.float32 else given / np.float32(255)
    return given, np.asarray(checkpoints.load(folder / f"{name}.keras").model(prepared))


def artifact(folder, name, file):
    return folder / "exported" / name / file


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize(("name", "threshold", "labels"), [
    ("sigmoid", 0.5, ("negative", "positive")), ("logit", 0.3, ("not cat", "cat")),
])  # fmt: skip
def test_binary_answers_by_its_threshold(folder, name, threshold, labels, turn):
    file = FILES[name][turn]
    given, scores = keras_scores(folder, name)
    expected = (scores if name == "sigmoid" else 1 / (1 + np.exp(-scores)))[:, 0]
    with Classifier.load(artifact(folder, name, file), verify=True) as classify:
        answers = classify(given)
    found = np.array([answer.probabilities[1] for answer in answers])
    assert np.abs(found - expected).max() < (0.05 if "int8" in file else 1e-5)
    for answer in answers:
        assert answer.index == int(answer.probabilities[1] > np.float32(threshold))
        assert answer.label == labels[answer.index] and answer.labels == (answer.label,)
        assert answer.confidence == answer.probabilities[answer.index]
        assert answer.probabilities.sum() == pytest.approx(1)
    assert {answer.label for answer in answers} == set(labels)
    assert np.mean([answer.index for answer in answers] == (expected > threshold)) > 0.9


@pytest.mark.parametrize("file", FILES["several"])
def test_multilabel_answers_with_the_labels_over_their_thresholds(folder, file):
    given, expected = keras_scores(folder, "several")
    thresholds = np.array([0.5, 0.4, 0.3, 0.6], np.float32)
    with Classifier.load(artifact(folder, "several", file), verify=True) as classify:
        answers, names = classify(given), classify.contract.labels
    rows = np.stack([answer.probabilities for answer in answers])
    assert np.abs(rows - expected).max() < (0.06 if "int8" in file else 1e-5)
    for answer, row in zip(answers, rows, strict=True):
        assert set(answer.labels) == {names[index] for index in np.flatnonzero(row > thresholds)}
        shown = [row[names.index(label)] for label in answer.labels]
        assert shown == sorted(shown, reverse=True)
        assert answer.label == (answer.labels[0] if answer.labels else None)
        assert answer.as_dict()["labels"] == list(answer.labels)
    assert len({answer.labels for answer in answers}) > 4


def test_numbers_of_any_range_are_taken_as_they_are(folder):
    given, expected = keras_scores(folder, "sensor")
    assert given.max() > 20
    for file in FILES["sensor"]:
        with Classifier.load(artifact(folder, "sensor", file), verify=True) as classify:
            classify.warm_up(1)
            assert np.abs(classify.scores(given) - expected).max() < (0.06 if "int8" in file else 1e-5)
            for wrong, reason in [(given.astype(np.uint8), "uint8"), (given * np.nan, "NaN"), (given[:, :9], "shape")]:
                with pytest.raises(InputError, match=reason):
                    classify(wrong)
            with pytest.raises(InputError, match="invert"):
                classify(given, invert="always")


def test_check_has_the_measures_of_each_task(folder, capsys):
    """Against scores that were computed here: what the table and the report show must be these."""
    rng = np.random.default_rng(1)
    _, scores = keras_scores(folder, "sigmoid")
    labels = (scores[:, 0] + rng.normal(0, 0.3, len(scores)) > 0.5).astype(int)
    report = check(folder, "sigmoid", labels)
    for row in report["rows"]:
        task = row["task"]
        assert row["reference_accuracy"] == pytest.approx(np.mean((scores[:, 0] > 0.5) == labels))
        pairs = scores[labels == 1] - scores[labels == 0].T
        assert task["reference_auc"] == pytest.approx(np.mean(pairs > 0) + np.mean(pairs == 0) / 2)
        assert abs(task["auc"] - task["reference_auc"]) < 0.01 and row["statistics"]["accuracy"]["images"] == len(
            labels
        )
    assert "ROC AUC" in capsys.readouterr().out

    _, scores = keras_scores(folder, "several")
    truth = scores + rng.normal(0, 0.3, scores.shape) > 0.5
    report = check(folder, "several", truth.astype(int))
    chosen = scores > [0.5, 0.4, 0.3, 0.6]
    for row in report["rows"]:
        assert row["reference_accuracy"] == pytest.approx((chosen == truth).all(axis=1).mean())
        by_label = row["task"]["labels"]
        assert [item["reference_accuracy"] for item in by_label] == pytest.approx((chosen == truth).mean(axis=0))
        mean = np.mean([item["average_precision"] for item in by_label])
        assert row["task"]["mean_ap"] == pytest.approx(mean)
        if "float32" in row["artifact"]:
            assert [item["agreement"] for item in by_label] == [1, 1, 1, 1] and row["agreement"] == 1
    assert "mean" in capsys.readouterr().out


def check(folder, name, labels):
    np.save(folder / "labels.npy", labels)
    command = ["check", str(folder / "exported" / name), "--reference", str(folder / f"{name}.keras")]
    command += ["--images", str(folder / f"{name}.npy"), "--labels", str(folder / "labels.npy")]
    cli.main([*command, "--report", str(folder / f"{name}.json")])  # some int8 file may miss its gate by chance
    return json.loads((folder / f"{name}.json").read_text())


def test_labels_of_another_task_are_refused(folder, capsys):
    for name, labels, reason in [
        ("sigmoid", np.full(64, 2), "labels are 2 to 2; the model has classes 0 to 1"),
        ("several", np.zeros(64, int), "expected 0 or 1 for each image and label: (64, labels)"),
        ("several", np.full((64, 4), 3), "expected 0 or 1 for each image"),
        ("sigmoid", np.zeros((64, 2), int), "expected (64,)"),
    ]:
        np.save(folder / "wrong.npy", labels)
        command = ["check", str(artifact(folder, name, FILES[name][0])), "--reference", str(folder / f"{name}.keras")]
        assert cli.main([*command, "--images", str(folder / f"{name}.npy"), "--labels", str(folder / "wrong.npy")]) == 2
        assert reason in capsys.readouterr().err


def test_doctor_names_the_class_by_the_threshold(folder, capsys):
    assert (
        cli.main(["doctor", "-v", *(str(artifact(folder, name, "int8.tflite")) for name in ("logit", "several"))]) == 0
    )
    out = capsys.readouterr().out
    assert "| cat  " in out and "| not cat  " in out and " – |" in out and "FAIL" not in out


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("logit", TaskOptions(), "--task binary if it is the logit"),
        ("logit", TaskOptions("classification"), "same class for ever"),
        ("several", TaskOptions("binary"), "expected one output"),
        ("sensor", TaskOptions("multilabel"), "sum to 1"),
        ("several", TaskOptions(thresholds=(0.1, 0.2)), "2 values for 4 labels"),
        ("sigmoid", TaskOptions(thresholds=(1.5,)), "between 0 and 1"),
        ("sensor", TaskOptions(thresholds=(0.5,)), "the task is classification"),
        ("several", TaskOptions(positive="a"), "--positive is for the task binary"),
    ],
)
def test_what_does_not_fit_the_head_is_refused(folder, name, options, reason):
    checkpoint = checkpoints.load(folder / f"{name}.keras")
    with pytest.raises(InputError, match=reason):
        contract_for(checkpoint, preprocessing_for(checkpoint).preprocessing, None, options=options)


def test_a_sigmoid_over_classes_can_be_a_classification(folder):
    checkpoint = checkpoints.load(folder / "several.keras")
    assert task_of(checkpoint).task == "multilabel" and task_of(checkpoint, "classification").task == "classification"
    assert task_of(checkpoints.load(folder / "sigmoid.keras")).task == "binary"


def test_labels_of_a_binary_model(folder, tmp_path):
    checkpoint, file = checkpoints.load(folder / "sigmoid.keras"), tmp_path / "labels.txt"
    file.write_text("dog\ncat\n")
    for positive, expected in [(None, ("dog", "cat")), ("cat", ("dog", "cat")), ("dog", ("cat", "dog"))]:
        assert (
            contract_for(checkpoint, Preprocessing(), file, options=TaskOptions(positive=positive)).labels == expected
        )
    with pytest.raises(InputError, match="choose from: dog, cat"):
        contract_for(checkpoint, Preprocessing(), file, options=TaskOptions(positive="cow"))
    file.write_text("cat\n")
    with pytest.raises(InputError, match="1 labels for a binary model"):
        contract_for(checkpoint, Preprocessing(), file)


@pytest.mark.slow
def test_the_command_line_says_task_and_why(folder, capsys):
    """The rest of what `export` is told goes the way that the other tests call."""
    command = ["export", str(folder / "logit.keras"), "--precision", "float32", "--format", "tflite"]
    command += ["--out", str(folder / "by_command"), "--task", "binary", "--positive", "cat", "--threshold", "0.25"]
    assert cli.main(command) == 0
    assert "task binary, given by --task" in capsys.readouterr().out
    contract = Manifest.read(folder / "by_command" / "logit" / "float32.tflite").contract
    assert (contract.task, contract.thresholds, contract.labels) == ("binary", (0.25,), ("not cat", "cat"))
    job = [*command[:2], "--task", "binary", "--calibration", str(folder / "logit.npy"), "--tune-accuracy", "1"]
    assert cli.main([*job, "--precision", "int8", "--out", str(folder / "by_command")]) == 2
    assert "the task is binary" in capsys.readouterr().err


def test_the_task_is_in_the_manifest_and_in_the_file(folder):
    path = artifact(folder, "logit", "float32.onnx")
    contract = Manifest.read(path).contract
    assert (contract.task, contract.thresholds, contract.labels) == ("binary", (0.3,), ("not cat", "cat"))
    assert Contract.from_dict(contract.as_dict()) == contract
    alone = folder / "alone.onnx"
    alone.write_bytes(path.read_bytes())
    with Classifier.load(alone) as classify:
        assert classify.contract == contract


def test_a_contract_of_one_class_answers_nothing(folder):
    contract = Contract((12, 12, 1), "probabilities", ("only",))
    with pytest.raises(ArtifactError, match="single class"):
        Classifier.load(artifact(folder, "sigmoid", "float32.tflite"), contract=contract)


@pytest.mark.parametrize("change", [
    {"task": "binary"}, {"task": "other"}, {"task": "multilabel", "thresholds": [0.5]}, {"task": ["binary"]},
    {"task": "multilabel", "thresholds": [0.5, 0.5, 1]}, {"thresholds": [0.5]}, {"task": "tensor"},
    {"output": "numbers"}, {"inputs": [{"name": "a", "shape": [1]}]}, {"dtype": "int8"}, {"thresholds": [[]]},
    {"task": "tensor", "output": "numbers", "labels": [], "inputs": [{"name": "a", "shape": [1]}], "outputs": [3]},
])  # fmt: skip
def test_damaged_contracts_are_refused_in_one_line(change):
    sound = Contract((2, 2, 1), "logits", ("a", "b", "c")).as_dict()
    assert "task" not in sound, "classifiers are exported as before, byte for byte"
    with pytest.raises(ArtifactError) as error:
        Contract.from_dict({**sound, **change})
    assert "\n" not in str(error.value)


@pytest.mark.slow
def test_c_sources_say_what_the_score_means(folder, tmp_path):
    """One score, two labels; what takes no pixels has no C form."""
    for name, lines in [
        (
            "sigmoid",
            ["SIGMOID_MODEL_CLASSES 1", "sigmoid_model_labels[2];", "It is the probability of the second label"],
        ),
        ("several", ["several_model_labels[SEVERAL_MODEL_CLASSES];", "there above: 0.5, 0.4, 0.3, 0.6."]),
    ]:
        contract = Manifest.read(artifact(folder, name, FILES[name][0])).contract
        checkpoint = checkpoints.load(folder / f"{name}.keras")
        made = export(checkpoint, get_precision("c", "int8_only"), contract, tmp_path / name, calibration=images())
        header = (made.path / f"{name}_model.h").read_text()
        assert all(line in header for line in lines)
    contract = Manifest.read(artifact(folder, "sensor", "int8.tflite")).contract
    checkpoint = checkpoints.load(folder / "sensor.keras")
    for format in ("c", "c-array"):
        with pytest.raises(ExportError, match=r"takes images .* and the model takes numbers of shape"):
            export(checkpoint, get_precision(format, "int8_only"), contract, tmp_path, calibration=samples())


def test_explain_proposes_a_command_with_the_same_task(folder, capsys, tmp_path):
    options = ["--reference", str(folder / "logit.keras"), "--images", str(folder / "logit.npy")]
    path = str(artifact(folder, "logit", "int8.tflite"))
    assert cli.main(["explain", path, *options, "--report", str(tmp_path / "explain.json")]) == 0
    assert "--task=binary --threshold=0.3" in capsys.readouterr().out


def test_what_is_for_classifications_refuses_other_tasks(folder, capsys):
    assert cli.main(["confidence", str(artifact(folder, "logit", "int8.tflite"))]) == 2
    assert "its task is binary; a confidence is fitted to the softmax of a classification" in capsys.readouterr().err


def test_matrix_compares_answers_and_not_the_only_score(folder):
    contract = Manifest.read(artifact(folder, "logit", "int8.tflite")).contract
    limit = float(np.log(0.3 / 0.7))
    scores, others = np.array([[-3.0], [limit + 1], [2.0]]), np.array([[-2.0], [limit - 1], [1.0]])
    found = agreement(scores, others, 0.9, contract)
    assert (found["differing"], found["first_differing"], found["passed"]) == (1, [1], False)
    several = Manifest.read(artifact(folder, "several", "int8.tflite")).contract
    rows = np.full((2, 4), 0.9, np.float32)
    found = agreement(rows, np.where([[True] * 4, [True, True, True, False]], rows, 0.1), 0.9, several)
    assert (found["differing"], found["first_differing"], found["passed"]) == (1, [1], False)


def test_classify_shows_the_answer_by_the_threshold(folder, capsys, tmp_path):
    from PIL import Image

    Image.fromarray(images(1)[0, ..., 0]).save(tmp_path / "one.png")
    for name in ("logit", "several"):
        path = str(artifact(folder, name, "int8.tflite"))
        assert cli.main(["classify", path, str(tmp_path / "one.png"), "--json"]) == 0
        entry = json.loads(capsys.readouterr().out)[0]
        with Classifier.load(path) as classify:
            answer = classify(images(1)[0])
        assert entry["label"] == answer.label and entry.get("labels", []) == list(answer.labels) * (name == "several")
        assert cli.main(["classify", path, str(tmp_path / "one.png")]) == 0
        assert ", ".join(answer.labels) in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "words"),
    [(None, "there is none"), ([], "list, expected an object"), ({"output": "logits"}, "there is no 'input_shape'")],
)
def test_a_contract_that_is_missing_or_no_object_says_so(value, words):
    with pytest.raises(ArtifactError, match=f"^contract: {words}; it is damaged, export the model again$"):
        Contract.from_dict(value)
