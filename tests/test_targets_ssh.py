"""`bench --on` against a real sshd on the loopback: the whole way, broken links, and all that a device can lack."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from devices import ARTIFACT, SHORT, job
from ssh_board import Board, end, processes, sshd

from fmnist_edge.bench import results
from fmnist_edge.bench.plan import Plan
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, InputError, UnavailableError, UnreachableError
from fmnist_edge.targets import bundle, ssh, wire
from fmnist_edge.targets.link import Link
from fmnist_edge.targets.ssh import SshTarget

SYSTEM = "/usr/bin:/bin"
TOOLS = ("sh", "bash", "cat", "mkdir", "wc", "tar", "gzip", "cp", "rm")
# Long enough to be interfered with, and no longer.
SLOW = Plan("slow", 3, 0, 0, min_queries=3, warm_up_runs=2, warm_up_seconds=0, threads=(1,), cool_down_seconds=1)


@pytest.fixture
def make_board(tmp_path):
    """Boards that are gone after the test."""
    made = []

    def make(path=SYSTEM, **more):
        sshd()
        made.append(Board(tmp_path, path, more))
        return made[-1]

    yield make
    for board in made:
        board.close()


@pytest.fixture
def board(make_board, device_python):
    """A device that has NumPy and one engine."""
    return make_board(f"{device_python.parent}:{SYSTEM}")


@pytest.fixture
def bare(tmp_path):
    """A folder with a Python that has nothing."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "bare"], check=True)
    return tmp_path / "bare/bin"


def target(board, patience_s=60):
    return SshTarget("board", ("-F", str(board.config)), patience_s)


def measure(board, tmp_path, plan=SHORT, progress=lambda done, total, text: None, patience_s=60):
    path = target(board, patience_s).measure(job(plan), tmp_path / "out", progress)
    return results.load(path)


def once(step, action):
    """A progress that acts when that many measurements are done on the device, the first time."""
    done_already = []

    def progress(done, total, text):
        if "int8.tflite" in text and done >= step and not done_already:
            done_already.append(True)
            action()

    return progress


class TestTheWholeWay:
    def test_from_an_empty_device_to_a_result_here(self, board, tmp_path, capsys):
        plan = tmp_path / "tiny.toml"
        plan.write_text(
            "rounds = 1\nseconds = 0\nend_to_end_seconds = 0\nmin_queries = 3\nwarm_up_runs = 1\nwarm_up_seconds = 0\n"
            "threads = [1]\n"
        )
        arguments = ["--on", "board", "--ssh-config", str(board.config), "--plan", str(plan), "--engine", "litert"]
        assert main(["bench", str(ARTIFACT), *arguments, "--out", str(tmp_path / "out")]) == 0
        out = capsys.readouterr().out
        (file,) = (tmp_path / "out").glob("*/*")
        assert "| compact_cnn/int8.tflite | litert |" in out and f"wrote {file}" in out and "INVALID: " not in out
        result = results.load(file)
        assert file.parent.name == result["machine"]["device"] and file.name.endswith("-tiny.json.gz")
        assert result["machine"]["packages"]["onnxruntime"] is None  # it was measured there, not here
        (there,) = board.base.glob("bundles/*/results/*/*")
        assert there.read_bytes() == file.read_bytes()
        assert not list(board.base.glob("bundles/*/state.json")) and not list(board.base.glob("bundles/*.part"))

        # Again: nothing is sent anew, and everything measured anew.
        digest = next(board.base.glob("bundles/*/run.py")).stat().st_mtime_ns
        time.sleep(1.1)  # results are named by the second
        assert main(["bench", str(ARTIFACT), *arguments, "--out", str(tmp_path / "out")]) == 0
        assert len(list((tmp_path / "out").glob("*/*"))) == 2
        assert next(board.base.glob("bundles/*/run.py")).stat().st_mtime_ns == digest

    def test_what_is_damaged_on_the_device_is_sent_again(self, board, tmp_path):
        measure(board, tmp_path)
        (file,) = board.base.glob("bundles/*/fmnist_edge/bench/loop.py")
        file.write_text("broken")
        assert measure(board, tmp_path)["cells"][0]["status"] == "ok"

    def test_a_device_with_nothing_gets_an_environment_of_its_own_once(self, make_board, device_python, bare, tmp_path):
        """`device_python` shows that pip reaches an index."""
        board = make_board(f"{bare}:{SYSTEM}")
        said = []
        result = measure(board, tmp_path, progress=lambda done, total, text: said.append(text))
        assert result["cells"][0]["status"] == "ok" and any("Successfully installed" in text for text in said)
        (mark,) = board.base.glob("venvs/*/ready")
        before = mark.stat().st_mtime_ns
        measure(board, tmp_path)
        assert mark.stat().st_mtime_ns == before


