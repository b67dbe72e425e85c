"""Hostile web folders through the commands, and hostile `.tflite` files through the export: refused in one line."""

import hashlib
import json
import os
import tempfile
from functools import partial
from pathlib import Path
from random import Random

import numpy as np
import pytest
from support import ROOT
from support.web_models import needs_node, needs_wasm_compiler, tflite_of

from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError, FmnistEdgeError
from fmnist_edge.exporters.web.exporter import EXPORTER
from fmnist_edge.runtime import Classifier
from fmnist_edge.runtime.folder import MANIFEST, sha256_of_files
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from torture.bytes_attacks import nine_bits
from torture.tflite_attacks import ATTACKS

pytestmark = [needs_wasm_compiler(), needs_node()]
PICTURE = str(ROOT / "examples/images/0003-trouser.png")
WASM = ("model.simd.wasm", "model.wasm")
behind_header = partial(nine_bits, first=8)


def changed(names, change):
    """An attack that changes the content of these files."""

    def attack(folder, document, rng):
        for name in names:
            path = folder / name
            path.write_bytes(change(path.read_bytes(), rng))

    return attack


def lie(**sections):
    def attack(folder, document, rng):
        for name, value in sections.items():
            document[name] = {**document[name], **value} if isinstance(value, dict) else value

    return attack


def outside(folder, document, rng):
    document["photos"]["images"][0]["file"] = "../../secret.png"


# Those after which the folder may still answer: bits of the weights are numbers, as are most bits of the code.
MAY_ANSWER = ("bits of the module", "bits of the weights", "photos lie")
ATTACKS_ON_FOLDERS = {
    "truncated module": changed(WASM, lambda content, rng: content[: rng.randrange(len(content))]),
    "empty module": changed(WASM, lambda content, rng: b""),
    "bits of the module": changed(WASM, behind_header),
    "another file as module": changed(WASM, lambda content, rng: b"\x7fELF" + content),
    "truncated weights": changed(("weights.bin",), lambda content, rng: content[:-100]),
    "more weights": changed(("weights.bin",), lambda content, rng: content * 9),
    "bits of the weights": changed(("weights.bin",), behind_header),
    "another shape": lie(contract={"input_shape": [14, 56, 1]}),
    "a shape of terabytes": lie(contract={"input_shape": [1 << 20, 1 << 20, 1]}),
    "other classes": lie(contract={"labels": ["a", "b", "c"]}),
    "photos lie": outside,
    "photos are none": lie(photos=[1, 2]),
    "golden vectors are none": lie(golden={"images": 7}),
    "no files": lie(files=[]),
}


def attacked(folder, attack, seed):
    """Carry out the attack, and forge hash and manifests, as whoever made the folder can."""
    beside = manifest_path(folder)
    document = json.loads(beside.read_text())
    ATTACKS_ON_FOLDERS[attack](folder, document, Random(seed))
    files = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST}
    document["sha256"] = sha256_of_files(files)
    if isinstance(document["files"], dict):
        document["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    for path in (beside, folder / MANIFEST):
        path.write_text(json.dumps(document))


def nodes():
    """The children of this process that run Node."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name == "node" and rest.split()[1] == str(os.getpid()):
            found.append(path)
    return found


def listing(folder):
    return {(str(path), path.stat().st_size) for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fmnist_edge.runtime.polarity.PolarityWarning")
@pytest.mark.parametrize("attack", ATTACKS_ON_FOLDERS)
def test_hostile_folders(altered_web, attack, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    attacked(altered_web, attack, 3)
    folder, report = str(altered_web), ["--report", str(tmp_path / "report.json")]
    before = listing(altered_web)
    codes = {}
    commands = {
        "check": ["check", folder, "--limit", "8", *report],
        "doctor": ["doctor", folder, *report],
        "classify": ["classify", folder, PICTURE],
    }
    for name, command in commands.items():
        codes[name] = main(command)
        said = capsys.readouterr().err
        assert codes[name] in (0, 1, 2), (name, said)
        assert "Traceback" not in said and "internal error" not in said
        if codes[name] == 2:
            assert said.count("\n") == 1, said
    try:
        with Classifier.load(folder, try_first=True) as classify:
            assert classify.scores(np.zeros((1, 28, 28, 1), np.uint8)).shape == (1, 10)
        loaded = True
    except ArtifactError as refusal:
        assert "\n" not in str(refusal)
        loaded = False
    assert loaded is (codes["classify"] == 0)
    if attack not in MAY_ANSWER:
        assert 2 in codes.values(), codes
    assert listing(altered_web) == before and listing(tmp_path / "temporary") == set() and nodes() == []


def test_a_photo_outside_the_folder_is_not_read(altered_web, capsys, tmp_path):
    attacked(altered_web, "photos lie", 3)
    code = main(["check", str(altered_web), "--limit", "8", "--report", str(tmp_path / "report.json")])
    assert code == 2 and "photos are damaged; export it again" in capsys.readouterr().err


@pytest.mark.slow
def test_hostile_tflite_files_are_refused_or_exported(tmp_path, monkeypatch):
    """Nothing is left behind, compiled or not."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    manifest = Manifest.read(tflite_of("compact_cnn"))
    content, rng = tflite_of("compact_cnn").read_bytes(), np.random.default_rng(7)
    refused = 0
    for attack in ATTACKS.values():
        try:
            EXPORTER.sources(attack(content, rng), manifest, np.zeros((28, 28, 1), np.uint8))
        except FmnistEdgeError as refusal:
            refused += 1
            assert "\n" not in str(refusal)
        assert listing(tmp_path) == set()
    assert refused > 0


@pytest.mark.slow
def test_an_altered_folder_whose_manifest_is_sound(altered_web, capsys, tmp_path):
    (altered_web / "model.wasm").write_bytes(b"")
    for command in (
        ["doctor", str(altered_web), "--report", str(tmp_path / "r")],
        ["classify", str(altered_web), PICTURE],
    ):
        assert main(command) == 2
        assert "model.wasm was altered since the export" in capsys.readouterr().err
