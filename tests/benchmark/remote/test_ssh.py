"""`bench --on` against a real sshd on the loopback: the whole way, broken links, and all that a device can lack."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.devices import ARTIFACT, SHORT, job
from support.plans import tiny_plan
from support.ssh_board import Board, sshd

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.plan import Plan
from fmnist_edge.benchmark.remote import bundle, ssh, wire
from fmnist_edge.benchmark.remote.link import Link
from fmnist_edge.benchmark.remote.probe import probe
from fmnist_edge.benchmark.remote.ssh import SshTarget
from fmnist_edge.cli import main
from fmnist_edge.errors import FileError, InputError, UnavailableError, UnreachableError

SYSTEM = "/usr/bin:/bin"
TOOLS = ("sh", "bash", "cat", "mkdir", "wc", "tar", "gzip", "cp", "rm")
# Long enough to be interfered with, and no longer.
SLOW = Plan("slow", 4, 0, 0, min_queries=4, warm_up_runs=2, warm_up_seconds=0, threads=(1,), cool_down_seconds=1)


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


def target(board, retry_for_s=60):
    return SshTarget("board", ("-F", str(board.config)), retry_for_s)


def measure(board, tmp_path, plan=SHORT, progress=lambda done, total, text: None, retry_for_s=60):
    path = target(board, retry_for_s).measure(job(plan), tmp_path / "out", progress)
    return results.load(path)


def once(step, action):
    """A progress that acts when that many measurements are done on the device, the first time."""
    done_already = []

    def progress(done, total, text):
        if "int8.tflite" in text and done >= step and not done_already:
            done_already.append(True)
            action()

    return progress


@pytest.mark.slow
class TestTheWholeWay:
    def test_from_an_empty_device_to_a_result_here(self, board, tmp_path, capsys, monkeypatch):
        plan = tmp_path / "tiny.toml"
        plan.write_text(tiny_plan())
        command = ["bench", str(ARTIFACT), "--on", "board", "--ssh-config", str(board.config), "--plan", str(plan)]
        command += ["--engine", "litert", "--out", str(tmp_path / "out")]
        with monkeypatch.context() as patch:
            patch.setattr(ssh, "saved", interrupt)  # before it is fetched
            assert main(command) == 130
        (there,) = board.base.glob("bundles/*/results/*/*")
        (code,) = board.base.glob("bundles/*/fmnist_edge/benchmark/loop.py")
        assert results.load(there)["cells"][0]["status"] == "ok" and not list((tmp_path / "out").glob("*/*"))

        # What is damaged there is sent again, and a result that is gone is measured again.
        code.write_text("broken")
        there.unlink()
        capsys.readouterr()
        assert main(command) == 0
        assert code.read_text() != "broken"
        out = capsys.readouterr().out
        (file,) = (tmp_path / "out").glob("*/*")
        assert "| compact_cnn/int8.tflite | litert |" in out and f"wrote {file}" in out and "INVALID: " not in out
        result = results.load(file)
        assert file.parent.name == result["machine"]["device"] and file.name.endswith("-tiny.json.gz")
        assert result["machine"]["packages"]["onnxruntime"] is None  # it was measured there, not here
        (there,) = board.base.glob("bundles/*/results/*/*")
        assert there.read_bytes() == file.read_bytes()
        assert not list(board.base.glob("bundles/*/state.json")) and not list(board.base.glob("bundles/*.part"))

    def test_a_device_with_nothing_gets_an_environment_of_its_own_once(self, make_board, device_python, bare, tmp_path):
        """`device_python` shows that pip reaches an index. NumPy alone is soon installed."""
        board = make_board(f"{bare}:{SYSTEM}")
        alone = job(engines=("numpy",))
        there, said = target(board), []
        link = Link("board", ("-F", str(board.config)))
        facts = probe(link, ssh.digest(bundle.archive(alone)), "environment")
        there._deliver(facts, bundle.archive(alone), lambda done, total, text: said.append(text))
        python = there._python(facts, lambda done, total, text: said.append(text))
        assert python == facts.environment + "/bin/python" and not facts.has_environment
        assert any("Successfully installed" in text for text in said)
        facts = probe(link, ssh.digest(bundle.archive(alone)), "environment")
        assert facts.has_bundle and facts.has_environment
        assert there._python(facts, refuse) == python


def interrupt(*_):
    raise KeyboardInterrupt


def refuse(done, total, text):
    raise AssertionError(f"{text}: nothing was to be done")


class TestWhatInterferes:
    @pytest.mark.serial
    @pytest.mark.slow
    def test_whatever_becomes_of_the_link_the_run_goes_on(self, board, tmp_path, monkeypatch, capsys):
        # The link breaks, for longer than one waits. The run is held meanwhile, so that it has not ended before.
        def vanish():
            os.kill(board.owner(), signal.SIGSTOP)
            board.stop()

        with pytest.raises(UnreachableError, match=r"refuses the connection.*give the same command again"):
            measure(board, tmp_path, SLOW, once(1, vanish), retry_for_s=1)
        owner = board.owner()
        board.start()

        # A device measures one thing at a time.
        with pytest.raises(UnavailableError, match=rf"another run is in progress on the device; .*kill {owner}"):
            measure(board, tmp_path, SHORT)

        # Ctrl-C here is nothing to it.
        with monkeypatch.context() as patch:
            patch.setattr(SshTarget, "measure", interfered(SshTarget.measure, once(1, interrupt)))
            patch.setattr("fmnist_edge.commands.bench.job_of", lambda options, engines, **_: (job(SLOW), ()))
            command = ["bench", "--on", "board", "--ssh-config", str(board.config), "--out", str(tmp_path / "out")]
            assert main(command) == 130
        assert "the same command picks it up" in capsys.readouterr().err

        # The link breaks for a moment.
        said, cut = [], []

        def progress(done, total, text):
            said.append(text)
            break_off(done, total, text)
            if text == "no link, trying again":
                os.kill(owner, signal.SIGCONT)

        break_off = once(1, lambda: cut.append(board.cut()))
        with monkeypatch.context() as patch:
            patch.setattr(ssh.base64, "b64decode", lambda text: b"x")
            with pytest.raises(FileError, match="arrived damaged"):
                measure(board, tmp_path, SLOW, progress)
        assert cut == [1] and "no link, trying again" in said and "sending" not in said
        assert not list(tmp_path.glob("out/*/*"))

        # It arrives at last, and no measurement knows of any of that.
        result = measure(board, tmp_path, SLOW)
        assert board.owner() == owner and len(result["sessions"]) == 1 and len(result["cells"][0]["rounds"]) == 4

    @pytest.mark.serial
    @pytest.mark.slow
    def test_whatever_ends_the_run_nothing_measured_is_lost(self, board, tmp_path):
        # Killed, and gone on with by itself; then told to stop.
        ended: list[int] = []

        def kill_and_stop(done, total, text):
            if "int8.tflite" in text and done >= 2 and len(ended) < 2 and board.owner() not in ended:
                os.kill(board.owner(), signal.SIGTERM if ended else signal.SIGKILL)
                ended.append(board.owner())

        with pytest.raises(UnavailableError, match="it was stopped on the device"):
            measure(board, tmp_path, SLOW, kill_and_stop)
        assert len(ended) == 2

        # The disk is full.
        def fill():
            (journal,) = board.base.glob("bundles/*/results/*/*.partial.jsonl")
            journal.rename(tmp_path / "kept")
            journal.symlink_to("/dev/full")
            filled.append(journal)

        filled: list[Path] = []
        with pytest.raises(FileError, match=r"board: its disk is full; free some space .* to continue"):
            measure(board, tmp_path, SLOW, once(2, fill))
        kept = (tmp_path / "kept").read_text()
        filled[0].unlink()
        shutil.copy(tmp_path / "kept", filled[0])

        result = measure(board, tmp_path, SLOW)
        assert kept.count("\n") >= 3 and len(result["sessions"]) > 1 and not result["interrupted"]
        assert [part["round"] for part in result["cells"][0]["rounds"]] == [0, 1, 2, 3]

    def test_a_disk_that_is_full_before_the_bundle_is_there(self, make_board, tmp_path):
        board = make_board()
        part = board.base / f"bundles/{ssh.digest(bundle.archive(job()))}.part"
        part.mkdir(parents=True)
        (part / "a.tar.gz").symlink_to("/dev/full")
        with pytest.raises(FileError, match="board: its disk is full") as caught:
            measure(board, tmp_path)
        assert "\n" not in str(caught.value) and not part.exists()


def interfered(method, progress):
    return lambda self, job, out, ignored: method(self, job, out, progress)


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
        self.fails(board, tmp_path, capsys, "the host name is not known")

    def test_nobody_listens(self, make_board, tmp_path, capsys):
        board = make_board()
        board.stop()
        self.fails(board, tmp_path, capsys, "it refuses the connection", "sshd")

    def test_a_changed_host_key_is_not_passed_over(self, make_board, tmp_path, capsys):
        board = make_board()
        board.stop()
        board.make_key("host_key")
        board.start()
        said = "(ssh: WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!)"
        self.fails(board, tmp_path, capsys, "its host key has changed", "ssh-keygen -R board", said)
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
        (folder / "python3").write_text(f"#!/bin/sh\necho '{wire.PREFIX} python {answer}'\n")
        (folder / "python3").chmod(0o755)
        self.fails(make_board(str(folder)), tmp_path, capsys, said)

    @pytest.mark.slow
    def test_no_engine_and_no_network_to_get_one(self, make_board, bare, tmp_path, capsys):
        nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_CONFIG_FILE": "/dev/null"}
        board = make_board(f"{bare}:{SYSTEM}", **nowhere)
        self.fails(board, tmp_path, capsys, "NumPy is not installed", "pip found no network", "ai-edge-litert>=2.1,<3")

    @pytest.mark.slow
    def test_an_engine_too_few_costs_its_own_cells_alone(self, make_board, device_python, tmp_path):
        """LiteRT is there, ONNX Runtime cannot be had: what should be the folder of its environment is a file."""
        board = make_board(f"{device_python.parent}:{SYSTEM}")
        (board.base / "venvs").mkdir(parents=True)
        needed = bundle.requirements(["litert", "onnxruntime"])
        (board.base / "venvs" / ssh.digest(repr(needed))).touch()
        both = (ARTIFACT, ARTIFACT.with_name("float32.onnx"))
        path = target(board).measure(job(engines=("litert", "onnxruntime"), artifacts=both), tmp_path / "out", print)
        cells = {cell["engine"]: cell for cell in results.load(path)["cells"]}
        assert cells["litert"]["status"] == "ok" and cells["onnxruntime"]["status"] == "unavailable"
        assert "pip install onnxruntime" in cells["onnxruntime"]["reason"]


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
            ("ssh: connect to host pi port 22: No route to host", "no route to it", True),
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
        from support.bench_results import result

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
            (["--resume", "x"], "--on, --out: cannot be used with --resume"),
            (["--check-overhead"], "--check-overhead: cannot be used with --on"),
            (["--tflite-runtime", "x"], "--tflite-runtime: cannot be used with --on"),
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
