"""`profile`: the time of ops and layers, beside the damage that `explain` found."""

import json
import shutil
from itertools import islice

import numpy as np
import pytest
from support import ROOT
from support.bench_results import during

from fmnist_edge.artifact import Artifact
from fmnist_edge.benchmark.validity import judge_rounds
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.explain.profile import child
from fmnist_edge.explain.profile.damage import Damage, damage_of
from fmnist_edge.explain.profile.plot import draw_profile
from fmnist_edge.explain.profile.prefixes import prefixes
from fmnist_edge.explain.profile.profile import PROFILER, OpTime, Profile, middle_mean, profile
from fmnist_edge.runtime import Classifier

INT8, FLOAT = ROOT / "exported/compact_cnn/int8.tflite", ROOT / "exported/compact_cnn/float32.onnx"
LAYERS = ("conv1", "conv2", "conv3", "pool", "flatten", "dense_40", "dense_24", "dense_95", "logits")


def made_profile(*ops, whole=(10.0,) * 5, **machine):
    found = tuple(OpTime(name, "ADD", layers, times, ((1,),)) for name, layers, times in ops)
    parts = tuple(during(**machine) for _ in whole)
    return Profile(Artifact.open(INT8), "litert", "x 1", PROFILER, 1, found, tuple(whole), ((1,),) * len(whole), parts)


class TestPrefixes:
    def test_each_ends_after_one_op_more_and_the_last_is_the_whole_file(self, tmp_path):
        found = list(prefixes(INT8.read_bytes()))
        assert [item.kind for item in found][:2] == ["CONV_2D", "MAX_POOL_2D"] and len(found) == 9
        manifest = Artifact.open(INT8).manifest
        image = manifest.golden_vectors().images[:1]
        with Classifier.load(INT8) as whole:
            expected = whole.scores(image)
        (tmp_path / "cut.tflite").write_bytes(found[-1].content)
        with Classifier.load(tmp_path / "cut.tflite", contract=manifest.contract) as cut:
            assert np.array_equal(cut.scores(image), expected)

    def test_a_prefix_returns_what_later_ops_read(self):
        """The stem's LRN reads the convolution's output at its start and at its end."""
        from fmnist_edge.exporters.flatbuffer import unpack

        found = islice(prefixes((ROOT / "exported/tiny_resnet/int8.tflite").read_bytes()), 4)
        graphs = [unpack(item.content).subgraphs[0] for item in found]
        assert [len(graph.operators) for graph in graphs] == [1, 2, 3, 4]
        assert [len(graph.outputs) for graph in graphs] == [1, 2, 2, 2]
        for graph in graphs:
            written = {index for op in graph.operators for index in op.outputs}
            assert set(graph.outputs) <= written


class TestTimes:
    def test_ops_add_up_by_layer(self):
        found = made_profile(
            ("a", ("conv",), (1.0, 2.0, 9.0)), ("b", ("relu", "conv"), (3.0,) * 3), ("c", (), (4.0,) * 3)
        )
        assert found.by_layer({}) == {"conv": 2.0, "relu": 3.0, "(of no layer)": 4.0}
        groups = {"conv": "conv + relu", "relu": "conv + relu"}
        assert found.by_layer(groups) == {"conv + relu": 5.0, "(of no layer)": 4.0}
        written = found.as_dict(groups, {"conv + relu": 0.5, "input": 0.25, "nothing": 0.0})
        assert written["layers"] == [
            {"layer": "conv + relu", "us": 5.0, "noise_share": 0.5},
            {"layer": "(of no layer)", "us": 4.0, "noise_share": None},
            {"layer": "input", "us": None, "noise_share": 0.25},
        ]
        json.dumps(written, allow_nan=False)

    def test_the_verdict(self):
        assert made_profile(("a", (), (1.0,))).verdict["status"] == "VALID"
        rules = [reason["rule"] for reason in made_profile(("a", (), (1.0,)), other_cores=1.0).verdict["reasons"]]
        assert rules == ["other load"]
        verdict = judge_rounds([during()] * 5, [10, 20, 10, 20, 10])
        assert [reason["rule"] for reason in verdict["reasons"]] == ["spread too wide"]
        assert [reason["rule"] for reason in judge_rounds([during()], [10])["reasons"]] == ["short plan"]

    def test_the_middle_half_counts(self):
        assert middle_mean([1, 2, 2, 3, 4, 3, 3, 900]) == 2.75 and middle_mean([7]) == 7

    def test_events_of_the_profiler(self):
        node = {"cat": "Node", "args": {"op_name": "Conv"}, "dur": 5}
        events = [{"cat": "Session", "name": "model_run", "dur": 9, "args": {}}]
        events += [{**node, "name": "a/Conv_kernel_time", "dur": 100 + call} for call in range(child.WARM_UP + 2)]
        assert child.ops_of([*events, {**node, "name": "a/Conv_fence_before"}]) == [["a/Conv", "Conv", [110, 111]]]


