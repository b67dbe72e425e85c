"""Golden vectors: an artifact that tests itself."""

import base64
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.engines import IMAGES, refused
from support.installed import MICRO, NEEDS, installed
from support.linear import with_manifest

from fmnist_edge.cli import main
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.engine_catalog import engines_for
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.manifest import manifest_path


class TestSelfTest:
    @pytest.fixture
    def golden(self, linear_models):
        with Classifier.load(linear_models["int8.tflite"]) as classifier:
            return Golden(IMAGES[:16, ..., None], classifier.scores(IMAGES[:16]), 0.25, "litert")

    def artifact(self, linear_models, folder, golden) -> Path:
        path = with_manifest(folder / "int8.tflite", linear_models["int8.tflite"].read_bytes())
        manifest = json.loads(manifest_path(path).read_text())
        manifest_path(path).write_text(json.dumps(manifest | {"golden": golden}))
        return path

    def test_every_engine_passes(self, linear_models, tmp_path, golden):
        path = self.artifact(linear_models, tmp_path, golden.as_dict())
        for engine in engines_for(Path("x.tflite")):
            if (engine == "tflite-micro" and not MICRO) or (engine in NEEDS and not installed(NEEDS[engine])):
                continue
            with Classifier.load(path, engine=engine, verify=True) as classifier:
                result = classifier.self_test()
            assert result.passed and len(result.vectors) == 16 and result.engine.startswith(f"{engine} (")
            assert result.advice == "nothing to do"

    def test_a_wrong_engine_fails(self, linear_models, tmp_path, golden):
        scores = golden.scores.copy()
        scores[3, 5] += 40
        path = self.artifact(linear_models, tmp_path, replace(golden, scores=scores).as_dict())
        with Classifier.load(path) as classifier:
            result = classifier.self_test()
        assert [vector.number for vector in result.vectors if not vector.passed] == [3]
        assert result.vectors[3].expected == 5 != result.vectors[3].found
        assert result.vectors[3].max_abs_delta == pytest.approx(40)
        refused(path, str(path), "1 of 16 golden vectors", "engine='numpy'", verify=True)

    def test_without_golden_vectors(self, linear_models):
        refused(linear_models["int8.tflite"], "has no golden vectors", verify=True)

    def test_damaged(self, linear_models, tmp_path, golden):
        good = golden.as_dict()
        bomb = base64.b64encode(zlib.compress(b"\0" * (1 << 24))).decode()
        for wrong in (
            [], 5, {}, good | {"tolerance": "nan"}, good | {"tolerance": -1}, good | {"images": good["scores"]},
            good | {"scores": good["scores"] | {"zlib_base64": "eA=="}},
            good | {"scores": good["scores"] | {"zlib_base64": bomb}},
            good | {"scores": good["scores"] | {"shape": [1 << 40, 10]}},
            good | {"scores": good["scores"] | {"shape": [1] * 20}},
            good | {"scores": replace(golden, scores=golden.scores * np.float32("nan")).as_dict()["scores"]},
            good | {"scores": good["scores"] | {"dtype": "object"}},
            good | {"images": good["images"] | {"zlib_base64": "%%%"}},
        ):  # fmt: skip
            refused(self.artifact(linear_models, tmp_path, wrong), "golden vectors: ", "damaged", verify=True)

    def test_doctor(self, linear_models, tmp_path, golden, capsys):
        path = self.artifact(linear_models, tmp_path, golden.as_dict())
        report = tmp_path / "doctor.json"
        assert main(["doctor", str(path), "--engine", "numpy", "--report", str(report)]) == 0
        shown = capsys.readouterr().out
        assert (
            "16 of 16 golden vectors pass; nothing to do" in shown
            and "| pass" not in shown
            and "SHA-256 matches the manifest" in shown
        )
        saved = json.loads(report.read_text())["artifacts"][0]
        assert saved["passed"] and len(saved["vectors"]) == 16
        self.artifact(linear_models, tmp_path, replace(golden, scores=golden.scores + 9).as_dict())
        assert main(["doctor", str(path), "--report", str(report)]) == 1
        shown = capsys.readouterr()
        assert shown.out.count("FAIL") == 16
        assert "16 of 16 golden vectors differ from the export" in shown.err
