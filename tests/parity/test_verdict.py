"""The parity verdict in the manifest: written on request, with the same bytes every time; `doctor` obeys it."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import ROOT

from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError
from fmnist_edge.files import sha256_of
from fmnist_edge.parity import compare, gate_for
from fmnist_edge.parity.verdict import ParityVerdict
from fmnist_edge.runtime.manifest import manifest_path

GOOD = ParityVerdict("0" * 64, "engine 1", 100, "a set", 0.93, 0.94, 0.99, 2.0, "non-inferior", True, ())
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def report(lost: int, images: int = 1000):
    reference = np.eye(2)[np.zeros(images, int)]
    candidate = np.eye(2)[(np.arange(images) < lost).astype(int)]
    return compare(reference, candidate, gate_for("int8"), labels=np.zeros(images, int))


@pytest.mark.parametrize(
    "versions", [None, [], "1.0", {"numpy": 2}, {"numpy": float("nan")}, {"numpy": "\x1b[2J"}, {"\x07": "1"}]
)
def test_invalid_versions_are_a_damaged_manifest(tmp_path, capsys, versions):
    for suffix in ("", ".json"):
        shutil.copy(f"{ROOT}/exported/compact_cnn/int8.tflite{suffix}", tmp_path)
    manifest = manifest_path(tmp_path / "int8.tflite")
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "versions": versions}))
    assert main(["doctor", str(tmp_path / "int8.tflite"), "--report", str(tmp_path / "doctor.json")]) == 2
    output = capsys.readouterr()
    assert output.err.count("\n") == 1 and "manifest" in output.err and "\x1b" not in output.err + output.out


class TestVerdict:
    @pytest.mark.parametrize(("lost", "verdict", "passed"), [(0, "non-inferior", True), (90, "inferior", False)])
    def test_has_the_figures_of_the_report(self, lost, verdict, passed):
        found = ParityVerdict.of(report(lost), sha256="1" * 64, engine="e 1", source="a set")
        assert (found.verdict, found.passed, found.images) == (verdict, passed, 1000)
        assert (
            found.accuracy == 1 - lost / 1000 and found.reference_accuracy == 1.0 and found.agreement == found.accuracy
        )
        assert bool(found.failures) is not passed
        assert found.line.startswith("pass, " if passed else "FAIL (accuracy drops 9.00 pp")
        assert ParityVerdict.from_dict(json.loads(json.dumps(found.as_dict()))) == found

    def test_without_labels(self):
        found = replace(GOOD, accuracy=None, reference_accuracy=None, verdict=None)
        assert ParityVerdict.from_dict(found.as_dict()) == found
        assert found.line == "pass, 99.00 % agreement on 100 images of a set, by engine 1"

    @given(st.sampled_from(sorted(GOOD.as_dict())), json_values)
    def test_any_value_in_any_field_is_read_or_refused(self, field, value):
        try:
            assert "\n" not in ParityVerdict.from_dict(GOOD.as_dict() | {field: value}).line or "\n" in str(value)
        except ArtifactError as error:
            assert str(error).startswith(f"parity: {field} damaged")

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("accuracy", float("nan")),
            ("agreement", True),
            ("images", 5.0),
            ("passed", 1),
            ("failures", [5]),
            ("engine", None),
        ],
    )
    def test_nearly_valid_values_are_refused(self, field, value):
        with pytest.raises(ArtifactError, match=f"{field} damaged"):
            ParityVerdict.from_dict(GOOD.as_dict() | {field: value})

    @pytest.mark.parametrize("value", [None, [], 5, "x", {}])
    def test_anything_but_an_object_is_refused(self, value):
        with pytest.raises(ArtifactError, match="sha256, engine, images"):
            ParityVerdict.from_dict(value)


@pytest.fixture
def artifact(tmp_path) -> Path:
    for name in ("int8.tflite", "int8.tflite.json"):
        shutil.copy(ROOT / "exported/compact_cnn" / name, tmp_path)
    return tmp_path / "int8.tflite"


def doctor(artifact, tmp_path) -> int:
    return main(["doctor", str(artifact), "--engine", "numpy", "--report", str(tmp_path / "doctor.json")])


def recorded(artifact, **changes) -> None:
    opened = Artifact.open(artifact)
    verdict = replace(GOOD, sha256=opened.manifest.sha256, **changes)
    opened.record("parity", verdict.as_dict())


class TestDoctor:
    def test_shows_what_was_recorded(self, artifact, tmp_path, capsys):
        recorded(artifact)
        assert doctor(artifact, tmp_path) == 0
        assert "parity: pass, 93.00 % accuracy (Keras 94.00 %), non-inferior" in capsys.readouterr().out
        assert json.loads((tmp_path / "doctor.json").read_text())["artifacts"][0]["parity"]["images"] == 100

    def test_fails_with_a_failed_verdict(self, artifact, tmp_path, capsys):
        recorded(artifact, passed=False, failures=("accuracy drops 9 pp",))
        assert doctor(artifact, tmp_path) == 1
        shown = capsys.readouterr()
        assert "parity: FAIL (accuracy drops 9 pp)" in shown.out
        assert f"FAILED {artifact}: it failed its parity check (accuracy drops 9 pp)" in shown.err
        assert "1 of 1 artifacts" in shown.err

    def test_reports_a_missing_verdict_and_one_of_another_file(self, artifact, tmp_path, capsys):
        manifest = json.loads(manifest_path(artifact).read_text())
        manifest.pop("parity", None)
        manifest_path(artifact).write_text(json.dumps(manifest))
        for _ in range(2):
            assert doctor(artifact, tmp_path) == 0
            assert "parity: not recorded for this file; `fmnist-edge check --record`" in capsys.readouterr().out
            Artifact.open(artifact).record("parity", replace(GOOD, passed=False).as_dict())

    def test_a_damaged_one_is_one_line(self, artifact, tmp_path, capsys):
        Artifact.open(artifact).record("parity", {"passed": True})
        assert doctor(artifact, tmp_path) == 2
        assert "parity: sha256, engine" in capsys.readouterr().err


@pytest.mark.slow
def test_check_records_only_on_request(artifact, tmp_path, capsys):
    before, manifest = sha256_of(artifact), manifest_path(artifact).read_text()
    check = ["check", str(artifact), "--limit", "50", "--report", str(tmp_path / "parity.json")]
    check += ["--trained", str(ROOT / "trained_model")]
    assert main(check) == 0
    assert manifest_path(artifact).read_text() == manifest
    texts = []
    for _ in range(2):
        assert main([*check, "--record"]) == 0
        texts.append(manifest_path(artifact).read_text())
    assert texts[0] == texts[1] != manifest and sha256_of(artifact) == before
    assert "the verdicts into the manifests" in capsys.readouterr().out
    written = json.loads(texts[0])
    verdict = ParityVerdict.from_dict(written.pop("parity"))
    assert (verdict.images, verdict.source, verdict.passed) == (50, "the Fashion-MNIST test set", True)
    assert verdict.sha256 == before and verdict.engine.startswith("ai-edge-litert ")
    assert {**written, "parity": None} == {**json.loads(manifest), "parity": None}
    assert doctor(artifact, tmp_path) == 0


def test_a_verdict_is_not_recorded_if_the_file_was_exported_again_meanwhile(artifact):
    opened = Artifact.open(artifact)
    manifest = json.loads(manifest_path(artifact).read_text()) | {"sha256": "0" * 64}
    manifest_path(artifact).write_text(json.dumps(manifest))
    with pytest.raises(ArtifactError, match="was exported again meanwhile"):
        opened.record("parity", GOOD.as_dict())
    assert json.loads(manifest_path(artifact).read_text()) == manifest


def test_concurrent_changes_of_the_manifest_are_kept(artifact):
    opened = Artifact.open(artifact)
    Artifact.open(artifact).record("note", {"by": "another"})
    assert opened.record("parity", GOOD.as_dict()).manifest.as_dict()["note"] == {"by": "another"}


def test_leftovers_of_a_killed_run_are_not_artifacts(artifact):
    (artifact.parent / ".int8.abcd1234.tflite").write_bytes(b"half of a file")
    assert [item.path for item in collect([artifact.parent])] == [artifact]
