"""Hostile `.tflite` files as C: refused by name, or sources that compile and have the numpy engine's bits."""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.c_models import STRICT
from support.tflite_models import SHAPE, converted

from fmnist_edge.errors import ArtifactError
from fmnist_edge.exporters.c.make import c_model
from fmnist_edge.runtime import Contract
from fmnist_edge.runtime.flatbuffer import RefusedError
from torture.tflite_attacks import ATTACKS

CHECKS = ("-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
PIXELS = np.random.default_rng(4).integers(0, 256, (2, 28, 28, 8), np.uint8)


@pytest.fixture(scope="module")
def bases():
    """Name -> (a sound file, its contract)."""
    labels = tuple(map(str, range(10)))
    small = Contract(SHAPE, "logits", labels[:7])
    sound = {name: (converted(name, "int8_only"), small) for name in ("branches", "windows", "activations")}
    lrn = (ROOT / "exported/tiny_googlenet/int8.tflite").read_bytes()
    return {**sound, "lrn": (lrn, Contract((28, 28, 1), "logits", labels))}


def files_of(content, contract):
    """File name -> text; None for a file that is refused."""
    height, width, channels = contract.input_shape
    try:
        return c_model(content, "net", contract, PIXELS[:, :height, :width, :channels]).files()
    except (RefusedError, ArtifactError) as refusal:
        assert "\n" not in str(refusal)
        return None


def why_wrong(files):
    """What the compiler or the self-test complains about, with sanitizers; "" for nothing."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            (Path(folder) / name).write_text(text)
        program = Path(folder) / "test"
        command = [c_compiler(), *STRICT, *CHECKS, *sorted(Path(folder).glob("*.c")), "-o", program]
        built = subprocess.run(command, capture_output=True, text=True, check=False)
        if built.returncode:
            return built.stderr[-1500:]
        ended = subprocess.run([program], capture_output=True, text=True, check=False)
        return "" if ended.returncode == 0 else ended.stdout + ended.stderr[-1500:]


@pytest.mark.parametrize("name", ["branches", "windows", "activations", pytest.param("lrn", marks=pytest.mark.slow)])
def test_hostile_files_are_refused_or_become_sources(bases, name):
    content, contract = bases[name]
    rng, made = np.random.default_rng(7), 0
    for _ in range(4):
        for attack in ATTACKS.values():
            made += files_of(attack(content, rng), contract) is not None
    assert made > 0


@pytest.mark.slow
@needs_c_compiler()
@pytest.mark.parametrize("name", ["branches", "windows", "activations"])
def test_what_is_not_refused_has_the_right_bits(bases, name):
    content, contract = bases[name]
    rng, wrong, made = np.random.default_rng(8), [], 0
    for _ in range(12):
        for kind, attack in ATTACKS.items():
            files = files_of(attack(content, rng), contract)
            if files is not None:
                made += 1
                wrong += [(kind, why)] if (why := why_wrong(files)) else []
    assert made > 0 and wrong == []


def test_an_op_with_too_many_operands_is_refused(bases):
    """An ADD that became a RELU: it has two computed operands."""
    from fmnist_edge.runtime.engines.numpy.model import read_model
    from fmnist_edge.runtime.engines.numpy.program import program_of

    model = read_model(bases["activations"][0])
    ops = list(model.ops)
    place = next(i for i, op in enumerate(ops) if op.kind == "ADD")
    ops[place] = type(ops[place])("RELU", ops[place].inputs, ops[place].output, None)
    with pytest.raises(RefusedError, match=r"RELU .* has 2 computed operands, expected 1"):
        program_of(type(model)(model.input, model.output, tuple(ops)))
