"""Every hostile file through every command that takes such a file; what broke a promise is kept and counted."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torture.bases import NAME
from torture.corpus import FOLDERS, Case
from torture.gadgets import CANARY
from torture.keras_attacks import members_of
from torture.server import Outcome, run_forked

__all__ = ["attempt", "commands_for"]

BOUND_S = 100  # a trial is given up on after 60 s
TRIED_FOR_REAL = 25  # one file in so many is tried in a child that is started and not forked
IMAGES = 4


def commands_for(case: Case, bases: Path, file: Path, root: Path) -> dict[str, list[str]]:
    """name -> arguments, with `file` where that command takes a model; "alone": without its manifest."""
    calibration = ["--calibration", str(bases / "calibration.npy")]
    picture = str(root / "examples/images/0003-trouser.png")
    images = ["--images", str(bases / "calibration.npy")]
    sound, reference = str(bases / NAME / "int8.tflite"), str(bases / f"{NAME}.keras")
    if case.format in ("keras", "h5", "saved_model"):
        form, name = (("onnx", "float32"), ("tflite", "float32"), ("c", "int8_only"))[case.number % 3]
        precision = ["--precision", name, "--format", form]
        return {
            "export": ["export", str(file), *precision, *calibration, "--out", "out"],
            "check": ["check", sound, "--reference", str(file), *images, "--limit", str(IMAGES)],
            "explain": ["explain", sound, "--reference", str(file), *images, "--limit", str(IMAGES)],
        }
    against = ["--reference", reference]
    form = ["--format", "c"] if case.format == "tflite" else ["--precision", "float32"]
    return {
        "classify alone": ["classify", str(file.with_name(f"alone.{case.format}")), picture],
        "classify": ["classify", str(file), picture],
        "export": ["export", str(file), *form, "--out", "out"],
        "check": ["check", str(file), *against, *images, "--limit", str(IMAGES)],
        "doctor": ["doctor", str(file)],
        "explain": ["explain", str(file), *against, *images, "--limit", str(IMAGES)],
    }


def attempt(case: Case, bases: Path, folder: Path, root: Path) -> Iterator[tuple[str, Outcome]]:
    """(command, outcome) for each command on this file, in `folder`, which is made and removed."""
    shutil.rmtree(folder, ignore_errors=True)
    inside = folder / "work"
    inside.mkdir(parents=True)
    (folder / "outside").mkdir()
    (folder / "outside/secret").write_bytes(b"\0" * 4096)
    file = inside / f"hostile.{case.format}"
    if case.format in FOLDERS:
        unpack(case.content, file)
    else:
        file.write_bytes(case.content)
    if case.format in ("tflite", "onnx"):
        (inside / f"alone.{case.format}").write_bytes(case.content)
        forge_manifest(case, file)
    before = listing(folder)
    forked_trials = case.number % TRIED_FOR_REAL != 7 or case.attack == "bombs"  # those are waited for a minute each
    for name, arguments in commands_for(case, bases, file, root).items():
        outcome = run_forked(arguments, inside, BOUND_S, forked_trials=forked_trials)
        if Path(CANARY).exists():
            outcome.suspect.append("code from the file was run")
            Path(CANARY).unlink()
        outcome.suspect += [f"changed {path}" for path in sorted(listing(folder) ^ before)]
        yield name, outcome
    shutil.rmtree(folder)


def unpack(content: bytes, folder: Path) -> None:
    """A folder that attacks had as a zip."""
    folder.mkdir()
    for name, data in members_of(content).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def forge_manifest(case: Case, file: Path) -> None:
    """The sound file's manifest with the hostile one's SHA-256: whoever made the file can make that too."""
    manifest: dict[str, Any] = json.loads(case.base.with_name(case.base.name + ".json").read_text())
    manifest["sha256"] = hashlib.sha256(case.content).hexdigest()
    manifest["artifact"] = file.name
    file.with_name(file.name + ".json").write_text(json.dumps(manifest))


def listing(folder: Path) -> set[tuple[str, int]]:
    """Everything beside the folder that commands may write to."""
    found = [*folder.glob("*"), *(folder / "outside").rglob("*"), Path("/tmp/fmnist-edge-torture-written")]
    return {(str(path), path.stat().st_size) for path in found if path.is_file() or path.is_symlink()}
