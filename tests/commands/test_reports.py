"""Reports of commands: on read-only disks, on stdout, without a home or a folder for temporary files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT

from fmnist_edge.cli import main
from fmnist_edge.data import fashion_mnist

ARTIFACT = ROOT / "exported/compact_cnn/int8.tflite"
TESTED_WITH = ("doctor", "matrix", "check", "explain", "compare", "reproduce", "estimate", "report")


@pytest.fixture
def read_only(tmp_path, monkeypatch):
    """A current folder in which no folder for reports or results can be made, not even by root."""
    for name in ("reports", "benchmarks"):
        (tmp_path / name).write_text("in the way")
    monkeypatch.chdir(tmp_path)


def test_a_default_report_that_cannot_be_written_is_a_note(read_only, capsys):
    assert main(["doctor", str(ARTIFACT), "--engine", "numpy"]) == 0
    shown = capsys.readouterr()
    assert "16 of 16 golden vectors pass" in shown.out and "| pass" not in shown.out and "wrote" not in shown.out
    assert shown.err.startswith("fmnist-edge: note: no report is written: reports/")
    assert (
        shown.err.endswith("; --report FILE names another file, --report - prints it\n") and shown.err.count("\n") == 1
    )


def test_a_report_that_was_asked_for_must_be_written(read_only, capsys):
    assert main(["doctor", str(ARTIFACT), "--report", "reports/doctor.json"]) == 2
    assert "reports/.writable: cannot be written" in capsys.readouterr().err


def test_a_report_on_stdout_is_json_alone(read_only, capsys):
    assert main(["doctor", str(ARTIFACT), "--engine", "numpy", "-v", "--report", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["artifacts"][0]["passed"] and shown.err.count("| pass") == 16


def test_the_matrix_too(read_only, capsys):
    assert main(["matrix", str(ARTIFACT), "--engine", "numpy", "--limit", "20", "--report", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["images"] == 20 and "Engine matrix on the first 20" in shown.err


@pytest.mark.parametrize("name", TESTED_WITH)
def test_no_command_asks_for_a_writable_folder_of_reports_itself(name):
    """They all use Report, which the tests above test."""
    source = (ROOT / "fmnist_edge/commands" / f"{name}.py").read_text()
    assert "Report." in source and "check_writable" not in source and "write_json" not in source


@pytest.mark.slow
def test_report_and_estimate_too(read_only, capsys):
    results = str(ROOT / "benchmarks/results")
    assert main(["report", results]) == 0
    shown = capsys.readouterr()
    assert "| tiny_resnet" in shown.out and "wrote" not in shown.out
    assert [line.rpartition("; ")[2] for line in shown.err.splitlines() if "no report is written" in line] == [
        f"{option} FILE names another file, {option} - prints it" for option in ("--report", "--markdown", "--html")
    ]
    assert main(["report", results, "--report", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) and "| tiny_resnet" in shown.err
    assert main(["report", results, "--html", "reports/page.html"]) == 2
    assert "reports/.writable: cannot be written" in capsys.readouterr().err

    assert main(["estimate", str(ARTIFACT)]) == 0
    shown = capsys.readouterr()
    assert "Estimated, never measured" in shown.out and "wrote" not in shown.out
    assert shown.err.count("note: no report is written") == 1
    assert main(["estimate", str(ARTIFACT), "--report", "-"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["estimates"] and "Estimated, never measured" in shown.err
    assert main(["estimate", str(ARTIFACT), "--report", "reports/mine.json"]) == 2


def test_doctor_goes_on_after_a_damaged_manifest(tmp_path, capsys):
    for name in ("broken", "sound"):
        shutil.copy(ARTIFACT, tmp_path / f"{name}.tflite")
        shutil.copy(f"{ARTIFACT}.json", tmp_path / f"{name}.tflite.json")
    shutil.copy(ARTIFACT, tmp_path / "without.tflite")
    (tmp_path / "broken.tflite.json").write_text("{")
    command = ["doctor", str(tmp_path), "--engine", "numpy", "--report", "-"]
    assert main(command) == 2
    shown = capsys.readouterr()
    reasons = {Path(item["artifact"]).name: item["reason"] for item in json.loads(shown.out)["untested"]}
    assert "not a readable manifest" in reasons["broken.tflite"]
    assert "no manifest without.tflite.json beside it" in reasons["without.tflite"] and len(reasons) == 2
    assert shown.err.count("16 of 16 golden vectors pass") == 1 and shown.err.count("NOT TESTED") == 2
    assert shown.err.endswith("2 of 3 artifacts could not be tested here\n")
    (tmp_path / "sound.tflite.json").unlink()
    (tmp_path / "without.tflite").unlink()
    (tmp_path / "sound.tflite").unlink()
    assert main(command) == 2 and "not a readable manifest" in capsys.readouterr().err


def test_doctor_tests_what_it_can_and_names_the_rest(tmp_path, capsys, monkeypatch):
    """On a device with LiteRT alone, and a folder with both formats."""
    for path in (ROOT / "exported/compact_cnn").iterdir():
        if ".web" not in path.suffixes:
            shutil.copy(path, tmp_path)
    damaged = tmp_path / "damaged.tflite"
    shutil.copy(f"{ARTIFACT}.json", f"{damaged}.json")
    hide_onnx_runtime(tmp_path, monkeypatch)
    report = tmp_path / "doctor.json"
    assert main(["doctor", str(tmp_path), "--report", str(report)]) == 3
    shown = capsys.readouterr()
    install = "ONNX Runtime is not installed; run: pip install onnxruntime"
    assert "1 of 2 artifacts can be used here" in shown.out and "int8.tflite: SHA-256 matches" in shown.out
    assert shown.err.splitlines() == [
        f"NOT TESTED {tmp_path}/float32.onnx: {install}",
        "fmnist-edge: error: 1 of 2 artifacts could not be tested here",
    ]
    assert json.loads(report.read_text())["untested"] == [
        {"artifact": str(tmp_path / "float32.onnx"), "reason": install}
    ]
    damaged.write_bytes(b"TFL3")
    assert main(["doctor", str(tmp_path), "--report", str(report)]) == 2
    assert f"NOT TESTED {damaged}: SHA-256 is" in capsys.readouterr().err
    assert main(["doctor", str(tmp_path / "float32.onnx")]) == 3
    assert capsys.readouterr().err == f"fmnist-edge: error: {install}\n"


@pytest.mark.parametrize("command", [
    ["classify", "FILE", "examples/images/0000-ankle_boot.png"], ["matrix", "FILE", "--limit", "10"],
    ["bench", "FILE", "--plan", "demo", "--engine", "onnxruntime"],
    *(pytest.param(line, marks=pytest.mark.slow) for line in (["check", "FILE", "--limit", "10"], ["explain", "FILE"])),
], ids=lambda line: line[0])  # fmt: skip
def test_a_missing_engine_is_exit_code_3(command, tmp_path, capsys, monkeypatch):
    hide_onnx_runtime(tmp_path, monkeypatch)
    monkeypatch.setattr("fmnist_edge.benchmark.suite.IDLE_S", 0.01)
    monkeypatch.setattr("fmnist_edge.benchmark.suite.calibrate", lambda threads: {"threads": {}})
    path = str(ROOT / "exported/compact_cnn/float32.onnx")
    report = (
        [] if command[0] == "classify" else ["--out" if command[0] == "bench" else "--report", str(tmp_path / "x.json")]
    )
    assert main([path if part == "FILE" else part for part in command] + report) == 3
    assert "ONNX Runtime is not installed; run: pip install onnxruntime" in "".join(capsys.readouterr())


def hide_onnx_runtime(folder: Path, monkeypatch) -> None:
    """From this process and its children."""
    (folder / "sitecustomize.py").write_text("import sys; sys.modules['onnxruntime'] = None")
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{ROOT}")
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


def test_a_user_without_a_home(monkeypatch):
    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("TMPDIR", "/var/tmp")
    monkeypatch.setattr(Path, "home", homeless)
    assert fashion_mnist.cache_folder() == Path("/var/tmp/fmnist-edge")


# As systemd's ProtectSystem=strict, ProtectHome=yes and DynamicUser=yes leave a service: everything is read-only, root
# has lost its rights, and there is neither HOME nor TMPDIR.
CONFINED = """
mount -o remount,ro,bind /
exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs env -i PATH=/usr/bin:/bin PYTHONPATH="$0" "$@"
"""


def confined(*arguments: object) -> subprocess.CompletedProcess:
    command = ["unshare", "--mount", "sh", "-ec", CONFINED, ROOT, sys.executable, *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def confinement():
    tools = all(shutil.which(name) for name in ("unshare", "setpriv"))
    if not tools or confined("-c", "").returncode:
        pytest.skip("needs unshare and setpriv, and the right to mount")
    assert confined("-c", f"open({str(ROOT / 'written')!r}, 'w')").returncode, "the disk is read-only"


@pytest.mark.slow
@pytest.mark.usefixtures("confinement")
@pytest.mark.parametrize("arguments", [
    ["doctor", ARTIFACT], ["doctor", ROOT / "exported/compact_cnn/float32.onnx"],
    ["classify", ARTIFACT, ROOT / "examples/images/0000-ankle_boot.png"],
    ["report", ROOT / "benchmarks/results"], ["estimate", ARTIFACT],
], ids=["doctor-tflite", "doctor-onnx", "classify", "report", "estimate"])  # fmt: skip
def test_a_confined_service_runs(arguments):
    done = confined("-m", "fmnist_edge", *arguments)
    assert done.returncode == 0, done.stderr
    shown = {
        "doctor": "16 of 16 golden vectors pass",
        "classify": "Ankle boot",
        "report": "| tiny_resnet",
        "estimate": "Estimated, never",
    }
    assert shown[arguments[0]] in done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("confinement")
def test_a_confined_service_may_bring_a_model_without_a_manifest(tmp_path):
    """Its trial needs no temporary file."""
    shutil.copy(ARTIFACT, tmp_path)
    code = "import sys; from fmnist_edge.runtime import Classifier; print(Classifier.load(sys.argv[1]).engine.name)"
    assert confined("-c", code, tmp_path / ARTIFACT.name).stdout == "litert\n"
