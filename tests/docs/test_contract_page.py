"""docs/contract.md: its schema is the contract's, and its C++ program reads the files that ship."""

import json
import re
import shutil
import subprocess

import pytest
from support import ROOT
from support.installed import needs

from fmnist_edge.runtime import Contract, contract
from fmnist_edge.runtime.embedded import SCHEMA, contract_text, embedded_contract
from fmnist_edge.runtime.presets import PRESETS
from fmnist_edge.runtime.tasks import TASKS

PAGE = (ROOT / "docs/contract.md").read_text()
ARTIFACTS = sorted((ROOT / "exported").glob("*/int8.tflite"))


def block(language: str) -> str:
    """The first block of code in `language`."""
    return re.search(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE).group(1)


def test_the_schema_has_the_contracts_fields_and_choices():
    schema = json.loads(block("json"))
    known = schema["properties"]
    written = json.loads(contract_text(Contract((28, 28, 1), "logits", ("a",))))
    assert set(known) == {*written, *contract.SINCE_FIT, *contract.SINCE_TASK} and known["schema"]["const"] == SCHEMA
    assert {name: tuple(known[name]["enum"]) for name in contract.CHOICES} == contract.CHOICES
    for name, value in written.items():
        assert "default" not in known[name] or known[name]["default"] == value
    for name in contract.SINCE_FIT:
        assert known[name]["default"] == Contract.__dataclass_fields__[name].default
    assert set(schema["required"]) == set(written) - set(contract.SINCE_POLARITY)
    assert tuple(known["task"]["enum"]) == TASKS and known["task"]["default"] == TASKS[0]
    assert known["input_shape"]["maxItems"] == contract.MOST_AXES


@needs("jsonschema")
def test_contracts_are_valid_and_others_are_not():
    import jsonschema

    schema = json.loads(block("json"))
    good = json.loads(contract_text(Contract((28, 28, 1), "logits", ("a", "b"), polarity="dark-on-light")))
    jsonschema.validate(good, schema)
    newest = Contract((8, 8, 3), "logits", ("a", "b"), PRESETS["caffe"], fit="letterbox", fill=(1, 2, 3), polarity=None)
    jsonschema.validate(json.loads(contract_text(newest)), schema)
    for changed in (
        {"labels": []},
        {"output": "classes"},
        {"schema": 2},
        {"preprocessing": {}},
        {"fit": "pad"},
        {"fill": [1]},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(good | changed, schema)


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    if shutil.which("g++") is None:
        pytest.skip("no g++ here")
    folder = tmp_path_factory.mktemp("cpp")
    (folder / "contract.cpp").write_text(block("cpp"))
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "contract.cpp", "-o", "contract"]
    subprocess.run(command, cwd=folder, check=True)
    return folder / "contract"


@pytest.mark.parametrize("path", ARTIFACTS, ids=lambda path: path.parent.name)
def test_the_cpp_program_reads_the_contract(program, path):
    done = subprocess.run([program, path], capture_output=True, check=True)
    assert done.stdout.decode().strip() == contract_text(embedded_contract(path, path.read_bytes()))


def test_the_cpp_program_refuses_damaged_files(program, tmp_path):
    content = ARTIFACTS[0].read_bytes()
    for case in (
        b"",
        content[:100],
        content[:300],
        b"\xff" * 64,
        content.replace(b"fmnist_edge.c", b"x" * 13),
    ):
        (tmp_path / "x.tflite").write_bytes(case)
        done = subprocess.run([program, tmp_path / "x.tflite"], capture_output=True, check=False)
        assert done.returncode and (b"damaged" in done.stderr or b"no contract" in done.stderr), done.stderr
