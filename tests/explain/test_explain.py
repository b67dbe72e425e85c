"""Explain finds a layer that was damaged on purpose, in every format, and its predictions are right."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from support import ROOT
from support.small_model import CONTRACT, HURT, images, small_checkpoint, small_model

from fmnist_edge import checkpoints
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import PRECISIONS, select
from fmnist_edge.cli import main
from fmnist_edge.commands.explain import advice
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import ArtifactError
from fmnist_edge.explain.explanation import Explanation, explain, readers, remedy
from fmnist_edge.explain.graph import LayerGraph
from fmnist_edge.explain.layers import LayerReport, compare_layers, empty_report
from fmnist_edge.explain.matching import Match, Matching
from fmnist_edge.explain.metrics import Saturation
from fmnist_edge.explain.probe import OUTPUT
from fmnist_edge.exporters.calibration_images import Calibration
from fmnist_edge.exporters.pipeline import export
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.preprocess import Preprocessing

PIXELS = images()
SELECTIVE = [item for item in PRECISIONS if item.selective and item.calibrated and not item.stock]


def silent(done, total, text):
    pass


def explained(checkpoint, precision, out, *keep_float, calibration=PIXELS):
    artifact = export(
        checkpoint, precision, CONTRACT, out, calibration=Calibration(calibration, "blobs"), keep_float=keep_float
    )
    return explain(artifact, checkpoint, PIXELS, progress=silent)


@pytest.fixture(scope="module")
def hurt(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("hurt"), hurt=True)


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    return small_checkpoint(tmp_path_factory.mktemp("sound"))


@pytest.mark.parametrize("precision", SELECTIVE, ids=lambda item: item.filename)
class TestADamagedLayer:
    def test_is_found_and_keeping_it_in_float_helps(self, hurt, precision, tmp_path):
        found = explained(hurt, precision, tmp_path)
        assert found.by_damage[0].layer == HURT and HURT in found.remedies[0].layers and HURT in found.weakest[:2]
        assert found.share(found.by_damage[0].noise) > 0.8
        own = {name: report.own.sqnr_db for name, report in found.reports.items() if report.own.sqnr_db is not None}
        assert min(own, key=own.get) == HURT, "the layers behind it only pass its error on"
        healed = explained(hurt, precision, tmp_path / "kept", *found.remedies[0].layers)
        assert healed.output.error.sqnr_db > found.output.error.sqnr_db + 6
        assert healed.reports[HURT].own.sqnr_db > own[HURT] + 20

    @pytest.mark.slow
    def test_in_the_sound_model_no_layer_stands_out(self, sound, precision, tmp_path):
        found = explained(sound, precision, tmp_path)
        assert found.share(found.by_damage[0].noise) < 0.7
        assert found.output.error.sqnr_db > 25


@pytest.mark.parametrize("format", [name for name, item in FORMATS.items() if item.probe])
def test_every_layer_of_a_float32_file_is_found_and_right(sound, format, tmp_path):
    """A tensor that is matched with the wrong layer has an SQNR of about 10 dB."""
    found = explained(sound, select(format, ["float32"])[0], tmp_path)
    traced = {report.layers[-1] for report in found.reports.values()}
    assert traced >= {"picture", "re_lu", "pool", "conv2d_1", "lrn", "add", "flatten", "dense", "dense_1", "scores"}
    assert set(found.untraced) <= {"conv2d", "batch_normalization"}, "only what is folded"
    assert {layer for report in found.reports.values() for layer in report.layers} | {"dropout"} == {
        layer.name for layer in sound.model.layers
    }
    for report in found.reports.values():
        assert report.error.exact or report.error.sqnr_db > 90, report.layers
        assert report.own.exact or report.own.sqnr_db > 90, report.layers


@pytest.mark.parametrize(
    "precision",
    [
        pytest.param(item, id=item.filename, marks=() if item.name == "int8" else pytest.mark.slow)
        for item in PRECISIONS
        if item.weights != "float32" and FORMATS[item.format].probe
    ],
)
def test_every_precision_is_explained(sound, precision, tmp_path):
    found = explained(sound, precision, tmp_path)
    assert {"re_lu", "conv2d_1", "add", "dense", "scores"} <= {report.layers[-1] for report in found.reports.values()}
    for report in found.reports.values():
        assert report.error.exact or report.error.sqnr_db > 20, report.layers
        assert (report.saturation.share is None) == (report.spec.scale is None)
    json.dumps(found.as_dict(), allow_nan=False)


@pytest.mark.slow
def test_saturation_shows_what_calibration_left_out(sound, tmp_path):
    """After calibration on dark images, bright ones are clipped at the input."""
    int8 = select("tflite", ["int8"])[0]
    bright = explained(sound, int8, tmp_path / "bright").reports
    dark = explained(sound, int8, tmp_path / "dark", calibration=PIXELS // 8).reports
    assert bright["picture"].saturation.share < 0.01
    assert dark["picture"].saturation.share > 0.5


@pytest.mark.slow
def test_a_fixed_batch_and_an_open_one(sound, tmp_path):
    calibration = Calibration(PIXELS, "blobs")
    for batch in (7, None):
        artifact = export(
            sound, select("tflite", ["int8"])[0], CONTRACT, tmp_path / str(batch), batch=batch, calibration=calibration
        )
        assert explain(artifact, sound, PIXELS, progress=silent).output.error.sqnr_db > 25


def test_a_graph_that_fails_on_its_declared_input_is_refused_in_one_line(tmp_path):
    """Its input has an open batch, but its Reshape expects one image."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Reshape", ["x", "one"], ["flat"]), helper.make_node("Relu", ["flat"], ["y"])]
    tensors = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4]) for name in ("x", "y")]
    shape = numpy_helper.from_array(np.array([1, 4], np.int64), "one")
    model = helper.make_model(
        helper.make_graph(nodes, "one", tensors[:1], tensors[1:], [shape]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    (tmp_path / "one.onnx").write_bytes(model.SerializeToString())
    probe = FORMATS["onnx"].probe_class()(str(tmp_path / "one.onnx"))
    assert probe.capture(np.ones((1, 4), np.float32), [OUTPUT])[OUTPUT].shape == (1, 4)
    with pytest.raises(ArtifactError, match=r"failed on 2 images .*requested shape"):
        probe.capture(np.ones((2, 4), np.float32), [OUTPUT])


class TestGraph:
    def test_computes_the_same_as_the_model(self):
        model = small_model()
        graph = LayerGraph(model)
        inputs = CONTRACT.preprocessing.apply(PIXELS[:3], CONTRACT.input_shape)
        values = graph.evaluate([graph.output], {graph.input: inputs})
        assert np.allclose(values[graph.output], model.predict(inputs, verbose=0), atol=1e-5)

    def test_starts_from_any_values(self):
        graph = LayerGraph(small_model())
        assert graph.needed(["dense_1"], {"flatten"}) == ["dense", "dense_1"]
        assert graph.downstream("dense") == {"dense_1", "scores"}
        assert {"add", "dropout"} <= graph.downstream("pool") and "pool" not in graph.downstream("conv2d_1")
        ones = np.ones((2, graph.steps["dense_1"].tensor.shape[1]), np.float32)
        scores = graph.evaluate(["scores"], {"dense_1": ones})["scores"]
        kernel, bias = small_model().get_layer("scores").get_weights()
        assert np.allclose(scores, kernel.sum(axis=0) + bias, atol=1e-5)

    def test_a_layer_called_twice_and_one_with_two_outputs(self):
        import keras

        image = keras.Input((4,), name="image")
        dense = keras.layers.Dense(4, name="dense")
        halves = keras.ops.split(dense(dense(image)), 2, axis=1)
        graph = LayerGraph(keras.Model(image, keras.layers.Add(name="sum")(halves)))
        assert [name for name in graph.steps if name.startswith("dense")] == ["dense", "dense:1"]
        inputs = np.eye(4, dtype=np.float32)
        kernel, bias = dense.get_weights()
        expected = (inputs @ kernel + bias) @ kernel + bias
        assert np.allclose(
            graph.evaluate(["sum"], {"image": inputs})["sum"], expected[:, :2] + expected[:, 2:], atol=1e-5
        )


def report(name: str, inputs: tuple[str, ...], noise: float, rounding: float, exact: bool = False) -> LayerReport:
    spec = TensorSpec(name, (1,), "int8", 0.1, 0)
    made = LayerReport((name,), inputs, spec, Saturation(spec), noise=noise, rounding=rounding)
    made.own.add(np.ones(1), np.ones(1) if exact else np.zeros(1))
    return made


class TestRemedy:
    REPORTS = {  # noqa: RUF012
        "image": report("image", (), 0, 0),
        "conv": report("conv", ("image",), 10, 9),
        "pool": report("pool", ("conv",), 0, 0, exact=True),
        "left": report("left", ("pool",), 4, 1),
        "right": report("right", ("pool",), 4, 3),
        "scores": report("scores", ("left", "right"), 8, 7),
    }

    def test_the_error_of_arithmetic_is_removed_with_the_layer(self):
        assert (remedy(self.REPORTS, "left").layers, remedy(self.REPORTS, "left").saved) == (("left",), 3)

    def test_rounding_is_only_removed_with_all_readers(self):
        assert readers(self.REPORTS, "conv") == ["pool", "left", "right"]
        found = remedy(self.REPORTS, "conv")
        assert found.layers == ("conv", "pool", "left", "right") and found.saved == 10 + 0 + 3 + 1

    def test_an_operation_cannot_be_kept(self):
        reports = {**self.REPORTS, "left": report("left", ("pool",), 4, 1)}
        reports["left"].keepable = False
        assert remedy(reports, "left").layers == ()
        assert (remedy(reports, "conv").layers, remedy(reports, "conv").saved) == (("conv",), 1)

    def test_rounding_of_the_output_stays(self):
        assert (remedy(self.REPORTS, "scores").layers, remedy(self.REPORTS, "scores").saved) == (("scores",), 1)


class Overflowing:
    """A probe of a float16 file in which the layer "big" overflows."""

    def __init__(self, graph):
        self.graph = graph
        self.tensors = {(name, 0): TensorSpec(name, (None, 2), "float16") for name in graph.steps}

    def capture(self, pixels, keys):
        values = self.graph.evaluate(list(self.graph.steps), {self.graph.input: pixels})
        found = {(name, 0): np.asarray(value).astype(np.float16) for name, value in values.items()}
        for name in ("big", "after"):
            found[name, 0][:] = np.inf
        return {key: found[key] for key in keys}


def test_values_that_are_not_finite_come_first():
    import keras

    image = keras.Input((2,), name="image")
    big = keras.layers.Rescaling(4e4, name="big")(keras.layers.Rescaling(2.0, offset=0.1, name="before")(image))
    graph = LayerGraph(keras.Model(image, keras.layers.ReLU(name="after")(big)))
    matching = Matching({name: Match((name, 0)) for name in graph.steps}, frozenset())
    with np.errstate(over="ignore"):
        probe, pixels = Overflowing(graph), np.full((3, 2), 1.0, np.float32)
        reports = compare_layers(graph, probe, matching, {}, pixels, silent)
    found = Explanation(Artifact.open(ROOT / "exported/compact_cnn/int8.tflite"), "", reports, (), 3)
    assert [report.layer for report in found.by_damage][:2] == ["big", "after"]
    assert "big is the first layer whose values are not finite" in advice(found, None, SimpleNamespace(shown_name=str))


def test_the_layer_with_the_kernel_represents_fused_layers():
    import keras

    image = keras.Input((8, 8, 1), name="image")
    x = keras.layers.Conv2D(2, 3, name="conv")(keras.layers.ZeroPadding2D(name="pad")(image))
    graph = LayerGraph(keras.Model(image, keras.ops.tanh(keras.layers.ReLU(name="relu")(x) * 2)))
    spec = TensorSpec("t", (1,), "int8", 0.1, 0)
    names = [graph.input, "relu", graph.output]
    matching = Matching({name: Match((name, 0)) for name in names}, frozenset())
    probe = type("Probe", (), {"tensors": {(name, 0): spec for name in names}})
    owners = {"else": ("conv",), "t": ("relu",)}
    first, last = (empty_report(graph, probe, matching, owners, name) for name in names[1:])
    assert (first.layers, first.layer, first.keepable) == (("pad", "conv", "relu"), "conv", True)
    assert not last.keepable
    for made, layer, keepable in (({"t": ("relu", "pad")}, "pad", True), ({"else": ("relu", "pad")}, "conv", False)):
        found = empty_report(graph, probe, matching, made, "relu")
        assert (found.layer, found.keepable) == (layer, keepable), "no op of the convolution's own"


@pytest.fixture(scope="module")
def compact(tmp_path_factory):
    out = tmp_path_factory.mktemp("compact")
    common = ["--format", "tflite", "--precision", "int8", "--trained", str(ROOT / "trained_model")]
    assert main(["export", "compact_cnn", "--out", str(out), *common]) == 0
    return out / "compact_cnn/int8.tflite"


@pytest.mark.slow
def test_the_predicted_saving_of_a_real_model_is_right(compact, tmp_path):
    """The errors of many layers are nearly independent, so their noise adds up to the noise of the whole model.

    The remaining noise changes when a layer is kept in float, so the prediction is right within a factor of two.
    """
    checkpoint = checkpoints.load("compact_cnn", folder=ROOT / "trained_model")
    artifact, pixels = Artifact.open(compact), fashion_mnist.calibration_images(64)
    found = explain(artifact, checkpoint, pixels, progress=silent)
    before = found.output.error.noise
    assert sum(report.noise for report in found.reports.values()) == pytest.approx(before, rel=0.15)
    best = found.remedies[0]
    assert best.saved / before > 0.1
    kept = export(
        checkpoint,
        select("tflite", ["int8"])[0],
        artifact.contract,
        tmp_path,
        calibration=Calibration(fashion_mnist.calibration_images(), "as by default"),
        keep_float=best.layers,
    )
    after = explain(kept, checkpoint, pixels, progress=silent).output.error.noise
    assert 0.5 < (before - after) / best.saved < 2


def command(capsys, *arguments: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["explain", *map(str, arguments), "--trained", str(ROOT / "trained_model"), "--limit", "10"])
    return code, *capsys.readouterr()


class TestCommand:
    @pytest.mark.slow
    def test_table_json_plot_and_a_command_that_can_be_run(self, compact, capsys, tmp_path, monkeypatch):
        def untouched(split, folder=None):
            assert split == "train", "test images are for reports"
            return load(split, folder)

        load = fashion_mnist.load
        monkeypatch.setattr(fashion_mnist, "load", untouched)
        code, out, err = command(capsys, compact, "--report", tmp_path / "r.json")
        assert code == 0 and err == ""
        rows = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("|")][2:]
        written = json.loads((tmp_path / "r.json").read_text())
        assert [row.split(" + ")[-1] for row in rows] == list(written["layers"])
        noise = [layer["noise_share"] for layer in written["layers"].values()]
        assert noise == sorted(noise, reverse=True) and sum(noise) == pytest.approx(1)
        assert written["images"] == 10 and "training split" in written["images_source"]
        assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
        (advice,) = [line.strip() for line in out.splitlines() if line.startswith("  fmnist-edge export")]
        kept = written["remedies"][0]["keep_float"]
        assert advice.endswith(" ".join(f"--keep-float {layer}" for layer in kept))
        again = [*advice.split()[1:], "--out", str(tmp_path), "--trained", str(ROOT / "trained_model")]
        assert main(again) == 0
        assert Artifact.open(tmp_path / "compact_cnn/int8.tflite").manifest.keep_float == tuple(kept)

    @pytest.mark.slow
    def test_the_command_exports_as_before(self, sound, capsys, tmp_path):
        """The command includes the batch, preprocessing and calibration of a user's own model."""
        contract = replace(CONTRACT, preprocessing=Preprocessing(std=2.0, mean=-0.5))
        np.save(tmp_path / "pixels.npy", PIXELS)
        int8 = select("tflite", ["int8"])[0]
        artifact = export(sound, int8, contract, tmp_path, batch=None, calibration=Calibration(PIXELS, ""))
        given = ("--reference", sound.path, "--images", tmp_path / "pixels.npy", "--report", tmp_path / "r.json")
        code, out, _ = command(capsys, artifact.path, *given)
        assert code == 0
        (words,) = [line.split()[1:] for line in out.splitlines() if line.startswith("  fmnist-edge export")]
        assert main([*words, "--out", str(tmp_path / "again")]) == 0
        again = Artifact.open(tmp_path / "again/small/int8.tflite")
        assert again.contract.preprocessing == contract.preprocessing and again.manifest.batch is None

    @pytest.mark.slow
    def test_default_report_is_named_after_the_artifact(self, compact, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert command(capsys, compact)[0] == 0
        assert {path.name for path in (tmp_path / "reports").iterdir()} == {
            "explain-compact_cnn-int8.tflite.json",
            "explain-compact_cnn-int8.tflite.png",
        }

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            ({"batch": "1"}, "batch is '1'"),
            ({"batch": True}, "batch is True"),
            ({"batch": 0}, "batch is 0"),
            ({"lrn_fits": 5}, "lrn_fits is 5"),
            ({"lrn_fits": {"conv2": {}}}, "KeyError at 'terms'"),
            ({"lrn_fits": {"conv2": {"offset": "x", "terms": [], "rms_error": 0, "max_energy": 0}}}, "ValueError"),
            (
                {"lrn_fits": {"conv2": {"offset": 0, "terms": [], "rms_error": 0, "max_energy": 0}}},
                "conv2, not an LRN layer",
            ),
            ({"keep_float": "conv2"}, "keep_float is 'conv2'"),
            ({"keep_float": ["conv"]}, "keep_float is ['conv']"),
            ({"recipe": {"name": "int8", "format": "gguf", "weights": "int8", "activations": "int8"}}, "gguf"),
            ({"recovery": {"weights_changed": True}}, "changed its weights"),
        ],
        ids=str,
    )
    def test_a_manifest_that_was_edited_is_refused(self, compact, capsys, tmp_path, changed, message):
        path = tmp_path / "int8.tflite"
        path.write_bytes(compact.read_bytes())
        manifest = json.loads(compact.with_name("int8.tflite.json").read_text()) | changed
        path.with_name("int8.tflite.json").write_text(json.dumps(manifest))
        code, out, err = command(capsys, path, "--report", tmp_path / "r.json")
        assert (code, out) == (2, "") and err.count("\n") == 1 and message in err, err
        assert "export the model again" in err or "without --tune-accuracy" in err

    def test_a_manifest_without_batch_is_refused(self, compact, capsys, tmp_path):
        path = tmp_path / "int8.tflite"
        path.write_bytes(compact.read_bytes())
        manifest = json.loads(compact.with_name("int8.tflite.json").read_text())
        del manifest["batch"]
        path.with_name("int8.tflite.json").write_text(json.dumps(manifest))
        code, _, err = command(capsys, path, "--report", tmp_path / "r.json")
        assert code == 2 and "the manifest has no batch" in err

    @pytest.mark.slow
    def test_refusals_are_one_line(self, compact, hurt, capsys, tmp_path):
        other = tmp_path / "int8.tflite"
        other.write_bytes(compact.read_bytes()[:-1])
        manifest = json.loads(compact.with_name("int8.tflite.json").read_text())
        other.with_name("int8.tflite.json").write_text(json.dumps(manifest))
        old = tmp_path / "old/int8.tflite"
        old.parent.mkdir()
        old.write_bytes(compact.read_bytes())
        old.with_name("int8.tflite.json").write_text(json.dumps({**manifest, "recipe": {"bits": 8}}))
        own = export(
            hurt, select("tflite", ["int8"])[0], CONTRACT, tmp_path / "own", calibration=Calibration(PIXELS, "")
        )
        for arguments, message in (
            ((tmp_path / "none.tflite",), "no such file"),
            ((other,), "truncated or altered"),
            ((old,), "export the model again"),
            ((compact, "--reference", hurt.path), "name its own model with --reference"),
            ((own.path, "--reference", hurt.path), "with --images"),
            ((compact, "--report", tmp_path / "r.png"), "name a .json file"),
            ((own.path,), "small"),
        ):
            code, out, err = command(capsys, *arguments)
            assert (code, out) == (2, "") and err.count("\n") == 1 and message in err, err


@pytest.mark.parametrize("shape", [(4, 49), (4,), (1, 4, 10, 2), ()])
def test_a_tensor_of_another_size_than_its_layer_is_refused(shape):
    """A valid file that an engine runs, but whose output is another op's tensor."""
    with pytest.raises(ArtifactError, match=r"the file's tensor 'output' has shape .* its model's layer has"):
        Match(OUTPUT).arranged(np.zeros(shape, np.float32), np.zeros((4, 10), np.float32))
