"""What `check` hands to parity and what the command prints of it; no engine and no Keras involved."""

import argparse
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fmnist_edge import check as checks
from fmnist_edge import inputs
from fmnist_edge.artifacts import Artifact
from fmnist_edge.check import CheckedArtifact, Evaluation
from fmnist_edge.commands import check as command
from fmnist_edge.errors import GateError
from fmnist_edge.parity import compare, gate_for
from fmnist_edge.runtime import Contract

LOGITS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0]] * 4


def artifact(precision: str = "int8", output: str = "logits", model: str = "mine") -> Artifact:
    manifest = {
        "sha256": "1" * 64,
        "model": {"name": model, "sha256": "2" * 64},
        "precision": precision,
        "contract": Contract((2, 2, 1), output, ("a", "b", "c")).as_dict(),
    }
    return Artifact(Path(__file__).parent / f"{precision}.tflite", manifest)


def checked(precision: str, lost: int, images: int, model: str = "mine") -> CheckedArtifact:
    """An artifact that gets the first `lost` of the images wrong where its reference gets all of them right."""
    reference = np.eye(2)[np.zeros(images, int)]
    candidate = np.eye(2)[(np.arange(images) < lost).astype(int)]
    return CheckedArtifact(
        artifact(precision, model=model),
        "engine 1.0",
        compare(reference, candidate, gate_for(precision), labels=np.zeros(images, int)),
    )


def run(monkeypatch, tmp_path, rows: list[CheckedArtifact]) -> dict:
    """The command on rows that were checked before; returns its JSON report."""
    images = rows[0].report.images
    evaluation = Evaluation(np.zeros((images, 2, 2, 1)), None, "a test", published=False)
    monkeypatch.setattr(inputs, "evaluation_for", lambda *_: evaluation)
    monkeypatch.setattr("fmnist_edge.artifacts.collect", lambda _: [])
    monkeypatch.setattr(checks, "check", lambda *_, **__: iter(rows))
    monkeypatch.setattr(Artifact, "size_bytes", 1000)
    names = ("artifacts", "images", "labels", "limit", "data", "trained", "reference")
    report = tmp_path / "parity.json"
    try:
        command.run(argparse.Namespace(report=report, **dict.fromkeys(names)))
    finally:
        written = json.loads(report.read_text(), parse_constant=pytest.fail)  # NaN and Infinity are not JSON
    return written


@pytest.mark.parametrize(("output", "confidence"), [("logits", np.exp(4) / (np.exp(4) + 2)), ("probabilities", 4.0)])
def test_scores_are_read_as_the_contract_says(monkeypatch, output, confidence):
    """Against a candidate that is never sure, the drift is the reference's confidence less a third or nothing."""

    class Engine(SimpleNamespace):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    engine = Engine(engine=SimpleNamespace(version="1"), scores=lambda images: np.zeros((len(images), 3), np.float32))
    keras = SimpleNamespace(predict_on_batch=lambda images: LOGITS[: len(images)])
    monkeypatch.setattr(checks.Classifier, "load", lambda path: engine)
    monkeypatch.setattr(
        checks, "load_checkpoint", lambda *_, **__: SimpleNamespace(sha256="2" * 64, name="mine", model=keras)
    )
    evaluation = Evaluation(np.zeros((4, 2, 2, 1), np.uint8), np.array([0, 1, 2, 0]), "a test", published=False)
    (row,) = checks.check(
        [artifact(output=output)], evaluation, trained=Path("unused"), track=lambda pieces, _: iter(pieces)
    )
    unsure = 1 / 3 if output == "logits" else 0.0
    assert row.report.statistics.confidence.mean == pytest.approx(confidence - unsure)
    assert row.report.statistics.accuracy.margin == gate_for("int8").non_inferiority_margin


def test_table_shows_interval_p_and_verdict_within_140_columns(monkeypatch, tmp_path, capsys):
    longest = "tiny_googlenet_edge"
    rows = [checked("dynamic_int8", 12, 10_000, longest), checked("float32", 0, 10_000)]
    written = run(monkeypatch, tmp_path, rows)
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 140
    assert "-0.12 [-0.21, -0.07]" in out and "| 5e-04 " in out.replace("     ", " ")  # a p is never 0.000
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
        "inconclusive on 400 images: 3 of 3; to show non-inferiority takes about 3,838 images (see `images_needed` in "
        "the report); 1 lost the margin or more here, and no number of images promises to show it"
    ) in out
    assert [row["statistics"]["accuracy"]["images_needed"] for row in written["rows"]] == [3838, 765, None]


def test_a_proven_loss_fails_with_one_line(monkeypatch, tmp_path, capsys):
    with pytest.raises(GateError, match="1 of 2 artifacts failed"):
        run(monkeypatch, tmp_path, [checked("int8", 100, 10_000), checked("int8", 0, 10_000)])
    out, err = capsys.readouterr()
    assert "| inferior     |" in out and "| FAIL |" in out
    (line,) = [line for line in err.splitlines() if "inferior: " in line]
    assert "accuracy differs by -1.00 pp" in line and "expected all of it above -0.5 pp" in line


def test_without_labels_the_table_has_dashes(monkeypatch, tmp_path, capsys):
    scores = np.eye(2)[[0, 1]]
    row = CheckedArtifact(artifact("float32"), "engine 1.0", compare(scores, scores, gate_for("float32")))
    written = run(monkeypatch, tmp_path, [row])
    out = capsys.readouterr().out
    assert out.count("–") == 4 and "| pass |" in out and "inconclusive" not in out
    assert written["rows"][0]["statistics"]["accuracy"] is None and written["rows"][0]["finding"] is None
