"""The archive for a device: its bytes, what is in it, and that it measures there with NumPy and one engine."""

import fcntl
import json
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.bench_models import write_onnx
from support.devices import ARTIFACT, IMAGES, ROOT, SHORT, job, members, oldest_python, unpack

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.comparison import compare
from fmnist_edge.benchmark.remote import bundle, ready, unpacked
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.runtime.engine_catalog import CPU, ENGINES, engines_on, shipped

EXPORTED = tuple(sorted(ROOT.glob("exported/compact_cnn/*.*[ex]")))


class TestArchive:
    def test_the_same_job_gives_the_same_bytes_and_another_job_others(self):
        assert bundle.archive(job()) == bundle.archive(job())
        assert bundle.archive(job()) != bundle.archive(replace(job(), seed=1))

    def test_nothing_of_this_machine_or_moment_is_in_it(self, tmp_path):
        content = bundle.archive(job())
        entries = members(content, tmp_path)
        assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
        assert {(e.mtime, e.uid, e.gid, e.uname, e.gname, e.mode, e.isfile()) for e in entries} == {
            (0, 0, 0, "", "", 0o644, True)
        }
        folder = unpack(content, tmp_path)
        for file in folder.rglob("*"):
            assert not file.is_file() or str(ROOT).encode() not in file.read_bytes(), file

    def test_each_bundle_unpacks_into_a_folder_of_its_own(self, tmp_path):
        names = {members(bundle.archive(replace(job(), seed=seed)), tmp_path)[0].name.split("/")[0] for seed in (0, 1)}
        assert len(names) == 2 and all(re.fullmatch(r"fmnist-edge-bench-[0-9a-f]{8}", name) for name in names)

    def test_what_is_in_it_is_what_was_asked_for(self):
        files = bundle.contents(job(engines=shipped()))
        assert files["artifacts/compact_cnn/int8.tflite"] == ARTIFACT.read_bytes()
        assert json.loads(files["artifacts/compact_cnn/int8.tflite.json"])["schema"] == 1
        description = json.loads(files["job.json"])
        assert description["engines"] == ["litert", "litert-builtin"]  # ONNX Runtime runs no artifact here
        assert description["plan"]["name"] == "short"
        assert files["requirements.txt"].decode().split() == ["numpy>=1.24,<3", "ai-edge-litert>=2.1,<3"]
        lines = files["README.txt"].decode().splitlines()
        assert len(lines) <= 10 and all(len(line) <= 120 for line in lines)
        assert not [name for name in files if re.search("training|export|checkpoints|commands", name)]
        assert sum(map(len, files.values())) < 2_000_000

    def test_all_of_the_wheel_for_devices_is_in_it(self):
        modules = set(runpy.run_path(str(ROOT / "scripts/runtime_wheel.py"))["MODULES"])
        assert modules - {"py.typed"} < set(bundle.DEVICE_SIDE)

    def test_every_checksum_is_there_and_right(self, tmp_path):
        folder = unpack(bundle.archive(job()), tmp_path)
        done = subprocess.run(
            ["sha256sum", "-c", "--strict", "SHA256SUMS"], cwd=folder, capture_output=True, check=True
        )
        listed = {line.split(b": ")[0].decode() for line in done.stdout.splitlines()}
        files = {file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()}
        assert files - listed == {"SHA256SUMS"}

    def test_accuracies_of_other_artifacts_stay_at_home(self):
        manifest = json.loads(ARTIFACT.with_name("int8.tflite.json").read_text())
        known = {manifest["sha256"]: {"accuracy": 0.9}, "other": {"accuracy": 0.1}}
        files = bundle.contents(replace(job(), accuracies=known))
        assert json.loads(files["job.json"])["accuracies"] == {manifest["sha256"]: {"accuracy": 0.9}}

    @pytest.mark.parametrize("engine", ["keras-predict", "tflite-runtime", "tflite-micro"])
    def test_engines_that_are_not_for_devices_are_refused_with_those_that_are(self, engine):
        with pytest.raises(InputError, match=rf"'{engine}' is not for a device; choose from: litert, .*openvino"):
            bundle.archive(job(engines=("litert", engine)))

    def test_all_is_every_engine_that_a_device_can_have(self):
        assert {"litert", "litert-compiled", "openvino"} <= set(bundle.engines_of([ARTIFACT], ["all"]))

    def test_two_artifacts_of_one_name_are_refused(self, tmp_path):
        for one, other, said in (
            ("a/linear", "b/linear", "two artifacts are called linear/float32"),
            ("lin ear", "lin_ear", "also called artifacts/lin_ear/float32"),  # on the device
        ):
            paths = tuple(write_onnx(tmp_path / folder / "float32.onnx") for folder in (one, other))
            with pytest.raises(InputError, match=said):
                bundle.archive(job(engines=("onnxruntime",), artifacts=paths))

    def test_file_names_that_a_device_may_not_take_are_made_plain(self, tmp_path):
        path = write_onnx(tmp_path / "mein Mödell/float 32.onnx")
        files = bundle.contents(job(engines=("onnxruntime",), artifacts=(path,)))
        assert "artifacts/mein_M_dell/float_32.onnx" in files and "artifacts/mein_M_dell/float_32.onnx.json" in files


