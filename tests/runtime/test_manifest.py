"""The manifest: validated once, refused in one line, written back as it was."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from support.linear import LINEAR

from fmnist_edge import artifact
from fmnist_edge.artifact import Artifact
from fmnist_edge.catalog.precisions import PRECISIONS
from fmnist_edge.errors import ArtifactError
from fmnist_edge.exporters.recipe import precision_of
from fmnist_edge.files import json_text
from fmnist_edge.runtime import Contract
from fmnist_edge.runtime.engine import TensorSpec
from fmnist_edge.runtime.manifest import SECTIONS, CalibrationSet, Manifest, ModelFile, Recovery, manifest_path

ROOT = Path(__file__).parents[2]
COMMITTED = sorted(ROOT.glob("exported/*/*.json"))
MINIMAL = {"schema": 1, "sha256": "0" * 64, "contract": LINEAR.as_dict()}
SHIPPED = json.loads((ROOT / "exported/tiny_resnet/int8.tflite.json").read_text())
# Every section, including those of a c-array and of `--tune-accuracy`.
FULL = {
    **SHIPPED,
    "arena_bytes": 20_480,
    "ops": ["CONV_2D"],
    "files": {"model.cc": "1" * 64},
    "runs_in": {"tflite-runtime": None, "tensorflow": "2.17"},
    "recovery": {"rung": "equalisation", "passed": True, "weights_changed": True, "ladder": []},
}
json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
HUGE = 10**400  # larger than any float


def read(folder: Path, content: str | bytes | dict) -> Manifest:
    text = json.dumps(content) if isinstance(content, dict) else content
    path = folder / "m.onnx"
    manifest_path(path).write_bytes(text.encode() if isinstance(text, str) else text)
    return Manifest.read(path)


def refused(value: object) -> str:
    """The error message. It is one line that is safe to print."""
    with pytest.raises(ArtifactError) as refusal:
        Manifest.from_dict(value)
    return printable(refusal.value)


def printable(error: ArtifactError) -> str:
    assert str(error).isprintable(), repr(str(error))
    return str(error)


def everything_of(manifest: Manifest) -> None:
    """Read everything that is read lazily. Raises only ArtifactError."""
    for ask in (
        manifest.require_model, manifest.require_input, manifest.require_recipe, manifest.golden_vectors,
        lambda: precision_of(manifest), lambda: manifest.require("batch", "keep_float"),
    ):  # fmt: skip
        try:
            ask()
        except ArtifactError as error:
            printable(error)


class TestReading:
    def test_contract(self, tmp_path):
        contract = Contract((8, 9, 3), "probabilities", ("ä", "b"), LINEAR.preprocessing)
        assert read(tmp_path, MINIMAL | {"contract": contract.as_dict()}).contract == contract

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", b"\xff\xfe", "[" * 100_000, "{}", '{"schema": 2}',
                                      '{"schema": 1}', json.dumps(MINIMAL | {"sha256": 5}),
                                      '{"schema": ' + "[" * 900 + "]" * 900 + "}"])  # fmt: skip
    def test_damaged(self, tmp_path, text):
        with pytest.raises(ArtifactError) as refusal:
            read(tmp_path, text)
        assert printable(refusal.value).startswith(f"{tmp_path / 'm.onnx.json'}: ")

    def test_missing(self, tmp_path):
        with pytest.raises(ArtifactError, match=r"no manifest m\.onnx\.json beside it; copy both files"):
            Manifest.read(tmp_path / "m.onnx")

    def test_too_large(self, tmp_path):
        text = json.dumps(MINIMAL)
        assert read(tmp_path, text + " " * ((16 << 20) - len(text)))
        with pytest.raises(ArtifactError, match="not a readable manifest"):
            read(tmp_path, text + " " * ((16 << 20) + 1 - len(text)))

    @pytest.mark.parametrize("wrong", [{"std": 0}, {"scale": 0.0}, {"mean": float("nan")}, {"std": "inf"}])
    def test_invalid_preprocessing(self, tmp_path, wrong):
        contract = MINIMAL["contract"] | {"preprocessing": MINIMAL["contract"]["preprocessing"] | wrong}
        with pytest.raises(ArtifactError, match="contract: preprocessing has scale"):
            read(tmp_path, MINIMAL | {"contract": contract})

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.sampled_from(sorted(MINIMAL["contract"])), json_values)
    def test_any_value_in_any_field_of_the_contract_is_used_or_refused(self, tmp_path, field, value):
        try:
            read(tmp_path, MINIMAL | {"contract": MINIMAL["contract"] | {field: value}})
        except ArtifactError as error:
            assert "contract" in printable(error)


class TestSections:
    def test_sections_have_types(self):
        found = Manifest.from_dict(FULL)
        assert (found.artifact, found.format, found.precision) == ("int8.tflite", "tflite", "int8")
        assert found.model == found.require_model() == ModelFile("tiny_resnet", FULL["model"]["sha256"], 1_204_048)
        entry = FULL["inputs"][0]
        spec = TensorSpec(entry["name"], (1, 28, 28, 1), "int8", entry["scale"], -128)
        assert found.inputs == (spec,) and found.require_input() == spec
        assert found.outputs[0].shape == (1, 10)
        source = "Fashion-MNIST training split, 500 class-balanced images, seed 0"
        assert found.calibration == CalibrationSet(500, FULL["calibration"]["sha256"], 0, source)
        assert found.recovery == Recovery(True, "equalisation", True)
        assert (found.batch, found.keep_float, found.float_ops) == (1, (), ())
        assert found.op_census == FULL["op_census"] and found.versions == FULL["versions"]
        assert list(found.lrn_fits) == list(FULL["lrn_fits"]) and found.size_bytes == FULL["size_bytes"]
        assert (found.arena_bytes, found.ops, found.files) == (20_480, ("CONV_2D",), {"model.cc": "1" * 64})
        assert Manifest.from_dict(FULL | {"versions": {"pnnx": None}}).versions == {"pnnx": None}, "not installed then"
        assert found.golden_vectors().images.shape == (16, 28, 28, 1)
        assert precision_of(found) == next(item for item in PRECISIONS if item.filename == "int8.tflite")

    def test_an_old_manifest_has_fewer_sections(self):
        """A manifest of the first version: fewer sections, with fewer fields."""
        late = ("keep_float", "lrn_fits", "golden", "parity", "arena_bytes", "ops", "files", "recovery")
        old = {name: value for name, value in FULL.items() if name not in late}
        old["calibration"] = {name: FULL["calibration"][name] for name in ("images", "source", "sha256")}
        old["recipe"] = {name: value for name, value in FULL["recipe"].items() if name not in ("integer_only", "stock")}
        old["contract"] = {
            name: FULL["contract"][name] for name in ("input_shape", "output", "labels", "preprocessing")
        }
        found = Manifest.from_dict(old)
        assert found.calibration.seed == 0 and found.golden_vectors() is None and found.parity is None
        assert found.keep_float == () and found.lrn_fits == {} and found.recovery is None
        assert precision_of(found).filename == "int8.tflite" and found.as_dict() == old
        with pytest.raises(ArtifactError, match="the manifest has no keep_float; export the model again"):
            found.require("batch", "keep_float", "calibration")

    def test_the_smallest_manifest(self):
        found = Manifest.from_dict(MINIMAL)
        assert (found.batch, found.model, found.precision, found.versions) == (1, None, None, {})
        for ask, said in (
            (found.require_model, "has no model"),
            (found.require_recipe, "has no recipe"),
            (found.require_input, "has 0 inputs"),
            (lambda: found.require("batch"), "has no batch"),
        ):
            with pytest.raises(ArtifactError, match=f"{said}.*export the model again"):
                ask()

    @pytest.mark.parametrize("golden", [{}, [], 0, "", False], ids=repr)
    def test_invalid_golden_vectors(self, golden):
        with pytest.raises(ArtifactError, match=r"golden vectors: .* damaged"):
            Manifest.from_dict(FULL | {"golden": golden}).golden_vectors()

    @pytest.mark.parametrize("name", sorted(FULL))
    def test_missing_sections(self, name):
        rest = {key: value for key, value in FULL.items() if key != name}
        if name in ("schema", "sha256", "contract"):
            assert name in refused(rest)
        else:
            found = Manifest.from_dict(rest)
            assert name not in found and found.as_dict() == rest
            everything_of(found)

    @pytest.mark.parametrize("value", [None, 5, "x", [], {}, True, float("nan"), HUGE, [5], {"x": [5]}], ids=repr)
    @pytest.mark.parametrize("name", sorted({*SECTIONS, "schema", "contract"}))
    def test_any_type_in_any_section(self, name, value):
        try:
            found = Manifest.from_dict(FULL | {name: value})
        except ArtifactError as error:
            assert printable(error).startswith(("manifest schema is", name, f"a name in {name}"))
        else:
            everything_of(found)
            assert type(value) in ALLOWED[name], f"{name} took {value!r}"

    @pytest.mark.parametrize(
        ("changed", "said"),
        [
            ({"schema": 2}, "schema is 2, this version reads 1"),
            ({"sha256": "\x1b[2J"}, "sha256 is '\\x1b[2J'; expected a text without control characters"),
            ({"model": {"name": "a", "sha256": None}}, "model.sha256 is None"),
            ({"model": {"name": "a\nb", "sha256": "0"}}, "model.name is 'a\\nb'"),
            ({"model": {"name": "\ud800", "sha256": "0"}}, "model.name is '\\ud800'"),
            ({"model": {"name": "a", "sha256": "0", "parameters": 1.5}}, "model.parameters is 1.5"),
            ({"batch": True}, "batch is True; expected a whole number of at least 1, or null"),
            ({"batch": 0}, "batch is 0"),
            ({"inputs": [5]}, "inputs[0] is 5; expected an object"),
            ({"inputs": [{"name": "x", "shape": [1, "2"], "dtype": "int8"}]}, "inputs[0].shape[1] is '2'"),
            ({"inputs": [{"name": "x", "shape": [1], "dtype": "int8", "scale": HUGE}]}, "inputs[0].scale is 1000"),
            ({"outputs": [{"name": "x", "shape": [], "dtype": "i", "scale": float("inf")}]}, "outputs[0].scale is inf"),
            ({"budget": {"max_latency_ms": 0}}, "budget.max_latency_ms is 0.0; expected a number above 0"),
            ({"budget": {"max_size_bytes": 1.5}}, "budget.max_size_bytes is 1.5; expected a whole number"),
            ({"budget": {"min_accuracy": 94.5}}, "budget.min_accuracy is 94.5; expected a share from 0 to 1"),
            ({"budget": {"\x1b[2J": 1}}, "a name in budget is '\\x1b[2J'"),
            ({"keep_float": "conv"}, "keep_float is 'conv'; expected a list"),
            ({"calibration": {"images": True, "sha256": "0"}}, "calibration.images is True"),
            ({"calibration": {"images": 5, "sha256": "0", "seed": "1"}}, "calibration.seed is '1'"),
            ({"lrn_fits": {"a": 5}}, "lrn_fits['a'] is 5"),
            ({"lrn_fits": {"\x07": {}}}, "a name in lrn_fits is '\\x07'"),
            ({"op_census": {"ADD": "1"}}, "op_census['ADD'] is '1'"),
            ({"float_ops": "some"}, "float_ops is 'some'"),
            ({"versions": {"numpy": "\x1b[2J"}}, "versions['numpy'] is '\\x1b[2J'"),
            ({"versions": {"\x9b": "1"}}, "a name in versions is '\\x9b'"),
            ({"files": {"../x": 5}}, "files['../x'] is 5"),
            ({"files": {"x": "\x1b"}}, "files['x'] is '\\x1b'"),
            ({"recovery": {}}, "recovery.weights_changed is None; expected true or false"),
            ({"recovery": {"weights_changed": True, "passed": "yes"}}, "recovery.passed is 'yes'"),
        ],
        ids=lambda value: str(value)[:40].encode("ascii", "backslashreplace").decode(),
    )  # fmt: skip
    def test_nearly_valid_values(self, changed, said):
        message = refused(FULL | changed)
        assert said in message and message.endswith("export the model again")

    @pytest.mark.parametrize(
        "changed",
        [
            {"schema": "x" * 10_000},
            {"precision": "x" * 10_000 + "\n"},
            {"batch": {str(key): {str(key): {str(key): "x" * 30 for key in range(9)} for key in range(9)}
                       for key in range(9)}},
            {"op_census": {"x" * 10_000: "1"}},
            {"model": {"name": "a", "sha256": list(range(10_000))}},
        ],
        ids=list,
    )  # fmt: skip
    def test_the_message_is_short(self, changed):
        assert len(refused(FULL | changed)) < 300

    @pytest.mark.parametrize(
        ("recipe", "said"),
        [
            ({"bits": 8}, "'bits' is 8"),
            ({"bits": 10**20}, "recipe['bits'] is 100000000000000000000; expected a smaller number"),
            ({"bits": [8]}, "recipe['bits'] is [8]"),
            ({**FULL["recipe"], "opset": 5}, "it has no opset"),
            ({**FULL["recipe"], "opset": True}, "'opset' is True"),
            ({**FULL["recipe"], "oldest": "onnxruntime-1.12"}, "onnxruntime-1.12 runs onnx files"),
            ({**FULL["recipe"], "oldest": "x"}, "unknown runtime 'x'"),
            ({"name": "../x"}, "missing 3 required"),
            ({**FULL["recipe"], "name": "../x"}, "not letters, digits and underscores"),
            ({**FULL["recipe"], "stock": "yes"}, "'stock' is 'yes'"),
            ({**FULL["recipe"], "name": True}, "'name' is True"),
            ({**FULL["recipe"], "bits": "8"}, "'bits' is '8'"),
            ({**FULL["recipe"], "format": "gguf"}, "format is 'gguf'"),
        ],
    )
    def test_a_recipe_of_another_version_loads_but_is_no_known_precision(self, recipe, said):
        found = Manifest.from_dict(FULL | {"recipe": recipe})
        with pytest.raises(ArtifactError) as refusal:
            precision_of(found)
        assert said in printable(refusal.value) and "export the model again" in str(refusal.value)

    @given(json_values)
    @example({"schema": 1, "sha256": "0", "contract": None})
    def test_any_json_is_a_manifest_or_refused(self, value):
        try:
            everything_of(Manifest.from_bytes(json.dumps(value).encode()))
        except ArtifactError as error:
            printable(error)

    @given(st.dictionaries(st.sampled_from(sorted(SECTIONS)), json_values, max_size=4))
    def test_any_sections_beside_good_ones_are_read_or_refused(self, sections):
        try:
            found = Manifest.from_bytes(json.dumps(FULL | sections).encode())
        except ArtifactError as error:
            printable(error)
        else:
            everything_of(found)

    @given(st.sampled_from(["model", "recipe", "calibration", "recovery", "golden"]), st.text(max_size=5), json_values,
           st.data())  # fmt: skip
    def test_any_field_of_a_section_is_read_or_refused(self, section, other, value, data):
        field = data.draw(st.sampled_from([*FULL[section], other]))
        try:
            everything_of(Manifest.from_dict(FULL | {section: FULL[section] | {field: value}}))
        except ArtifactError as error:
            assert section in printable(error)


# Values that `test_any_type_in_any_section` may pass and that are accepted.
NOTHING, TEXT, WHOLE, LIST, OBJECT = type(None), str, int, list, dict
ANYTHING = (NOTHING, TEXT, WHOLE, LIST, OBJECT, bool, float)
ALLOWED: dict[str, tuple[type, ...]] = {
    "schema": (bool,),  # equal to 1
    "artifact": (TEXT,), "format": (TEXT,), "precision": (TEXT,), "sha256": (TEXT,), "model": (), "contract": (),
    "batch": (NOTHING, WHOLE), "inputs": (LIST,), "outputs": (LIST,), "recipe": (OBJECT,), "keep_float": (LIST,),
    "calibration": (NOTHING,), "lrn_fits": (NOTHING, OBJECT), "op_census": (OBJECT,), "float_ops": (LIST,),
    "versions": (OBJECT,), "golden": ANYTHING, "size_bytes": (WHOLE,), "arena_bytes": (WHOLE,), "ops": (LIST,),
    "files": (OBJECT,), "recovery": (NOTHING,), "confidence": (NOTHING,), "budget": (NOTHING, OBJECT),
    "parity": ANYTHING, "runs_in": (OBJECT,), "warnings": (LIST,),
}  # fmt: skip


class TestWriting:
    @pytest.mark.parametrize("path", COMMITTED, ids=lambda path: f"{path.parent.name}/{path.name}")
    def test_committed_manifests_round_trip_byte_for_byte(self, path):
        found = Manifest.read(path.with_suffix(""))
        assert json_text(found.as_dict()).encode() == path.read_bytes()
        again = Manifest.of(found.artifact, {name: found.as_dict()[name] for name in list(found.as_dict())[2:]})
        assert again == found and json_text(again.as_dict()).encode() == path.read_bytes()

    def test_there_are_committed_ones(self):
        assert len(COMMITTED) >= 12

    @given(st.dictionaries(st.text(min_size=1, max_size=8).filter(lambda name: name not in FULL), json_values))
    def test_unknown_sections_survive(self, unknown):
        document = {**unknown, **FULL}
        found = Manifest.from_dict(document).with_sections({"parity": {"passed": False}})
        expected = {**document, "parity": {"passed": False}}
        assert json.dumps(found.as_dict()) == json.dumps(expected), "values and order"
        assert all(name in found for name in unknown)

    def test_a_newer_versions_sections_and_fields_survive_a_record(self, tmp_path):
        newer = {
            "signature": {"by": ["x"]}, **FULL, "model": {**FULL["model"], "framework": "keras"}, "energy": None,
        }  # fmt: skip
        path = tmp_path / "m.onnx"
        path.write_bytes(b"")
        manifest_path(path).write_text(json_text(newer))
        recorded = Artifact.open(path).record("parity", {"passed": True})
        expected = json_text({**newer, "parity": {"passed": True}})
        assert manifest_path(path).read_text() == expected == json_text(recorded.manifest.as_dict())

    def test_replacing_a_section_reads_it_and_leaves_the_manifest(self):
        found = Manifest.from_dict(FULL)
        assert found.with_sections({"batch": None}).batch is None and found.batch == 1
        assert found.as_dict() == FULL
        with pytest.raises(ArtifactError, match="batch is 0"):
            found.with_sections({"batch": 0})

    @pytest.mark.parametrize("value", ["NaN", "1e999", '"\\ud800"'])
    def test_what_json_cannot_hold_is_not_recorded(self, tmp_path, value):
        path = tmp_path / "m.onnx"
        path.write_bytes(b"")
        text = json.dumps(MINIMAL)[:-1] + f', "newer": {value}}}'
        manifest_path(path).write_text(text)
        with pytest.raises(ArtifactError) as refusal:
            Artifact.open(path).record("parity", {"passed": True})
        assert "m.onnx.json: " in printable(refusal.value)
        assert manifest_path(path).read_text() == text

    def test_nesting_that_is_too_deep_to_write_is_not_recorded(self, tmp_path, monkeypatch):
        """Since Python 3.12, the JSON reader (in C) reads deeper nesting than the writer (in Python) can write."""

        def too_deep(value):
            raise RecursionError("maximum recursion depth exceeded")

        path = tmp_path / "m.onnx"
        path.write_bytes(b"")
        manifest_path(path).write_text(json.dumps(MINIMAL))
        monkeypatch.setattr(artifact, "json_text", too_deep)
        with pytest.raises(ArtifactError, match=r"m\.onnx\.json: cannot be written again \(RecursionError\)"):
            Artifact.open(path).record("parity", {"passed": True})

    def test_a_new_manifest_is_validated_before_it_is_written(self):
        assert Manifest.of("a.onnx", {**MINIMAL, "precision": "int8"}).artifact == "a.onnx"
        with pytest.raises(ArtifactError, match="precision is 8"):
            Manifest.of("a.onnx", {**MINIMAL, "precision": 8})