class TestDamage:
    def report(self, tmp_path, **changes):
        layers = {"relu": {"layers": ["conv", "relu"], "noise_share": 0.75}, "x": {"layers": [], "noise_share": 0.25}}
        sha256 = Artifact.open(INT8).manifest.sha256
        found = {"sha256": sha256, "order": ["x", "relu"], "layers": layers, **changes}
        (tmp_path / "explain.json").write_text(json.dumps(found))
        return damage_of(Artifact.open(INT8), tmp_path / "explain.json")

    def test_layers_that_are_one_in_the_file_are_one_here(self, tmp_path):
        damage = self.report(tmp_path)
        assert damage.groups == {"conv": "conv + relu", "relu": "conv + relu"}
        assert damage.noise == {"conv + relu": 0.75} and damage.line == "Most noise: conv + relu (75 %)."

    def test_without_a_report(self):
        assert damage_of(Artifact.open(INT8), None) == Damage() and "fmnist-edge explain" in Damage().line

    def test_a_report_about_another_file_is_refused(self, tmp_path):
        with pytest.raises(InputError, match="about another file than"):
            self.report(tmp_path, sha256="0" * 64)

    @pytest.mark.parametrize("wrong", [{"order": ["y"]}, {"layers": []}, {"order": None}])
    def test_a_damaged_report_is_refused(self, tmp_path, wrong):
        with pytest.raises(FileError, match="not a report of `fmnist-edge explain`"):
            self.report(tmp_path, **wrong)


def test_the_plot(tmp_path):
    found = made_profile(("a", ("conv",), (5.0,)), ("b", ("relu",), (-1.0,)))
    for noise in ({}, {"conv": 0.5, "input": 0.5}):
        draw_profile(found.as_dict({}, noise), tmp_path / "plot.png")
        assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("path", "engine", "said"),
    [(INT8, "numpy", "the ops of numpy cannot be timed; choose from: litert, "),
     (FLOAT, "litert", "the ops of litert cannot be timed; choose from: onnxruntime, ")],
)  # fmt: skip
def test_engines_that_cannot_tell(path, engine, said):
    with pytest.raises(InputError, match=said):
        profile(Artifact.open(path), lambda name: (), engine=engine, threads=1)


@pytest.mark.parametrize(("path", "count"), [(INT8, 9), (FLOAT, 10)])
def test_one_real_round(path, count):
    found = profile(Artifact.open(path), lambda name: (name.split("/")[0],), engine=None, threads=1, rounds=1)
    assert len(found.ops) >= count and found.total_us > 0
    assert sum(op.us for op in found.ops) > 0 and all(len(op.samples[0]) >= 5 for op in found.ops)
    if found.is_estimate:
        assert sum(op.us for op in found.ops) == pytest.approx(found.total_us), "differences add up to the whole"


@pytest.mark.slow
@pytest.mark.parametrize("path", [INT8, FLOAT], ids=lambda path: path.suffix)
def test_the_command(path, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(path.parent, tmp_path / "compact_cnn")
    line = ["profile", f"compact_cnn/{path.name}", "--trained", str(ROOT / "trained_model")]
    assert main(line) == 0
    shown = capsys.readouterr()
    assert "| conv1 " in shown.out and "Most time: " in shown.out and not shown.err
    found = json.loads((tmp_path / f"reports/profile-compact_cnn-{path.name}.json").read_text())
    assert set(LAYERS) <= {row["layer"] for row in found["layers"]} | {"flatten", "pool"}
    assert (tmp_path / f"reports/profile-compact_cnn-{path.name}.png").exists()
    assert main(["profile", f"compact_cnn/{path.name}", "--trained", "none", "--report", "-"]) == 0
    shown = capsys.readouterr()
    assert "note: ops are not grouped by layer" in shown.err and json.loads(shown.out)["ops"]