class TestRequirements:
    def test_every_engine_says_what_to_install_or_that_it_is_not_for_devices(self):
        import tomllib

        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = project["optional-dependencies"]
        runtimes = [line for extra in ("litert", "onnx", "openvino", "ncnn", "mnn") for line in extras[extra]]
        offered = {ready.distribution(line): line for line in [*project["dependencies"], *runtimes]}
        for name in engines_on(CPU):
            requirement = ENGINES[name].requirement
            if requirement is not None:
                assert requirement.startswith(offered[ready.distribution(requirement)].partition(",")[0]), name

    def test_numpy_is_there_once_whatever_the_engine(self):
        assert bundle.requirements(["numpy"]) == ["numpy>=1.24,<3"]
        assert bundle.requirements(["numpy", "litert"]) == ["numpy>=1.24,<3", "ai-edge-litert>=2.1,<3"]

    def test_what_is_missing_and_what_is_too_little(self):
        assert ready.missing(["numpy>=1.24", "nowhere>=1"]) == ["nowhere>=1"]
        assert ready.blocked_reason(["numpy>=1.24", "nowhere>=1"], ["litert"]) == "no engine is installed (of nowhere)"
        assert ready.blocked_reason(["numpy>=1.24", "nowhere>=1", "pytest>=8"], ["litert", "onnxruntime"]) is None
        assert ready.blocked_reason(["numpy>=1.24", "pytest>=8"], ["litert"]) is None

    def test_the_numpy_engine_lacks_nothing_but_numpy(self):
        assert ready.blocked_reason(["numpy>=1.24"], ["numpy"]) is None
        assert ready.blocked_reason(["numpy>=1.24", "nowhere>=1"], ["litert", "numpy"]) is None

    def test_an_installation_waits_for_one_that_is_under_way(self, tmp_path):
        """A link broke, and the same command came again: pip is still at it over there."""
        environment = tmp_path / "venvs/one"
        environment.mkdir(parents=True)
        paths = f"Path({str(tmp_path / 'requirements.txt')!r}), Path({str(environment)!r})"
        code = (
            f"from pathlib import Path; from fmnist_edge.benchmark.remote import ready; ready.install({paths}, print)"
        )
        with open(environment.with_name("one.lock"), "wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            second = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
            with pytest.raises(subprocess.TimeoutExpired):
                second.wait(1)
            assert list(environment.iterdir()) == []
            (environment / ready.READY_MARKER).touch()
        assert second.wait() == 0 and [file.name for file in environment.iterdir()] == [ready.READY_MARKER]

    @pytest.mark.parametrize(
        "said, means",
        [
            ("OSError: [Errno 28] No space left on device: '/x'", "No space left on device"),
            (
                "The virtual environment was not created successfully because ensurepip is not\navailable.",
                "python3-venv",
            ),
            (
                "WARNING: Retrying … NewConnectionError(…)\nERROR: No matching distribution found for numpy",
                "no network",
            ),
            ("ERROR: No matching distribution found for numpy", "pip: No matching distribution found for numpy"),
            ("", "no message"),
        ],
    )
    def test_why_an_installation_failed_is_one_line(self, said, means):
        assert means in ready.why(said.splitlines()) and "\n" not in ready.why(said.splitlines())


class TestUnpacked:
    def test_the_job_comes_back_as_it_was(self, tmp_path):
        given = replace(job(), seed=3)
        read = unpacked.read(unpack(bundle.archive(given), tmp_path))
        assert (read.plan, read.engines, read.seed) == (SHORT, ("litert",), 3)
        assert np.array_equal(read.images, IMAGES) and read.artifacts[0].read_bytes() == ARTIFACT.read_bytes()

    @pytest.mark.parametrize(
        "name", ["images.npy", "artifacts/compact_cnn/int8.tflite", "fmnist_edge/benchmark/loop.py"]
    )
    def test_damage_is_found_and_named(self, tmp_path, name):
        folder = unpack(bundle.archive(job()), tmp_path)
        file = folder / name
        file.write_bytes(file.read_bytes()[:-1] + b"\0")
        with pytest.raises(FileError, match=f"{name}: its SHA-256"):
            unpacked.verify(folder)
        file.unlink()
        with pytest.raises(FileError, match="the bundle is not complete"):
            unpacked.verify(folder)

    def test_a_job_of_another_version_or_none_is_refused(self, tmp_path):
        folder = unpack(bundle.archive(job()), tmp_path)
        (folder / "job.json").write_text('{"schema": 9}')
        with pytest.raises(FileError, match="schema is 9, this version reads 1"):
            unpacked.read(folder)
        (folder / "job.json").write_text("[")
        with pytest.raises(FileError, match="not a bundle's job"):
            unpacked.read(folder)


class TestCommand:
    def test_writes_the_archive_and_says_how_to_go_on(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        assert main(["bundle", str(ARTIFACT), "--plan", "quick", "--out", "pi.tar.gz"]) == 0
        out = capsys.readouterr().out
        assert "1 artifacts, engines litert, litert-builtin, plan quick" in out and "tar xzf pi.tar.gz" in out
        assert unpacked.read(unpack(Path("pi.tar.gz").read_bytes(), tmp_path)).plan.name == "quick"

    def test_bad_input_is_one_line(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        for arguments, said in (
            ([str(ARTIFACT), "--out", "pi.zip"], ".tar.gz"),
            (["nowhere"], "nowhere"),
            ([str(ARTIFACT), "--plan", "none"], "unknown plan"),
            ([str(ARTIFACT), "--engine", "onnxruntime"], "no artifact"),
        ):
            assert main(["bundle", *arguments]) == 2
            err = capsys.readouterr().err
            assert said in err and err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []


class TestOnTheDevice:
    def run(self, python, folder):
        return subprocess.run([python, "run.py"], cwd=folder, capture_output=True, text=True, check=False)

    @pytest.mark.slow
    def test_one_command_measures_and_the_result_is_read_here(self, device_python, tmp_path):
        folder = unpack(bundle.archive(job()), tmp_path)
        done = self.run(device_python, folder)
        assert done.returncode == 0, done.stderr
        assert "| compact_cnn/int8.tflite | litert |" in done.stdout and "3/3 done" in done.stderr
        (file,) = folder.glob("results/*/*")
        result = results.load(file)
        (cell,) = result["cells"]
        assert (cell["status"], cell["target"], len(cell["rounds"])) == ("ok", "cpu", 2)
        assert cell["complexity"]["macs"] > 0 and result["machine"]["packages"]["tensorflow"] is None
        (item,) = compare(result, result)
        assert item.problem is None and item.ratios["engine"]["p50"].ratio == 1
        assert str(tmp_path) not in json.dumps(result)
        if "3.9" in oldest_python():
            assert " 3.9." in result["machine"]["python"]

    def test_without_an_engine_it_says_what_to_install(self, tmp_path):
        folder = unpack(bundle.archive(job()), tmp_path)
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
        done = self.run(tmp_path / "bare/bin/python", folder)
        assert done.returncode == 3 and done.stdout == "" and done.stderr.count("\n") == 1
        assert "NumPy is not installed" in done.stderr and "pip install --only-binary :all:" in done.stderr

    def test_a_damaged_bundle_measures_nothing(self, tmp_path):
        folder = unpack(bundle.archive(job()), tmp_path)
        (folder / "images.npy").write_bytes(b"")
        done = self.run(sys.executable, folder)
        assert done.returncode == 2 and "images.npy: its SHA-256" in done.stderr and done.stderr.count("\n") == 1

    def test_an_older_python_is_told_so_by_a_file_that_it_can_read(self, tmp_path):
        code = bundle.RUN_PY.replace("sys.version_info", "(3, 8, 18)")
        (tmp_path / "run.py").write_text(code)
        done = self.run(sys.executable, tmp_path)
        assert done.returncode == 3 and "Python 3.9 or later is needed" in done.stderr