class TestBrokenLinks:
    def test_a_killed_ssh_is_picked_up_where_it_was(self, board, tmp_path):
        said, cut = [], []

        def progress(done, total, text):
            said.append(text)
            interfere(done, total, text)

        interfere = once(0, lambda: cut.append(board.cut()))
        result = measure(board, tmp_path, SLOW, progress)
        assert cut == [1] and "no link, trying again" in said
        assert len(result["sessions"]) == 1 and len(result["cells"][0]["rounds"]) == 3  # the run there never noticed

    def test_a_link_that_stays_broken_ends_the_command_and_not_the_run(self, board, tmp_path):
        with pytest.raises(UnreachableError, match=r"refuses the connection.*the same command picks it up"):
            measure(board, tmp_path, SLOW, once(1, board.stop), patience_s=2)
        owner = board.owner()
        board.start()
        result = measure(board, tmp_path, SLOW)
        assert board.owner() == owner and len(result["sessions"]) == 1 and len(result["cells"][0]["rounds"]) == 3

    def test_ctrl_c_leaves_the_run_alone_and_says_so(self, board, tmp_path, monkeypatch, capsys):
        def interrupt():
            raise KeyboardInterrupt

        monkeypatch.setattr(SshTarget, "measure", interfered(SshTarget.measure, once(1, interrupt)))
        monkeypatch.setattr("fmnist_edge.commands.bench.job_of", lambda options, engines: job(SLOW))
        assert (
            main(["bench", "--on", "board", "--ssh-config", str(board.config), "--out", str(tmp_path / "out")]) == 130
        )
        assert "the same command picks it up" in capsys.readouterr().err
        assert not processes(str(board.config)) or board.server is not None
        monkeypatch.undo()
        assert len(measure(board, tmp_path, SLOW)["sessions"]) == 1

    def test_a_run_that_something_ends_goes_on_after_its_last_measurement(self, board, tmp_path):
        result = measure(board, tmp_path, SLOW, once(2, lambda: end(board.owner())))
        assert len(result["sessions"]) == 2 and not result["interrupted"]
        assert [part["round"] for part in result["cells"][0]["rounds"]] == [0, 1, 2]

    def test_a_run_that_is_stopped_on_the_device_is_kept_and_gone_on_with(self, board, tmp_path):
        stop = once(2, lambda: os.kill(board.owner(), signal.SIGTERM))
        with pytest.raises(UnavailableError, match="it was stopped on the device"):
            measure(board, tmp_path, SLOW, stop)
        result = measure(board, tmp_path, SLOW)
        assert len(result["sessions"]) == 2 and len(result["cells"][0]["rounds"]) == 3

    def test_a_device_measures_one_thing_at_a_time(self, board, tmp_path):
        with pytest.raises(UnreachableError):
            measure(board, tmp_path, replace(SLOW, cool_down_seconds=600), once(0, board.cut), patience_s=0)
        with pytest.raises(UnavailableError, match=rf"another run is under way on it; .*kill {board.owner()}"):
            measure(board, tmp_path, SHORT)
        os.kill(board.owner(), signal.SIGTERM)  # as it says
        assert measure(board, tmp_path, SHORT)["cells"][0]["status"] == "ok"


def interfered(method, progress):
    return lambda self, job, out, ignored: method(self, job, out, progress)


class TestDisks:
    def test_a_disk_that_is_full_before_the_bundle_is_there(self, board, tmp_path):
        digest = ssh.digest(bundle.archive(job()))
        part = board.base / f"bundles/{digest}.part"
        part.mkdir(parents=True)
        (part / "a.tar.gz").symlink_to("/dev/full")
        with pytest.raises(FileError, match="board: its disk is full") as caught:
            measure(board, tmp_path)
        assert "\n" not in str(caught.value) and not part.exists()
        assert measure(board, tmp_path)["cells"][0]["status"] == "ok"

    def test_a_disk_that_fills_up_meanwhile_loses_nothing(self, board, tmp_path):
        def fill():
            (journal,) = board.base.glob("bundles/*/results/*/*.partial.jsonl")
            journal.rename(tmp_path / "kept")
            journal.symlink_to("/dev/full")
            filled.append(journal)

        filled: list[Path] = []
        with pytest.raises(FileError, match=r"board: its disk is full; free some space .* goes on"):
            measure(board, tmp_path, SLOW, once(2, fill))
        kept = (tmp_path / "kept").read_text()
        filled[0].unlink()
        shutil.copy(tmp_path / "kept", filled[0])
        result = measure(board, tmp_path, SLOW)
        assert len(result["sessions"]) == 2 and kept.count("\n") >= 2
        assert len(result["cells"][0]["rounds"]) == 3


