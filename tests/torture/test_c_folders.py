"""Altered C folders through the commands: what is not the manifest's is not compiled, and all else ends in one line."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from random import Random

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import altered_copy, c_folder
from support.plans import tiny_plan

from fmnist_edge.cli import main
from fmnist_edge.runtime.folder import sha256_of_files
from fmnist_edge.runtime.manifest import manifest_path
from torture.bytes_attacks import nine_bits

PICTURE = str(ROOT / "examples/images/0003-trouser.png")
TFLITE = ROOT / "exported/compact_cnn/int8.tflite"
CODE, HEADER, WEIGHTS = "compact_cnn.c", "compact_cnn.h", "compact_cnn_weights.c"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return c_folder(TFLITE, tmp_path_factory.mktemp("c"))


@pytest.fixture
def folder(made, tmp_path):
    return altered_copy(made, tmp_path)


@pytest.fixture
def compiled(tmp_path, monkeypatch):
    """The calls of the compiler, a line each: a function that returns them."""
    log, compiler = tmp_path / "compiler.log", tmp_path / "compiler"
    compiler.write_text(f'#!/bin/sh\necho "$@" >> {log}\nexec {c_compiler()} "$@"\n')
    compiler.chmod(0o700)
    monkeypatch.setenv("CC", str(compiler))
    monkeypatch.setenv("FMNIST_EDGE_CFLAGS", "-O1")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda: log.read_text().splitlines() if log.is_file() else []


def edit(name, change):
    def attack(folder, rng):
        path = folder / name
        path.write_bytes(change(path.read_bytes(), rng))

    return attack


def defined(macro, value):
    """The header says something else."""
    text = f"COMPACT_CNN_{macro} ".encode()

    def change(content, rng):
        lines = content.split(b"\n")
        assert any(b"#define " + text in line for line in lines)
        return b"\n".join(b"#define " + text + value if b"#define " + text in line else line for line in lines)

    return edit(HEADER, change)


def replaced(name, make):
    def attack(folder, rng):
        (folder / name).unlink()
        make(folder / name)

    return attack


def renamed(new):
    """All files of the model have another name."""

    def attack(folder, rng):
        for path in sorted(folder.glob("compact_cnn*")):
            path.rename(folder / path.name.replace("compact_cnn", new))

    return attack


def weight(content, rng):
    """Another first weight."""
    before, brace, after = content.partition(b"= {\n")
    number, comma, rest = after.partition(b",")
    return before + brace + b"    " + str((int(number) + 1) % 100).encode() + comma + rest


def link(target):
    return lambda path: path.symlink_to(target)


PLAIN = {
    "truncated source": edit(CODE, lambda content, rng: content[: rng.randrange(len(content))]),
    "empty source": edit(CODE, lambda content, rng: b""),
    "bits of the source": edit(CODE, nine_bits),
    "bits of the weights": edit(WEIGHTS, nine_bits),
    "another weight": edit(WEIGHTS, weight),
    "an include of a secret": edit(CODE, lambda content, rng: b'#include "/etc/passwd"\n' + content),
    "no functions": edit(CODE, lambda content, rng: b"int x;\n"),
    "no arena": defined("ARENA_BYTES", b"0"),
    "a negative arena": defined("ARENA_BYTES", b"(-5)"),
    "an arena of gigabytes": defined("ARENA_BYTES", b"2147483647"),
    "an arena that is no number": defined("ARENA_BYTES", b"sizeof(struct x)"),
    "no rows": defined("HEIGHT", b"0"),
    "negative rows": defined("HEIGHT", b"(-28)"),
    "more rows": defined("HEIGHT", b"2800"),
    "no classes": defined("CLASSES", b"0"),
    "negative classes": defined("CLASSES", b"(-3)"),
    "other classes": defined("CLASSES", b"7"),
    "no scale": defined("INPUT_SCALE", b"0.0f"),
    "a scale that is no number": defined("OUTPUT_SCALE", b"(0.0f / 0.0f)"),
    "a zero point outside int8": defined("INPUT_ZERO_POINT", b"70000"),
    "a missing source": lambda folder, rng: (folder / WEIGHTS).unlink(),
    "a further file": lambda folder, rng: (folder / "a.out").write_bytes(b"x"),
    "two models": lambda folder, rng: (folder / "other_weights.h").write_bytes(b""),
    "a name with a blank": renamed("compact cnn"),
    "a name with a quote": renamed('compact"cnn'),
    "a name with a newline": renamed("compact\ncnn"),
    "a name of another alphabet": renamed("compact_é"),
    "a keyword as name": renamed("int"),
    "the name of a file of the engine": renamed("description"),
}
# What a folder cannot have, whatever its manifest says.
IRREGULAR = {
    "a link": replaced(CODE, link("/etc/passwd")),
    "a link to nothing": replaced(WEIGHTS, link("nonesuch")),
    "a link to itself": replaced(HEADER, link(HEADER)),
    "a folder for a file": replaced(CODE, Path.mkdir),
    "a pipe": replaced("golden.c", os.mkfifo),
    "a file name that is not UTF-8": lambda folder, rng: Path(os.fsdecode(bytes(folder) + b"/\xff.c")).write_bytes(b""),
    "too many files": lambda folder, rng: [(folder / f"{i}.c").write_bytes(b"") for i in range(300)],
    "a file for the folder": lambda folder, rng: (shutil.rmtree(folder), folder.write_bytes(b"int x;")),
    "no folder": lambda folder, rng: shutil.rmtree(folder),
    "an empty folder": lambda folder, rng: (shutil.rmtree(folder), folder.mkdir()),
}


def document_of(change):
    def attack(folder, rng):
        path = manifest_path(folder)
        document = json.loads(path.read_text())
        change(document)
        path.write_text(json.dumps(document))

    return attack


MANIFESTS = {
    "another hash": document_of(lambda document: document.update(sha256="0" * 64)),
    "a hash that is none": document_of(lambda document: document.update(sha256=["x"])),
    "no hash": document_of(lambda document: document.pop("sha256")),
    "no contract": document_of(lambda document: document.pop("contract")),
    "truncated": lambda folder, rng: manifest_path(folder).write_text(manifest_path(folder).read_text()[:900]),
    "not UTF-8": lambda folder, rng: manifest_path(folder).write_bytes(b"\xff\xfe{}"),
    "a list": lambda folder, rng: manifest_path(folder).write_text("[]"),
    "a folder": lambda folder, rng: (manifest_path(folder).unlink(), manifest_path(folder).mkdir()),
    "a link to itself": lambda folder, rng: (
        manifest_path(folder).unlink(), manifest_path(folder).symlink_to(manifest_path(folder).name)
    ),
    "none": lambda folder, rng: manifest_path(folder).unlink(),
    "another name": lambda folder, rng: manifest_path(folder).rename(folder.with_name("int8.c.json")),
}  # fmt: skip


def forge(folder):
    """The manifest with the hash of what the folder has now, as whoever altered it can write it."""
    document = json.loads(manifest_path(folder).read_text())
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    document["sha256"] = sha256_of_files(files)
    document["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest_path(folder).write_text(json.dumps(document))


def commands(folder, out):
    plan, images = out / "plan.toml", out / "images.npy"
    plan.write_text(tiny_plan())
    np.save(images, np.random.default_rng(1).integers(0, 256, (4, 28, 28, 1), np.uint8))
    path = str(folder)
    return {
        "check": ["check", path, "--images", str(images), "--report", str(out / "check.json")],
        "doctor": ["doctor", path, "--report", str(out / "doctor.json")],
        "classify": ["classify", path, PICTURE],
        "bench": ["bench", path, "--engine", "c", "--plan", str(plan), "--out", str(out / "results")],
    }


QUICK = ("check", "doctor", "classify")


def codes_of(folder, out, capfd, names=QUICK):
    """Command -> exit code. What is refused is refused in one line."""
    codes, listed = {}, commands(folder, out)
    for name in names:
        capfd.readouterr()
        codes[name] = main(listed[name])
        said = capfd.readouterr().err
        assert codes[name] in (0, 1, 2), (name, said)
        assert "Traceback" not in said and "internal error" not in said, (name, said)
        if codes[name] == 2:
            assert said.startswith("fmnist-edge: error: ") and said.count("\n") == 1, (name, said)
    return codes


@needs_c_compiler()
class TestNothingIsCompiled:
    """from a folder that is not what its manifest describes."""

    @pytest.mark.parametrize("attack", PLAIN)
    def test_altered_files(self, folder, attack, compiled, tmp_path, capfd):
        PLAIN[attack](folder, Random(3))
        assert set(codes_of(folder, tmp_path, capfd).values()) == {2} and compiled() == []

    @pytest.mark.parametrize("attack", IRREGULAR)
    def test_what_is_no_plain_file(self, folder, attack, compiled, tmp_path, capfd):
        IRREGULAR[attack](folder, Random(3))
        assert set(codes_of(folder, tmp_path, capfd).values()) == {2} and compiled() == []

    @pytest.mark.parametrize("attack", MANIFESTS)
    def test_altered_manifests(self, folder, attack, compiled, tmp_path, capfd):
        MANIFESTS[attack](folder, Random(3))
        assert set(codes_of(folder, tmp_path, capfd).values()) == {2} and compiled() == []

    @pytest.mark.slow
    @pytest.mark.parametrize("attack", ["another weight", "a link", "a pipe", "no folder", "another hash", "none"])
    def test_bench(self, folder, attack, compiled, tmp_path, capfd):
        {**PLAIN, **IRREGULAR, **MANIFESTS}[attack](folder, Random(3))
        assert codes_of(folder, tmp_path, capfd, ["bench"])["bench"] in (1, 2) and compiled() == []

    def test_the_compiler_is_called_for_the_sound_folder(self, folder, compiled, tmp_path, capfd):
        assert codes_of(folder, tmp_path, capfd, ["classify"]) == {"classify": 0}
        assert any("compact_cnn.c" in line for line in compiled())


# Those after which the folder answers, when its manifest was forged: numbers are as good as others.
MAY_ANSWER = ("another weight", "an arena of gigabytes", "a further file")


@pytest.mark.slow
@needs_c_compiler()
@pytest.mark.parametrize("attack", PLAIN)
def test_a_forged_manifest(folder, attack, compiled, tmp_path, capfd):
    """Whoever forges it can have any code run. Damage that they do by mistake is refused."""
    PLAIN[attack](folder, Random(3))
    forge(folder)
    codes = codes_of(folder, tmp_path, capfd)
    assert set(codes.values()) == {0 if attack in MAY_ANSWER else 2}


def test_messages_name_the_file_and_the_manifest(folder, capfd):
    (folder / "two\nlines.c").write_bytes(b"")
    assert main(["doctor", str(folder)]) == 2
    assert r"'two\nlines.c' was added since the export" in capfd.readouterr().err
    manifest_path(folder).unlink()
    assert main(["doctor", str(folder)]) == 2
    assert "int8_only.c: no manifest int8_only.c.json beside it" in capfd.readouterr().err
