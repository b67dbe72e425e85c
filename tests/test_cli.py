"""The command line as scripts use it: exit codes, one-line errors, JSON, no partial files."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from support import ROOT

from fmnist_edge import checkpoints
from fmnist_edge.catalog.models import MODELS
from fmnist_edge.catalog.precisions import by_default, select
from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist
from fmnist_edge.errors import one_line

IMAGES = sorted((ROOT / "examples/images").glob("*.png"))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    out = tmp_path_factory.mktemp("cli")
    common = ["--precision", "all", "--trained", str(ROOT / "trained_model")]
    assert main(["export", "compact_cnn", "--out", str(out), *common]) == 0
    return out


def fails(capsys, arguments: list[str], code: int, *said: str) -> None:
    """Run `arguments`; expect exit code `code`, one line on stderr that contains all of `said`, and no stdout."""
    capsys.readouterr()
    assert main(arguments) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fmnist-edge: error: ") and err.count("\n") == 1, err
    for part in said:
        assert part in err


@pytest.mark.parametrize("ended_by", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signals_end_a_run_like_ctrl_c(tmp_path, ended_by):
    """A closed terminal or `timeout` leaves no child process and no traceback."""
    usual = "default_int_handler" if ended_by == signal.SIGINT else "SIG_DFL"
    code = (
        "import signal, sys, time, fmnist_edge.cli as cli\n"
        f"signal.signal({int(ended_by)}, signal.{usual})\n"  # the tests may run under nohup, which ignores SIGHUP
        "def wait(options):\n"
        "    try:\n"
        "        print('waiting', flush=True)\n"
        "        time.sleep(60)\n"
        "    finally: print('tidied up', flush=True)\n"
        "import fmnist_edge.commands.models as models\n"
        "models.run = wait\n"
        "sys.argv = ['fmnist-edge', 'models']\n"
        "sys.exit(cli.program())\n"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as child:
        assert child.stdout.readline() == "waiting\n"
        child.send_signal(ended_by)
        assert child.stdout.read() == "tidied up\n"
        assert child.stderr.read() == "fmnist-edge: interrupted\n"
    assert child.returncode == 130


def test_a_full_disk_behind_stderr_changes_no_exit_code(tmp_path):
    command = [sys.executable, "-m", "fmnist_edge", "classify", str(tmp_path / "none.tflite"), "x.png"]
    with open("/dev/full", "w") as full:
        assert subprocess.run(command, stderr=full, check=False).returncode == 2


def test_errors_have_no_control_characters():
    assert one_line(ValueError("a\x1b[31mb\x07 é")) == "a\N{REPLACEMENT CHARACTER}[31mb\N{REPLACEMENT CHARACTER} é"


def test_usage_errors_exit_2(capsys):
    for arguments in (
        [],
        ["nonsense"],
        ["train"],
        ["export", "compact_cnn", "--batch", "0"],
        ["check", "--limit", "-1"],
    ):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 2
        assert "usage: fmnist-edge" in capsys.readouterr().err


def test_data_names_the_folder(capsys):
    assert main(["data"]) == 0
    assert "train: 60,000 images, verified, in " in capsys.readouterr().out


def test_missing_data_exits_3_and_says_how_to_get_it(capsys, tmp_path):
    fails(capsys, ["data", "--data", str(tmp_path)], 3, str(tmp_path), "dataset-fashion-mnist")


@pytest.mark.parametrize("command", ["train", "export"])
def test_unknown_model_lists_the_zoo(capsys, command):
    fails(capsys, [command, "tiny_resnt"], 2, *MODELS)


def test_unknown_precision_and_recipe(capsys):
    fails(capsys, ["export", "compact_cnn", "--precision", "int3"], 2, "float32")
    fails(capsys, ["train", "compact_cnn", "--recipe", "worst"], 2, "published")


BROKEN = (b"PK\x03\x04", b"", b"\0" * 64, bytes(range(256)) * 8, b"\x89HDF\r\n\x1a\n")


@pytest.mark.parametrize("suffix", [".keras", pytest.param(".h5", marks=pytest.mark.slow)])
@pytest.mark.parametrize("content", [BROKEN[0], *(pytest.param(it, marks=pytest.mark.slow) for it in BROKEN[1:])])
def test_broken_checkpoint(capsys, tmp_path, suffix, content):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    fails(capsys, ["export", str(path), "--out", str(tmp_path / "out")], 2, str(path))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_unwritable_output(capsys, tmp_path):
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where the folder belongs")
    trained = str(ROOT / "trained_model")
    fails(capsys, ["export", "compact_cnn", "--out", str(blocked), "--trained", trained], 2, str(blocked))


@pytest.mark.parametrize("names", [("float32.onnx", "int8.tflite"), pytest.param(None, marks=pytest.mark.slow)])
def test_check_passes_and_reports(exported, capsys, tmp_path, names):
    """Two artifacts, or all: int16x8 has reference kernels alone, and takes its time."""
    paths = [str(exported / "compact_cnn" / name) for name in names or ()] or [str(exported)]
    written = [item for item in select("all") if (exported / "compact_cnn" / item.filename).exists()]
    assert len(written) == len(select("all")) - 1, "int8_only is int8"
    precisions = [item for item in written if not names or item.filename in names]
    report = tmp_path / "parity.json"
    trained = str(ROOT / "trained_model")
    assert main(["check", *paths, "--limit", "2000", "--report", str(report), "--trained", trained]) == 0
    out = capsys.readouterr().out
    assert "Parity on 2,000 images" in out and out.count("| pass |") == len(precisions)
    written = json.loads(report.read_text())
    assert written["images"] == 2000
    assert {row["precision"] for row in written["rows"]} == {item.name for item in precisions}
    assert all(row["passed"] and len(row["worst_images"]) == 10 for row in written["rows"])


@pytest.mark.slow
def test_no_labels_are_inconclusive_and_wrong_labels_prove_nothing(exported, capsys, tmp_path):
    test = fashion_mnist.load("test")
    np.save(tmp_path / "images.npy", test.images[:100])
    float_images = test.images[:100].astype(np.float64)
    np.save(tmp_path / "nan.npy", np.where(float_images > 0, np.nan, 0.0))
    np.save(tmp_path / "labels.npy", test.labels[:100])
    int8 = str(exported / "compact_cnn/int8.tflite")
    common = ["--trained", str(ROOT / "trained_model"), "--report", str(tmp_path / "r.json")]
    capsys.readouterr()
    # The gate of int8 is accuracy, which cannot be measured without labels.
    assert main(["check", int8, "--images", str(tmp_path / "images.npy"), *common]) == 0
    assert "inconclusive: " in capsys.readouterr().err
    np.save(tmp_path / "wrong.npy", (test.labels[:100] + 1) % 10)
    wrong = ["--labels", str(tmp_path / "wrong.npy")]
    assert main(["check", int8, "--images", str(tmp_path / "images.npy"), *wrong, *common]) == 1
    out, err = capsys.readouterr()
    assert "UNPROVEN" in out and "UNPROVEN compact_cnn: " in err and "proves nothing for 1 of 1 artifacts" in err
    assert json.loads((tmp_path / "r.json").read_text())["rows"][0]["passed"] is False
    images, labels = str(tmp_path / "images.npy"), str(tmp_path / "labels.npy")
    assert main(["check", int8, "--images", images, "--labels", labels, *common]) == 0
    fails(capsys, ["check", int8, "--images", str(tmp_path / "nan.npy"), *common], 2, "NaN")


def test_artifact_of_another_model_is_not_checked_against_the_wrong_reference(exported, capsys, tmp_path):
    model = checkpoints.load("compact_cnn", folder=ROOT / "trained_model").model
    model.save(tmp_path / "compact_cnn.keras")  # same weights, another file
    int8 = str(exported / "compact_cnn/int8.tflite")
    fails(capsys, ["check", int8, "--trained", str(tmp_path), "--limit", "10"], 2, "--reference")


def test_classify_table_and_json(exported, capsys):
    capsys.readouterr()
    paths = [str(path) for path in IMAGES]
    for name in ("int8.tflite", "float32.onnx"):
        assert main(["classify", str(exported / "compact_cnn" / name), *paths, "--json"]) == 0
        answers = json.loads(capsys.readouterr().out)
        wrong = [
            answer
            for answer in answers
            if answer["label"].lower().replace("/", "-").replace(" ", "_") not in answer["image"]
        ]
        assert len(wrong) <= 1
        assert all(abs(sum(answer["probabilities"].values()) - 1) < 1e-5 for answer in answers)
    assert main(["classify", str(exported / "compact_cnn/int8.tflite"), paths[0]]) == 0
    assert "Ankle boot" in capsys.readouterr().out


def test_classify_accepts_names_of_the_zoo(capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(["classify", "tiny_resnet", str(IMAGES[0])]) == 0
    assert "Ankle boot" in capsys.readouterr().out


def test_classify_refuses_other_files(exported, capsys, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(IMAGES[0].read_bytes()[:100])
    int8 = str(exported / "compact_cnn/int8.tflite")
    fails(capsys, ["classify", int8, str(broken)], 2, "not a readable PNG or JPEG")
    fails(capsys, ["classify", int8, str(tmp_path / "none.png")], 2, "none.png")
    fails(capsys, ["classify", str(tmp_path / "none.tflite"), str(IMAGES[0])], 2, "no such file")


def test_classify_reads_folders_and_names_what_it_cannot_read(exported, capsys, tmp_path):
    from PIL import Image

    int8, photos = str(exported / "compact_cnn/int8.tflite"), tmp_path / "photos"
    (photos / "b").mkdir(parents=True)
    for name in ("c.png", "b/z.png", "a.jpg"):
        Image.new("L", (28, 60), 9).save(photos / name)
    (photos / "b/broken.png").write_bytes(IMAGES[0].read_bytes()[:100])
    (photos / "notes.txt").write_text("")
    assert main(["classify", int8, str(photos), str(IMAGES[0]), "--json", "--top", "2"]) == 2
    shown = capsys.readouterr()
    answers = json.loads(shown.out)
    assert [item["image"].rsplit("/", 1)[1] for item in answers] == ["a.jpg", "z.png", "c.png", IMAGES[0].name]
    for item in answers:
        best = sorted(item["probabilities"].items(), key=lambda pair: -pair[1])[:2]
        assert [(entry["label"], entry["confidence"]) for entry in item["top"]] == best
    assert "broken.png: not a readable PNG or JPEG" in shown.err and "no PNG or JPEG: notes.txt" in shown.err
    assert shown.err.count("an image is stretched") == 1 and "and 2 more of 5 images" in shown.err
    assert "1 of 5 images could not be read" in shown.err
    (tmp_path / "empty").mkdir()
    fails(capsys, ["classify", int8, str(tmp_path / "empty")], 2, "no PNG or JPEG in it")


@pytest.mark.parametrize(("top", "shown"), [(1, 1), (4, 4), (99, 10)])
def test_classify_shows_the_top_classes(exported, capsys, top, shown):
    capsys.readouterr()
    assert main(["classify", str(exported / "compact_cnn/int8.tflite"), str(IMAGES[0]), "--top", str(top)]) == 0
    assert capsys.readouterr().out.count("%") == shown


def test_altered_artifact_is_refused(exported, capsys, tmp_path):
    for name in ("int8.tflite", "float32.onnx"):
        content = (exported / "compact_cnn" / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        (tmp_path / f"{name}.json").write_bytes((exported / "compact_cnn" / f"{name}.json").read_bytes())
        fails(capsys, ["classify", str(tmp_path / name), str(IMAGES[0])], 2, "truncated or altered")


@pytest.mark.slow
def test_a_users_own_model(capsys, tmp_path):
    import keras

    keras.utils.set_random_seed(3)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 24, 3)),
            layers.Conv2D(8, 3, strides=2, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.DepthwiseConv2D(3),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4, activation="softmax"),
        ]
    )
    model.save(tmp_path / "mine.keras")
    rng = np.random.default_rng(0)
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (120, 32, 24, 3), dtype=np.uint8))
    images, mine = str(tmp_path / "images.npy"), str(tmp_path / "mine.keras")
    (tmp_path / "labels.txt").write_text("north\neast\nsouth\nwest\n")
    export = ["export", mine, "--out", str(tmp_path / "out"), "--labels", str(tmp_path / "labels.txt")]
    fails(capsys, [*export, "--precision", "int8"], 2, "--calibration")
    assert main([*export, "--calibration", images]) == 0
    predicted = np.asarray(model.predict(np.load(images).astype(np.float32) / 255, verbose=0)).argmax(1)
    np.save(tmp_path / "labels.npy", predicted)
    check = ["check", str(tmp_path / "out"), "--reference", mine, "--images", images]
    capsys.readouterr()
    main([*check, "--labels", str(tmp_path / "labels.npy"), "--report", str(tmp_path / "r.json")])
    rows = json.loads((tmp_path / "r.json").read_text())["rows"]
    assert len(rows) == len(by_default("all")) == 4
    for row in rows:
        assert row["reference_accuracy"] == 1.0 and row["published_accuracy"] is None
        assert row["passed"] or row["precision"] in ("int8", "dynamic_int8")  # an untrained model has no margins
        assert row["max_abs_delta"] < 0.05


def test_the_installed_command_hides_engine_logging(exported):
    command = [
        sys.executable,
        "-m",
        "fmnist_edge",
        "classify",
        str(exported / "compact_cnn/int8.tflite"),
        str(IMAGES[0]),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "Ankle boot" in done.stdout
    failed = subprocess.run([*command[:-1], "none.png"], capture_output=True, text=True)
    assert failed.returncode == 2 and failed.stderr.startswith("fmnist-edge: error: none.png")


@pytest.mark.slow
def test_a_missing_package_is_named_and_exits_3(capsys, monkeypatch, tmp_path):
    (tmp_path / "h5py.py").write_text("raise ModuleNotFoundError(\"No module named 'h5py'\", name='h5py')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))  # for the child
    fails(capsys, ["export", "compact_cnn", "--trained", str(ROOT / "trained_model")], 3, "h5py", "fmnist-edge[export]")