class TestWhatCannotWork:
    def fails(self, board, tmp_path, capsys, *said):
        """As the command: exit code 3, one line, nothing left."""
        arguments = ["bench", str(ARTIFACT), "--on", "board", "--ssh-config", str(board.config)]
        assert main([*arguments, "--engine", "litert", "--out", str(tmp_path / "out")]) == 3
        err = capsys.readouterr().err
        assert err.startswith("fmnist-edge: error: board: ") and err.count("\n") == 1, err
        for part in said:
            assert part in err
        assert list((tmp_path / "out").iterdir()) == []

    def test_no_such_host(self, make_board, tmp_path, capsys):
        board = make_board()
        board.configure(HostName="nowhere.invalid")
        self.fails(board, tmp_path, capsys, "no such host")

    def test_nobody_listens(self, make_board, tmp_path, capsys):
        board = make_board()
        board.stop()
        self.fails(board, tmp_path, capsys, "it refuses the connection", "sshd")

    def test_a_changed_host_key_is_not_passed_over(self, make_board, tmp_path, capsys):
        board = make_board()
        board.stop()
        board.make_key("host_key")
        board.start()
        self.fails(board, tmp_path, capsys, "its host key has changed", "ssh-keygen -R board")
        assert not board.base.exists()

    def test_a_host_that_is_not_known_yet_is_not_trusted(self, make_board, tmp_path, capsys):
        board = make_board()
        board.known_hosts.write_text("")
        self.fails(board, tmp_path, capsys, "host key is not known here yet", "ssh board")

    def test_a_login_that_is_refused(self, make_board, tmp_path, capsys):
        board = make_board()
        board.make_key("user_key")
        self.fails(board, tmp_path, capsys, "refuses the login", "ssh-copy-id board")

    def test_no_python(self, make_board, tmp_path, capsys):
        board = make_board(str(tools(tmp_path)))
        self.fails(board, tmp_path, capsys, "has no python3", "apt install")

    @pytest.mark.parametrize(
        "answer, said", [("3.7.3 64", "its Python is 3.7.3; expected 3.9"), ("3.11.2 32", "32-bit")]
    )
    def test_a_python_that_does_not_fit(self, make_board, tmp_path, capsys, answer, said):
        folder = tools(tmp_path)
        (folder / "python3").write_text(f"#!/bin/sh\necho '{wire.SIGN} python {answer}'\n")
        (folder / "python3").chmod(0o755)
        self.fails(make_board(str(folder)), tmp_path, capsys, said)

    def test_no_engine_and_no_network_to_get_one(self, make_board, bare, tmp_path, capsys):
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
        board = make_board(f"{bare}:{SYSTEM}", **nowhere)
        self.fails(board, tmp_path, capsys, "NumPy is not installed", "pip found no network", "ai-edge-litert>=2.1,<3")

    def test_an_engine_too_few_costs_its_own_cells_alone(self, make_board, device_python, tmp_path):
        """LiteRT is there, ONNX Runtime cannot be had."""
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
        board = make_board(f"{device_python.parent}:{SYSTEM}", **nowhere)
        both = (ARTIFACT, ARTIFACT.with_name("float32.onnx"))
        path = target(board).measure(job(engines=("litert", "onnxruntime"), artifacts=both), tmp_path / "out", print)
        cells = {cell["engine"]: cell for cell in results.load(path)["cells"]}
        assert cells["litert"]["status"] == "ok" and cells["onnxruntime"]["status"] == "unavailable"
        assert "pip install onnxruntime" in cells["onnxruntime"]["reason"]

    def test_a_result_that_was_deleted_before_it_was_fetched_is_measured_anew(self, board, tmp_path, monkeypatch):
        def interrupt(*_):
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(ssh, "saved", interrupt)
            with pytest.raises(KeyboardInterrupt):
                measure(board, tmp_path)
        (there,) = board.base.glob("bundles/*/results/*/*")
        there.unlink()
        assert measure(board, tmp_path)["cells"][0]["status"] == "ok"

    def test_a_result_that_arrives_damaged_is_not_kept(self, board, tmp_path, monkeypatch):
        monkeypatch.setattr(ssh.base64, "b64decode", lambda text: b"x")
        with pytest.raises(FileError, match="arrived damaged"):
            measure(board, tmp_path)
        monkeypatch.undo()
        assert not list(tmp_path.glob("out/*/*"))
        assert len(measure(board, tmp_path)["sessions"]) == 1  # fetched, not measured again


