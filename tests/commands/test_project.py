"""Said once: commands read what `export` was told beside the artifacts, and their own options override it."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
from support.plans import tiny_plan

from fmnist_edge.artifact import Artifact, collect
from fmnist_edge.cli import main
from fmnist_edge.data.project import FILE, Project
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.jobs import bench as job
from fmnist_edge.jobs.project import CHECK, IMAGES, by_project, facts_in, of_model
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.manifest import Manifest

CONTRACT = Contract((2, 2, 1), "logits", ("a", "b"))


def artifact_in(folder: Path, contract: Contract = CONTRACT) -> Artifact:
    manifest = Manifest.of("int8.tflite", {"sha256": "0", "contract": contract.as_dict()})
    return Artifact.write(folder / "int8.tflite", b"model", manifest)


def options(**given):
    return argparse.Namespace(**{"reference": None, "images": None, "labels": None, **given})


@pytest.fixture
def two(tmp_path, monkeypatch):
    """Two models with a project file each, and one without."""
    monkeypatch.chdir(tmp_path)
    for name in ("one.keras", "two.keras", "x.npy", "y.npy"):
        Path(name).write_bytes(b"")
    for name, more in (("one", {"test_labels": "y.npy"}), ("two", {}), ("zoo", None)):
        artifact_in(Path("out") / name)
        if more is not None:
            Project(Path("out", name, FILE), {"model": f"{name}.keras", "test": "x.npy", **more}).write()
    return collect(["out"])


def data_of(groups):
    return {
        str(item.path.parent.name): (given.reference, given.images, given.labels)
        for given, artifacts in groups
        for item in artifacts
    }


def test_each_model_has_its_own(two):
    found = data_of(by_project(options(), two, CHECK))
    assert found == {
        "one": ("one.keras", "x.npy", "y.npy"),
        "two": ("two.keras", "x.npy", None),
        "zoo": (None, None, None),
    }


def test_options_override(two):
    found = data_of(by_project(options(images="z.npy", reference="z.keras"), two, CHECK))
    assert found == dict.fromkeys(("one", "two", "zoo"), ("z.keras", "z.npy", None)), "labels belong to their images"


def test_models_with_the_same_images_are_one_group_if_they_take_the_same_images(two):
    assert [len(artifacts) for _, artifacts in by_project(options(), two, IMAGES)] == [2, 1]
    other = artifact_in(Path("out/two"), Contract((3, 3, 1), "logits", ("a", "b")))
    assert len(by_project(options(), [two[0], other], IMAGES)) == 2
    assert len(by_project(options(images="x.npy"), [two[0], other], IMAGES)) == 1, "as without project files"


def test_models_without_images_are_apart_if_other_images_would_be_the_default(two):
    other = artifact_in(Path("out/other"), Contract((2, 2, 1), "logits", ("c", "d")))
    assert len(by_project(options(), [two[2], other], CHECK)) == 2


def test_a_path_to_nothing_is_refused_only_if_it_is_used(two):
    Path("x.npy").unlink()
    with pytest.raises(InputError, match=r"out/one/project\.toml: test is 'x\.npy': no such file"):
        by_project(options(), two, CHECK)
    assert by_project(options(images="z.npy"), two, IMAGES)


def test_the_command_names_the_wrong_key(two, capsys):
    Path("out/one", FILE).write_text('tset = "x.npy"')
    for command in (["check", "out"], ["matrix", "out"], ["explain", "out/one/int8.tflite"], ["bench", "out"]):
        assert main(command) == 2
        err = capsys.readouterr().err
        assert "project.toml: unknown key 'tset'; expected model, train, test" in err and err.count("\n") == 1


def test_facts_of_the_last_export_replace_those_before_but_for_the_test_images(two):
    told = argparse.Namespace(calibration="x.npy", labels=None, test=None, test_labels=None, scale=1.0, resize=None)
    path = Path("out/one", FILE)
    facts_in(told, Path("one.keras"), path).write()
    values = {"model": "one.keras", "train": "x.npy", "test": "x.npy", "test_labels": "y.npy", "scale": 1.0}
    assert dict(Project.read(path).values) == values
    told.calibration, told.scale, told.test = None, None, "y.npy"
    facts_in(told, Path("one.keras"), path).write()
    assert dict(Project.read(path).values) == {"model": "one.keras", "test": "y.npy", "test_labels": "y.npy"}
    told.test = "none.npy"
    with pytest.raises(InputError, match=r"--test none\.npy: no such file"):
        facts_in(told, Path("one.keras"), path)


def test_export_takes_the_file_and_options_override_it(two):
    mine = Project(Path("mine.toml"), {"model": "one.keras", "train": "x.npy", "scale": 1.0, "resize": "box"})
    mine.write()
    given = argparse.Namespace(calibration=None, labels=None, test=None, test_labels=None, scale=2.0, resize=None)
    model, found = of_model(given, "mine.toml")
    assert (model, found.calibration, found.scale, found.resize) == ("one.keras", "x.npy", 2.0, "box")
    assert of_model(given, "two.keras") == ("two.keras", given)
    Path("mine.toml").write_text('train = "x.npy"')
    with pytest.raises(InputError, match=r"mine\.toml: has no model"):
        of_model(given, "mine.toml")


def test_bench_times_the_test_images_of_the_only_model(two):
    images = np.random.default_rng(0).integers(0, 256, (70, 2, 2, 1), dtype=np.uint8)
    np.save("x.npy", images)
    one, other, without = two
    given = options(skip_bad=False)
    assert (job.own_images(given, [one]).images == images[:64]).all()
    found = job.own_images(given, [without])
    assert len(found.images) == 0 and found.notes == ()
    Project(Path("out/two", FILE), {"model": "two.keras", "test": "y.npy"}).write()
    found = job.own_images(given, [one, other])
    assert len(found.images) == 0
    assert found.notes == ("not used, because the models differ in them: x.npy, y.npy",)
    np.save("x.npy", images / 255)
    found = job.own_images(given, [one])
    assert len(found.images) == 0
    assert found.notes == ("not used, because they are float64, not uint8: x.npy",)


def test_a_resumed_run_has_the_images_of_its_artifacts(two):
    np.save("x.npy", np.ones((3, 2, 2, 1), np.uint8))
    journal = Path("run.partial.jsonl")
    journal.write_text(json.dumps({"cells": [{"artifact": str(two[0].path)}]}) + "\n")
    assert job.images_of_run(options(skip_bad=False), journal).images.shape == (3, 2, 2, 1)
    journal.write_text("{}\n")
    with pytest.raises(FileError, match="not the file of an interrupted run"):
        job.images_of_run(options(skip_bad=False), journal)


@pytest.mark.slow
def test_from_init_to_check_without_a_flag(tmp_path, monkeypatch, capsys):
    """Two projects; one file of facts each; then the commands without options."""
    import keras
    from keras import layers
    from PIL import Image

    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for name, classes in (("first", ["cat", "dog", "owl"]), ("second", ["no", "yes"])):
        keras.utils.set_random_seed(0)
        keras.Sequential(
            [
                keras.Input((8, 8, 3)),
                layers.Rescaling(1 / 255),
                layers.Flatten(),
                layers.Dense(len(classes), kernel_initializer="random_normal", activation="softmax"),
            ]
        ).save(f"{name}.keras")
        for label in classes:
            Path(name, label).mkdir(parents=True)
            for index in range(6):
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(f"{name}/{label}/{index}.png")
        np.save(f"{name}.npy", rng.integers(0, 256, (40, 8, 8, 3), dtype=np.uint8))
        assert main(["init", f"{name}.keras", "--train", name, "--test", f"{name}.npy"]) == 0
        out = capsys.readouterr().out
        assert "scales it itself by Rescaling" in out and f"called {', '.join(classes)}: the" in out
        assert "? Is that the order of the outputs?" in out
        assert main(["init", f"{name}.keras"]) == 2
        assert f"{name}.toml: is there already" in capsys.readouterr().err
    small = ["--format", "tflite", "--precision", "float32", "--precision", "int8"]
    assert main(["export", "first.toml", "second.toml", *small]) == 0
    for name in ("first", "second"):
        text = Path("exported", name, "int8.tflite.json").read_text()
        assert str(tmp_path) not in text and "../" not in text
    assert Artifact.open("exported/first/int8.tflite").contract.labels == ("cat", "dog", "owl")
    capsys.readouterr()
    assert main(["check", "exported"]) == 0
    out = capsys.readouterr().out
    assert "40 images of first.npy" in out and "40 images of second.npy" in out
    report = json.loads(Path("reports/parity.json").read_text())
    assert {row["source"] for row in report["rows"]} == {"first.npy", "second.npy"} and report["images"] == 80
    assert main(["explain", "exported/second/int8.tflite", "--limit", "8"]) == 0
    assert main(["matrix", "exported", "--engine", "litert", "--engine", "numpy"]) == 0
    out = capsys.readouterr().out
    assert "40 images of first.npy" in out and "8 images (second)" in out
    # Classes from the folders: `choose` measures each model's accuracy on its own images.
    for name in ("first", "second"):
        file = Path("exported", name, FILE)
        file.write_text(file.read_text().replace(f"{name}.npy", name))
    quick = ["--plan", "tiny.toml", "--min-accuracy", "2"]
    Path("tiny.toml").write_text(tiny_plan(rounds=5, min_queries=5))
    assert main(["choose", "exported", *quick]) == 0
    out = capsys.readouterr().out
    assert "12 images of second" in out and "first/int8.tflite    | it failed its parity check" in out  # by chance
    assert main(["choose", "exported/first", "--images", "first.npy", *quick]) == 2
    assert "first.npy: no classes, so there is no accuracy" in capsys.readouterr().err
