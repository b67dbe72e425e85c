"""What `check` passes to parity, and what the command prints; without engines and Keras."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.cells import accuracies_of
from fmnist_edge.commands import check as command
from fmnist_edge.data import fashion_mnist
from fmnist_edge.data.files import read_array
from fmnist_edge.errors import FileError, GateError, InputError
from fmnist_edge.exporters.calibration_images import calibration_for
from fmnist_edge.jobs.check import write_report
from fmnist_edge.parity import check as checks
from fmnist_edge.parity import compare, gate_for
from fmnist_edge.parity import evaluation as evaluations
from fmnist_edge.parity.check import CheckedArtifact, Reference
from fmnist_edge.parity.evaluation import Evaluation, evaluation_for
from fmnist_edge.parity.reference import reference_health
from fmnist_edge.runtime import Contract, Preprocessing
from fmnist_edge.runtime.manifest import Manifest

PLAIN = Preprocessing()
LOGITS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 4


def artifact(
    precision: str = "int8",
    output: str = "logits",
    model: str = "mine",
    preprocessing: Preprocessing = PLAIN,
) -> Artifact:
    sections = {
        "sha256": "1" * 64,
        "model": {"name": model, "sha256": "2" * 64},
        "precision": precision,
        "contract": Contract((2, 2, 1), output, ("a", "b", "c"), preprocessing).as_dict(),
    }
    path = Path(__file__).parent / f"{precision}.tflite"
    return Artifact(path, Manifest.of(path.name, sections))


def checked(precision: str, lost: int, images: int, model: str = "mine") -> CheckedArtifact:
    """An artifact that gets the first `lost` images wrong; its reference gets all of them right."""
    reference = np.eye(2)[np.zeros(images, int)]
    candidate = np.eye(2)[(np.arange(images) < lost).astype(int)]
    return CheckedArtifact(
        artifact(precision, model=model),
        "engine 1.0",
        compare(reference, candidate, gate_for(precision), labels=np.zeros(images, int)),
    )


def run(monkeypatch, tmp_path, rows: list[CheckedArtifact], *, strict: bool = False) -> dict:
    """Run the command with the given rows as the result of the check; returns its JSON report."""
    images = rows[0].report.images
    evaluation = Evaluation(np.zeros((images, 2, 2, 1)), None, "a test", published=False)
    monkeypatch.setattr(evaluations, "evaluation_for", lambda *_, **__: evaluation)
    monkeypatch.setattr("fmnist_edge.artifact.collect_usable", lambda _: ([row.artifact for row in rows], []))
    monkeypatch.setattr(checks, "check", lambda *_, **__: iter(rows))
    monkeypatch.setattr(Artifact, "size_bytes", 1000)
    names = ("artifacts", "images", "labels", "limit", "data", "trained", "reference", "on")
    report = tmp_path / "parity.json"
    try:
        command.run(
            argparse.Namespace(
                report=report, default_report=False, record=False, strict=strict, skip_bad=False, **dict.fromkeys(names)
            )
        )
    finally:
        written = json.loads(report.read_text(), parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    return written


class FakeClassifier(SimpleNamespace):
    engine = SimpleNamespace(version="1")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def check(monkeypatch, artifacts, evaluation, classifiers, predict) -> list[CheckedArtifact]:
    """`check` with fake classifiers, in the order of the artifacts, and a fake Keras model."""
    waiting = iter(classifiers)
    monkeypatch.setattr(checks.Classifier, "load", lambda path: next(waiting))
    monkeypatch.setattr(checks, "check_loads", lambda artifact: None)
    checkpoint = SimpleNamespace(sha256="2" * 64, name="mine", model=SimpleNamespace(predict_on_batch=predict))
    monkeypatch.setattr(checks, "load_checkpoint", lambda *_, **__: checkpoint)
    return list(checks.check(artifacts, evaluation, trained=Path("unused"), track=lambda pieces, _: iter(pieces)))


@pytest.mark.parametrize(("output", "confidence"), [("logits", np.exp(4) / (np.exp(4) + 2)), ("probabilities", 4.0)])
def test_scores_are_read_as_the_contract_says(monkeypatch, output, confidence):
    """The candidate's top probability is 1/3, or 0 for probabilities; the drift is the reference's minus that."""
    unmoved = FakeClassifier(scores=lambda images: np.zeros((len(images), 3), np.float32))
    evaluation = Evaluation(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 2, 0]), "a test", published=False)
    (row,) = check(monkeypatch, [artifact(output=output)], evaluation, [unmoved], lambda batch: LOGITS[: len(batch)])
    unsure = 1 / 3 if output == "logits" else 0.0
    assert row.report.statistics.confidence.mean == pytest.approx(confidence - unsure)
    assert row.report.statistics.accuracy.margin == gate_for("int8").non_inferiority_margin


def test_the_reference_is_preprocessed_like_each_artifact(monkeypatch):
    """Two artifacts of one model, exported with different means: each equals the model with the same preprocessing."""
    images = np.full((600, 2, 2, 1), 255, np.uint8)
    artifacts = [artifact("float32", preprocessing=Preprocessing(mean=mean)) for mean in (0.0, 0.5, 0.0)]
    classifiers = [
        FakeClassifier(scores=lambda images, contract=item.contract: features(contract.preprocessing, images))
        for item in artifacts
    ]
    seen = []

    def features(preprocessing, images):
        return preprocessing.apply(images, (2, 2, 1)).reshape(-1, 4)[:, :3]

    def predict(batch):
        seen.append(len(batch))
        return batch.reshape(-1, 4)[:, :3]

    rows = check(monkeypatch, artifacts, Evaluation(images, None, "a test", published=False), classifiers, predict)
    assert [row.report.max_abs_delta for row in rows] == [0, 0, 0]
    assert seen == [500, 100] * 2, "the model answers once to each preprocessing"


BLIND = np.tile(np.float32([0, 4, 1]), (300, 1))
VARIED = np.random.default_rng(0).integers(0, 256, (300, 2, 2, 1), dtype=np.uint8)


def blind(monkeypatch, labels) -> CheckedArtifact:
    """An artifact that agrees with a reference which answers all images alike."""
    same = FakeClassifier(scores=lambda images: BLIND[: len(images)])
    evaluation = Evaluation(VARIED, labels, "a test", published=False)
    (row,) = check(monkeypatch, [artifact("float32")], evaluation, [same], lambda batch: BLIND[: len(batch)])
    return row


@pytest.mark.parametrize(("labels", "verdict"), [(np.arange(300) % 3, "at chance"), (None, "constant")])
def test_parity_with_a_blind_reference_is_unproven(monkeypatch, tmp_path, capsys, labels, verdict):
    """A wrong --scale: both forms get the same wrong input, and agree on every image."""
    row = blind(monkeypatch, labels)
    assert row.report.passed and not row.passed and row.reference.health.verdict == verdict
    with pytest.raises(GateError, match="parity proves nothing for 1 of 1 artifacts"):
        run(monkeypatch, tmp_path, [row])
    out, err = capsys.readouterr()
    assert "| UNPROVEN |" in out and "| pass" not in out and err.startswith("UNPROVEN mine: the Keras model itself")
    (written,) = json.loads((tmp_path / "parity.json").read_text())["rows"]
    assert written["reference"]["verdict"] == verdict and written["reference"]["variation"] < 1e-9
    assert not written["passed"] and written["failures"] == [row.unproven]


def test_the_recorded_verdict_of_a_blind_reference_is_no_pass(monkeypatch):
    recorded = {}
    monkeypatch.setattr(Artifact, "record", lambda self, name, section: recorded.update({name: section}))
    blind(monkeypatch, None).record("a test")
    assert not recorded["parity"]["passed"] and "proves nothing" in recorded["parity"]["failures"][0]


def test_a_failed_gate_is_said_first(monkeypatch, tmp_path, capsys):
    lost = replace(checked("int8", 100, 10_000), reference=blind(monkeypatch, None).reference)
    with pytest.raises(GateError, match=r"1 of 1 artifacts failed their gate$"):
        run(monkeypatch, tmp_path, [lost])
    assert "| FAIL |" in capsys.readouterr().out


def test_doubts_about_the_contract_are_said_once_a_model(monkeypatch, tmp_path, capsys):
    """The reference sees something; still its contract is doubtful."""
    sound = Reference(LOGITS, reference_health(LOGITS, VARIED[:4], None), ("the contract makes 0 to 1",))
    rows = [replace(checked("float32", 0, 400), reference=sound) for _ in range(2)]
    written = run(monkeypatch, tmp_path, rows)
    assert capsys.readouterr().err == "fmnist-edge: warning: mine: the contract makes 0 to 1\n"
    assert written["rows"][0]["reference"]["warnings"] == ["the contract makes 0 to 1"]


def test_a_precision_without_gate_is_refused_before_anything_runs(monkeypatch):
    evaluation = Evaluation(np.zeros((4, 2, 2, 1), np.uint8), None, "a test", published=False)
    with pytest.raises(InputError, match="'int3'"):
        check(monkeypatch, [artifact(), artifact("int3")], evaluation, [], pytest.fail)


def test_table_shows_interval_p_and_verdict_within_140_columns(monkeypatch, tmp_path, capsys):
    longest = "tiny_googlenet_edge"
    rows = [checked("dynamic_int8", 12, 10_000, longest), checked("float32", 0, 10_000)]
    written = run(monkeypatch, tmp_path, rows)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 140
    assert "-0.12 [-0.21, -0.07]" in out and "| 5e-04 " in out.replace(
        "     ", " "
    )  # a p-value is never shown as 0.000
    assert out.count("| non-inferior |") == 2 and out.count("| pass |") == 2 and "inconclusive" not in out
    paired = written["rows"][0]["statistics"]["accuracy"]
    assert (paired["gained"], paired["lost"], paired["verdict"]) == (0, 12, "non-inferior")
    assert paired["difference"] == -0.0012 and paired["mcnemar_p"] == 2 / 2**12
    assert written["rows"][0]["statistics"]["class_flip_rates"] == [0.0012, None]
    assert written["rows"][0]["finding"].startswith("non-inferior: accuracy differs by -0.12 pp")


def test_too_few_images_are_inconclusive_and_pass(monkeypatch, tmp_path, capsys):
    written = run(monkeypatch, tmp_path, [checked("float32", 0, 400), checked("int8", 0, 400), checked("int8", 2, 400)])
    out = capsys.readouterr().out
    assert out.count("| inconclusive |") == 3 and out.count("| pass |") == 3
    assert (
        "inconclusive on 400 images: 3 of 3 artifacts; about 3,838 images are needed to show non-inferiority (see "
        "`images_needed` in the report); 1 lost the margin or more here, and more images are unlikely to change that"
    ) in out
    assert [row["statistics"]["accuracy"]["images_needed"] for row in written["rows"]] == [3838, 765, None]


def test_one_image_of_500_is_inconclusive_and_fails_only_with_strict(monkeypatch, tmp_path, capsys):
    rows = [checked("float16", 1, 500), checked("int8", 0, 10_000)]
    (written, _) = run(monkeypatch, tmp_path, rows)["rows"]
    out, err = capsys.readouterr()
    assert "FAIL" not in out + err and "| inconclusive | " in out
    assert err.startswith("inconclusive: ") and "99.8000% is below 99.90% by 1 of 500 images; 10,000 images" in err
    assert (written["outcome"], written["passed"], len(written["undecided"])) == ("inconclusive", True, 1)
    with pytest.raises(GateError, match="1 of 2 artifacts are inconclusive"):
        run(monkeypatch, tmp_path, rows, strict=True)
    run(monkeypatch, tmp_path, rows[1:], strict=True)


def test_a_proven_loss_fails_with_one_line(monkeypatch, tmp_path, capsys):
    with pytest.raises(GateError, match="1 of 2 artifacts failed"):
        run(monkeypatch, tmp_path, [checked("int8", 100, 10_000), checked("int8", 0, 10_000)])
    out, err = capsys.readouterr()
    assert "| inferior     |" in out and "| FAIL |" in out
    (line,) = err.splitlines()
    assert line.startswith("FAILED ") and line.count("worst images") == 1
    assert "accuracy differs by -1.00 pp" in line and "expected all of it above -0.5 pp" in line


def test_without_labels_the_table_has_dashes(monkeypatch, tmp_path, capsys):
    scores = np.eye(2)[[0, 1]]
    row = CheckedArtifact(artifact("float32"), "engine 1.0", compare(scores, scores, gate_for("float32")))
    written = run(monkeypatch, tmp_path, [row])
    out = capsys.readouterr().out
    assert out.count("–") == 4 and "| pass |" in out and "inconclusive" not in out
    assert written["rows"][0]["statistics"]["accuracy"] is None and written["rows"][0]["finding"] is None


def test_a_report_that_cannot_be_written_is_refused_before_anything_runs(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(evaluations, "evaluation_for", pytest.fail)
    with pytest.raises(FileError, match="cannot be written"):
        command.run(argparse.Namespace(report=tmp_path / "file" / "parity.json", default_report=False))


class TestWhatUsersBring:
    def saved(self, folder: Path, name: str, array) -> str:
        np.save(folder / name, array)
        return str(folder / name)

    ZOO = Contract((28, 28, 1), "logits", fashion_mnist.LABELS)
    SMALL = Contract((2, 2, 1), "logits", tuple("abcde"))

    def test_published_accuracies_refer_to_all_test_images(self):
        assert evaluation_for(None, None, None, None, self.ZOO).published
        assert evaluation_for(None, None, 10_000, None, self.ZOO).published
        some = evaluation_for(None, None, 9999, None, self.ZOO)
        assert not some.published and len(some.images) == len(some.labels) == 9999

    def test_images_with_labels(self, tmp_path):
        images = self.saved(tmp_path, "images.npy", np.zeros((5, 2, 2, 1)))
        labels = self.saved(tmp_path, "labels.npy", np.arange(5))
        found = evaluation_for(images, labels, 3, None, self.SMALL)
        assert found.images.shape == (3, 2, 2, 1) and found.labels.tolist() == [0, 1, 2]
        assert found.source == "images.npy" and not found.published
        assert evaluation_for(images, None, None, None, self.SMALL).labels is None

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (np.arange(4), r"shape \(4,\) for 5 images; expected \(5,\)"),
            (np.zeros((5, 1), int), "expected"),
            (np.zeros(5), "expected integers"),
        ],
    )
    def test_labels_that_do_not_fit_are_refused_with_any_limit(self, tmp_path, labels, message):
        images = self.saved(tmp_path, "images.npy", np.zeros((5, 2, 2, 1)))
        with pytest.raises(InputError, match=message):
            evaluation_for(images, self.saved(tmp_path, "labels.npy", labels), 2, None, self.SMALL)

    @pytest.mark.parametrize("shape", [(28, 28), (28, 28, 1), (1, 28, 28)])
    def test_a_single_image_is_accepted(self, tmp_path, shape):
        path = self.saved(tmp_path, "one.npy", np.zeros(shape, np.uint8))
        contract = Contract((28, 28, 1), "logits", tuple("abc"))
        assert calibration_for(contract, path, None).images.shape == (1, 28, 28, 1)
        assert evaluation_for(path, None, 5, None, self.ZOO).images.shape == (1, 28, 28, 1)

    def test_images_of_another_shape_name_their_file(self, tmp_path):
        path = self.saved(tmp_path, "small.npy", np.zeros((5, 20, 20), np.uint8))
        with pytest.raises(InputError, match=r"small\.npy: image shape is \(5, 20, 20\); expected \(28, 28\)"):
            evaluation_for(path, None, None, None, self.ZOO)

    def test_labels_without_images(self):
        with pytest.raises(InputError, match="--labels needs --images"):
            evaluation_for(None, "labels.npy", None, None, self.SMALL)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"not an array",
            b"PK\x03\x04 no archive",
            b"\x93NUMPY\x01\x00\x10\x00" + b"((((((((((((((( ",
            b"\x93NUMPY\x01\x00\x43\x00{'descr': '|u1', 'fortran_order': False, 'shape': (10000000000000,)}",
        ],
    )
    def test_a_file_that_is_not_an_array_is_refused(self, tmp_path, content):
        (tmp_path / "x.npy").write_bytes(content)
        for path in (tmp_path / "x.npy", tmp_path, tmp_path / "none.npy"):
            with pytest.raises(FileError, match=r"not a readable \.npy or \.npz file"):
                read_array(str(path))

    def test_an_array_without_axes_and_an_archive_are_refused(self, tmp_path):
        with pytest.raises(FileError, match="a single float64"):
            read_array(self.saved(tmp_path, "number.npy", 1.0))
        np.savez(tmp_path / "two.npz", a=np.zeros(2), b=np.zeros(3))
        with pytest.raises(InputError, match=r"holds 2 arrays \('a' \(2,\), 'b' \(3,\)\); expected a single one"):
            read_array(str(tmp_path / "two.npz"))

    def test_only_a_model_with_its_classes_gets_fashion_mnist(self):
        digits = Contract((28, 28, 1), "logits", tuple(map(str, range(10))))
        assert calibration_for(self.ZOO, None, None).images.shape == (500, 28, 28)
        assert calibration_for(digits, None, None) is None
        with pytest.raises(InputError, match=r"a model of your own, .* give yours with --images"):
            evaluation_for(None, None, None, None, digits)


class TestReportsOfSeveralChecks:
    """One report for all models: the rows of other files stay."""

    def report(self, sha256, artifact, source="a", on=None, accuracy=0.5):
        row = {"sha256": sha256, "artifact": artifact, "accuracy": accuracy, "reference_accuracy": 0.5, "images": 9}
        return {"schema": 1, "images": 9, "source": source, "on": on, "rows": [{**row, "passed": True}]}

    def test_rows_of_other_files_stay_with_their_images(self, tmp_path):
        path = tmp_path / "parity.json"
        write_report(path, self.report("1", "one/int8.tflite", "the digits", "pi@board"))
        write_report(path, self.report("2", "two/int8.tflite", "the letters"))
        found = accuracies_of(path)
        assert {key: entry["source"] for key, entry in found.items()} == {
            "1": "the digits, on pi@board",
            "2": "the letters",
        }
        write_report(path, self.report("1", "one/int8.tflite", "the digits", accuracy=0.75))
        found = accuracies_of(path)
        assert found["1"]["source"] == "the digits" and found["1"]["accuracy"] == 0.75 and set(found) == {"1", "2"}

    def test_a_file_that_was_exported_again_replaces_its_old_row(self, tmp_path):
        path = tmp_path / "parity.json"
        for sha256 in "12":
            write_report(path, self.report(sha256, "one/int8.tflite"))
        assert set(accuracies_of(path)) == {"2"}
        assert json.loads(path.read_text()) == self.report("2", "one/int8.tflite"), "alone it has the form of one check"

    @pytest.mark.parametrize("content", ["", "[]", '{"rows": [{}]}'])
    def test_what_is_no_report_is_replaced(self, tmp_path, content):
        path = tmp_path / "parity.json"
        path.write_text(content)
        write_report(path, self.report("1", "one/int8.tflite"))
        assert set(accuracies_of(path)) == {"1"}