def tools(tmp_path):
    """A PATH with no Python in it."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name, path=SYSTEM)
        assert found
        (folder / name).symlink_to(found)
    return folder


class TestLink:
    @pytest.mark.parametrize(
        "host", ["", "-oProxyCommand=touch x", "pi@-oProxyCommand=x", "ssh://-oX", "a b", "a\nb", "a\x1b[2J"]
    )
    def test_what_is_no_host_is_refused_before_ssh_sees_it(self, host):
        with pytest.raises(InputError, match="expected"):
            Link(host)

    def test_a_command_is_one_word_to_any_shell_and_the_host_no_option(self):
        command = Link("pi@host").command("echo 'a b'; $(touch x)")
        assert command[-3:-1] == ["--", "pi@host"] and "BatchMode=yes" in command
        assert command[-1] == "sh -c 'echo '\"'\"'a b'\"'\"'; $(touch x)'"

    @pytest.mark.parametrize(
        "said, means, is_passing",
        [
            ("ssh: connect to host pi port 22: Connection timed out", "it does not answer", True),
            ("ssh: connect to host pi port 22: No route to host", "no way to it", True),
            ("ssh: connect to host pi port 22: Network is unreachable", "no network", True),
            ("client_loop: send disconnect: Broken pipe", "the connection was lost", True),
            ("Timeout, server pi not responding.", "the connection was lost", True),
            ("", "the connection was lost", True),
            ("Received disconnect from pi: Too many authentication failures", "too many keys", False),
        ],
    )
    def test_what_ssh_says_is_told_in_one_line(self, said, means, is_passing):
        error = Link("pi").failure(f"Warning: something\n{said}\n")
        assert means in str(error) and "\n" not in str(error)
        assert isinstance(error, UnreachableError) == is_passing

    def test_what_a_device_prints_cannot_steer_the_terminal(self, make_board):
        board = make_board()
        answer = Link("board", ("-F", str(board.config))).run(r"printf 'a\033[2Jb\n'; printf 'c\n' >&2; exit 4")
        assert (answer.code, answer.lines[-1], answer.error) == (4, "a [2Jb", "c\n")
        assert wire.read(r'fmnist-edge: {"state": {"error": "a\u001b[2Jb", "size": 1}}')["state"] == {
            "error": "a [2Jb",
            "size": 1,
        }

    def test_without_ssh_it_says_what_to_install(self, monkeypatch):
        monkeypatch.setenv("PATH", "/nowhere")
        with pytest.raises(UnavailableError, match="openssh-client"):
            Link("pi").run("true")


class TestWhatArrives:
    def test_it_is_filed_under_names_of_our_own_making(self, tmp_path):
        from bench_results import result

        evil = result(machine={"device": "../../etc/Cron D"})
        file = results.save(evil, tmp_path / "evil.json.gz")
        path = ssh.saved(file.read_bytes(), job(), tmp_path / "out")
        assert path.relative_to(tmp_path / "out").as_posix() == "etc-cron-d/20260102030405-short.json.gz"

    @pytest.mark.parametrize("content", [b"", b"[]", b'{"schema": 2}'])
    def test_what_is_no_result_is_not_kept(self, tmp_path, content):
        with pytest.raises(FileError):
            ssh.saved(content, job(), tmp_path / "out")
        assert not list(tmp_path.rglob("*.gz"))


class TestCommand:
    @pytest.mark.parametrize(
        "arguments, said",
        [
            (["--resume", "x"], "--resume is for this machine"),
            (["--check-overhead"], "--check-overhead is for this machine"),
            (["--tflite-runtime", "x"], "--tflite-runtime is for this machine"),
            (["--engine", "keras-call"], "not for a device"),
        ],
    )
    def test_options_that_do_not_go_with_a_device(self, arguments, said, capsys, tmp_path):
        assert main(["bench", str(ARTIFACT), "--on", "pi", "--out", str(tmp_path), *arguments]) == 2
        err = capsys.readouterr().err
        assert said in err and err.count("\n") == 1

    def test_an_option_as_host_is_refused(self, capsys):
        assert main(["bench", str(ARTIFACT), "--on=-oProxyCommand=true"]) == 2
        assert re.search(r"host is '-oProxyCommand=true'", capsys.readouterr().err)
