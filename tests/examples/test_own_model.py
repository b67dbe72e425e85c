"""The tutorial on a model of one's own: its script, and every command of the page except `bench`."""

import importlib.util
import re
import shlex

import numpy as np
import pytest
from support import ROOT

from fmnist_edge.cli import main

PAGE = (ROOT / "docs/your-own-model.md").read_text(encoding="utf-8")
CLASSES = 5


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("own_model", ROOT / "examples/own_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(script, tmp_path_factory):
    """What the script writes, of fewer images and epochs."""
    made = tmp_path_factory.mktemp("shapes")
    script.main(made, train=40, test=20, epochs=1)
    return made


def commands() -> list[list[str]]:
    """The arguments of each `fmnist-edge` command on the page, in its order."""
    shell = "".join(re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)).replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in shell.splitlines()]
    return [line[1:] for line in words if line[:1] == ["fmnist-edge"]]


def python_block() -> str:
    return re.search(r"```python\n(.*?)```", PAGE, re.DOTALL)[1]


@pytest.mark.slow
def test_the_same_seed_draws_the_same_photo(script):
    for name in script.NAMES:
        first, again, other = (np.asarray(script.photo(name, np.random.default_rng(seed))) for seed in (1, 1, 2))
        assert first.shape == (128, 128, 3) and np.array_equal(first, again) and not np.array_equal(first, other)


@pytest.mark.slow
def test_it_saves_what_the_commands_read(folder):
    images, labels = np.load(folder / "test.npy"), np.load(folder / "test_labels.npy")
    assert images.shape == (20 * CLASSES, 32, 32, 3) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [20] * CLASSES
    names = (folder / "labels.txt").read_text().split()
    assert names == sorted(path.name for path in (folder / "train").iterdir())
    first = sorted(path.name for path in (folder / "calibration").iterdir())[:CLASSES]
    assert first == [f"0000-{name}.png" for name in names]


@pytest.mark.slow
def test_every_command_of_the_page_does_what_it_says(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    verbs = []
    for command in commands():
        verbs.append(command[0])
        if command[0] in ("bench", "bundle", "report"):  # they time, or show what was timed
            continue
        code = main(command)
        # So little training leaves the model at chance, or misses a gate; `doctor` reads the recorded verdict.
        allowed = (0, 1) if command[0] in ("check", "choose", "doctor") else (0,)
        assert code in allowed, (command, capsys.readouterr().err)
    assert {"export", "check", "explain", "doctor", "classify", "bench"} <= set(verbs)
    capsys.readouterr()
    exec(python_block(), {})
    photo, _ = capsys.readouterr().out.splitlines()
    assert photo.split()[0] in (folder / "labels.txt").read_text().split() and photo.endswith("(32, 32, 3)")
