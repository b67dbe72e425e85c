"""The protocol between parent and child process: its messages, and every way in which a child can end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.devices import oldest_python
from support.stand_ins import script

from fmnist_edge.errors import ExportError, FmnistEdgeError, InputError, UnavailableError
from fmnist_edge.worker import calls, endings
from fmnist_edge.worker.calls import call, child_environment, program
from fmnist_edge.worker.endings import Ending, Status

ROOT = Path(__file__).parents[2]
TASKS = '''
import os, subprocess, sys, threading, time

def echo(request, progress):
    return request

def count(request, progress):
    for number in range(request):
        progress(number)
    return {"done": True}

def chat(request, progress):
    subprocess.run(["echo", '{"fmnist-edge": "done", "value": "forged"}'])
    print("printed by Python", flush=True)
    os.write(1, b"written by a library")
    progress("between")
    os.write(1, b"no end of line")
    return "reply"

def about(request, progress):
    import resource
    return {
        "modules": sorted(name for name in sys.modules if name.startswith("fmnist_edge")),
        "folder": os.getcwd(), "path": sys.path, "file": open(request).read() if request else None,
        "memory": resource.getrlimit(resource.RLIMIT_DATA)[0], "variable": os.environ.get("OF_THE_TEST"),
    }

def refuse(request, progress):
    from fmnist_edge import errors
    raise getattr(errors, request)("/a/" + 900 * "long" + "/path: the reason\\nand more of it")

def fail(request, progress):
    raise ValueError("first line\\nsecond line")

def no_json(request, progress):
    return {1, 2}

def kill(request, progress):
    progress("alive")
    print("its last words", file=sys.stderr, flush=True)
    os.kill(os.getpid(), request)

def leave(request, progress):
    os._exit(request)

def quit(request, progress):
    sys.exit("lost its way")

def hang(request, progress):
    time.sleep(request)

def drip(request, progress):
    while True:
        progress(1)
        time.sleep(0.2)

def fork_and_die(request, progress):
    """The fork would keep the pipe open for as long as it lives."""
    if not os.fork():
        time.sleep(60)
    os.kill(os.getpid(), 11)

def start_another(request, progress):
    progress(subprocess.Popen(["sleep", "60"]).pid)
    if request == "hang":
        time.sleep(60)
    return "reply"

def never_end(request, progress):
    threading.Thread(target=time.sleep, args=(60,)).start()
    return "reply"

def spew(request, progress):
    for _ in range(300):
        sys.stderr.write("e" * 10_000)
    return "reply"
'''


@pytest.fixture
def do(tmp_path, monkeypatch):
    """do(name, request, ...): call one of TASKS."""
    (tmp_path / "tasks_of_the_test.py").write_text(TASKS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return lambda name, request=None, **options: call(f"tasks_of_the_test:{name}", request, **options)


def is_alive(process: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False


def gone(process: int) -> bool:
    """Whether the process ends within the time that a SIGKILL needs."""
    return any(time.sleep(0.05) or not is_alive(process) for _ in range(100))


class TestMessages:
    @pytest.mark.parametrize("value", [None, 1.5, "ü ☃ \udcff \n", {"a": ["b", {"ü": None}]}, "long " * 20_000])
    def test_a_request_and_a_reply_are_json(self, do, value):
        assert do("echo", value) == Ending(Status.DONE, value=value)

    def test_progress_arrives_before_the_reply(self, do):
        seen = []
        assert do("count", 3, on_progress=seen.append).value == {"done": True}
        assert seen == [0, 1, 2]

    def test_other_output_is_skipped(self, do):
        seen = []
        assert do("chat", on_progress=seen.append).value == "reply"
        assert seen == ["between"]

    @pytest.mark.parametrize(
        "line",
        ["base activated", "100", "null", "{}", '{"fmnist-edge": "song", "value": 1}', '{"fmnist-edge": "done"}', "["],
    )
    def test_a_wrapper_may_print_before(self, do, tmp_path, line):
        """A wrapper such as `conda run` may print, also without a newline."""
        python = script(tmp_path, f"echo '{line}'; printf '{line}'; {sys.executable} \"$@\"; echo '{line}'")
        assert do("echo", 7, python=python).value == 7

    def test_more_on_stderr_than_a_pipe_holds(self, do):
        assert do("spew").value == "reply"

    def test_the_child_imports_only_what_its_task_needs(self, do):
        assert do("about").value["modules"] == ["fmnist_edge", "fmnist_edge.worker"]

    def test_paths_and_python_may_be_relative_and_modules_beside_us_are_not_imported(self, do, tmp_path, monkeypatch):
        folder = tmp_path / "elsewhere"
        folder.mkdir()
        (folder / "json.py").write_text("raise SystemExit('imported from the current folder')")
        (folder / "file").write_text("content")
        (folder / "python").symlink_to(sys.executable)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(["..", ""]))
        found = do("about", "file", python="./python").value
        assert found["folder"] == str(folder) and found["file"] == "content"
        assert str(folder) not in found["path"] and "" not in found["path"]

    def test_a_removed_current_folder(self, do, tmp_path, monkeypatch):
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()
        assert do("echo", 1).value == 1

    def test_memory_and_variables(self, do):
        found = do("about", memory=3 << 30, environment={"OF_THE_TEST": "here"}).value
        assert found["memory"] == 3 << 30 and found["variable"] == "here"

    def test_the_oldest_python_can_be_the_child(self, do):
        assert do("count", 2, python=oldest_python()).value == {"done": True}

    def test_a_missing_package_is_unavailable_and_a_missing_module_of_ours_is_a_failure(self, do, tmp_path):
        (tmp_path / "lacking.py").write_text("import no_such_package.inside")
        found = call("lacking:task", None)
        assert isinstance(found.error, UnavailableError)
        assert found.reason == f"no_such_package is not installed for {sys.executable}"
        assert call("fmnist_edge.no_such_module:task", None).status is Status.FAILED
        (tmp_path / "lacking_later.py").write_text("def task(*_): import no_such_package.inside")
        later = call("lacking_later:task", None)
        assert isinstance(later.error, UnavailableError) and later.reason == found.reason


class TestEndings:
    @pytest.mark.parametrize("kind", ["UnavailableError", "InputError", "ArtifactError", "GateError"])
    def test_our_errors_are_raised_again(self, do, kind):
        found = do("refuse", kind)
        assert found.status is Status.REFUSED and type(found.error).__name__ == kind
        assert found.reason == str(found.error) and len(found.reason) == 600
        assert found.reason.startswith("/a/long") and found.reason.endswith("long/path: the reason")
        with pytest.raises(type(found.error), match="the reason"):
            found.result(ExportError)

    @pytest.mark.parametrize(
        ("task", "reason"),
        [("fail", "ValueError: first line"), ("no_json", "TypeError: Object of type set is not JSON serializable")],
    )
    def test_another_exception(self, do, task, reason):
        found = do(task)
        assert (found.status, found.reason) == (Status.FAILED, reason)
        with pytest.raises(InputError, match=f"^it failed: {reason}$"):
            found.result(InputError, "it failed: ")

    @pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGABRT"])
    def test_a_signal(self, do, name):
        seen = []
        found = do("kill", getattr(signal, name).value, on_progress=seen.append)
        assert (found.status, found.signal) == (Status.CRASHED, name) and seen == ["alive"]
        assert found.reason == f"crashed ({name}); last output: its last words"

    @pytest.mark.parametrize("code", [0, 3])
    def test_an_end_without_a_reply(self, do, code):
        found = do("leave", code)
        assert (found.status, found.reason) == (Status.EXITED, f"its process ended with code {code} (no message)")

    def test_sys_exit_is_an_end_without_a_reply(self, do):
        assert do("quit").reason == "its process ended with code 1 (lost its way)"

    def test_a_timeout(self, do):
        found = do("hang", 60, timeout_s=1)
        assert (found.status, found.reason) == (Status.TIMED_OUT, "not done after 1 s")

    def test_no_progress(self, do):
        found = do("hang", 60, stall_s=1)
        assert (found.status, found.reason) == (Status.TIMED_OUT, "no progress for 1 s")

    def test_progress_does_not_extend_the_timeout(self, do):
        seen = []
        assert do("drip", stall_s=2, timeout_s=4, on_progress=seen.append).reason == "not done after 4 s"
        assert len(seen) > 10

    def test_a_child_without_its_parent_ends(self, do, monkeypatch):
        monkeypatch.setattr(calls, "wait_for_end", lambda process, *_: process.wait() and "")
        found = do("hang", 60, timeout_s=-9)
        assert (found.status, found.signal) == (Status.CRASHED, "SIGALRM")

    def test_a_python_that_does_not_start(self, do, tmp_path):
        assert do("echo", python="no-such-python").reason == "no-such-python did not start (No such file or directory)"
        for python in (tmp_path / "none", tmp_path):
            found = do("echo", python=str(python))
            assert found.status is Status.NOT_STARTED and found.reason.startswith(f"{python} did not start (")

    def test_a_request_that_is_too_long_for_the_system(self, do):
        assert "Argument list too long" in do("echo", "x" * 200_000).reason

    def test_a_thread_that_does_not_end(self, do, monkeypatch):
        monkeypatch.setattr(calls, "EXIT_S", 0.1)
        assert do("never_end").value == "reply"

    def test_every_status_is_tested(self):
        source = Path(__file__).read_text()
        assert not [status for status in Status if f"Status.{status.name}" not in source]


class TestGrandchildren:
    @pytest.mark.parametrize("request_", ["reply", "hang"])
    def test_ends_with_the_child(self, do, request_):
        seen = []
        found = do("start_another", request_, stall_s=2, on_progress=seen.append)
        assert found.status is (Status.DONE if request_ == "reply" else Status.TIMED_OUT)
        assert gone(seen[0])

    def test_does_not_hide_its_crash(self, do):
        assert do("fork_and_die", stall_s=20).signal == "SIGSEGV"

    def test_a_process_outside_the_group_that_keeps_stdout_open(self, do, tmp_path):
        python = script(tmp_path, f"setsid sleep 30 & echo $! >{tmp_path}/left; sleep 30")
        assert do("echo", python=python, timeout_s=1).status is Status.TIMED_OUT
        os.kill(int((tmp_path / "left").read_text()), signal.SIGKILL)

    def test_a_wrappers_process_ends_too(self, do, tmp_path):
        python = script(tmp_path, f"sleep 60 & echo $! >{tmp_path}/started; wait")
        assert do("echo", python=python, timeout_s=1).status is Status.TIMED_OUT
        assert gone(int((tmp_path / "started").read_text()))

    def test_without_a_group_the_child_is_killed(self, monkeypatch):
        def refused(*_):
            raise PermissionError

        monkeypatch.setattr(os, "killpg", refused)
        with subprocess.Popen(["sleep", "60"]) as child:
            calls.end(child)
        assert child.returncode == -signal.SIGKILL

    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    def test_ctrl_c_leaves_no_process_behind(self, do, number):
        """Ctrl-C goes to the process group, as from a terminal. The child must not get it and print a traceback."""
        code = (
            "import signal\n"
            "from fmnist_edge.worker.calls import call\n"
            "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
            "said = lambda pid: print(pid, flush=True)\n"
            "try: call('tasks_of_the_test:start_another', 'hang', on_progress=said)\n"
            "except KeyboardInterrupt: print('interrupted', flush=True)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**child_environment(), "PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ['PYTHONPATH']}"},
        ) as parent:
            started = int(parent.stdout.readline())
            assert os.getsid(started) != parent.pid
            os.killpg(parent.pid, number)
            assert parent.stdout.read() == "interrupted\n" and parent.stderr.read() == ""
        assert gone(started)


class TestProgram:
    def test_output_and_folder(self, tmp_path):
        found = program(["sh", "-c", "pwd; echo $A; echo e >&2"], folder=tmp_path, environment={"A": "a"})
        assert (found.status, found.value, found.reason) == (Status.DONE, f"{tmp_path}\na\ne\n", "")

    @pytest.mark.parametrize(
        ("code", "status", "reason"),
        [
            (
                "echo first; echo '  the reason ' >&2; exit 4",
                Status.EXITED,
                "its process ended with code 4 (the reason)",
            ),
            ("echo bad graph; kill -ABRT $$", Status.CRASHED, "crashed (SIGABRT); last output: bad graph"),
            ("echo at it; sleep 60", Status.TIMED_OUT, "not done after 1 s; last output: at it"),
        ],
    )
    def test_endings(self, code, status, reason):
        found = program(["sh", "-c", code], timeout_s=1)
        assert (found.status, found.reason) == (status, reason)

    def test_a_missing_program(self):
        assert program(["/nowhere/tool"]).reason == "/nowhere/tool did not start (No such file or directory)"

    def test_only_the_end_of_a_long_line_is_kept(self, monkeypatch):
        monkeypatch.setattr(calls, "KEPT_BYTES", 5000)
        assert len(program([sys.executable, "-c", "print('x' * 1_000_000, end='')"]).value) == 5000


def test_a_long_reason_is_shortened_in_the_middle():
    line = endings.last_line("a\n" + "path/" * 100 + ": reason\n\n")
    assert len(line) == endings.MAX_LINE and line.startswith("path/") and line.endswith("/: reason")
    assert endings.last_line("\x1b[2J\n") == "\N{REPLACEMENT CHARACTER}[2J" and endings.last_line(" \n") == ""


def test_an_unknown_error_class_becomes_the_base_class():
    for name in ("one_line", "SystemExit", "annotations"):
        assert type(endings.reply("refused", {"error": name, "message": "m"}).error) is FmnistEdgeError


def test_the_child_and_its_parent_use_the_same_key():
    source = (ROOT / "fmnist_edge/worker/__main__.py").read_text()
    assert json.dumps(endings.MESSAGE_KEY) in source and json.dumps(endings.PROGRESS) in source
