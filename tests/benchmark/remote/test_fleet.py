"""`bench --on a --on b`: all at once, one report, and a host that fails takes nothing from the others."""

import threading
import time

import pytest
from support.bench_results import cell, result, steady
from support.devices import job
from support.plans import tiny_plan
from support.ssh_board import Board, sshd

from fmnist_edge.benchmark import results
from fmnist_edge.benchmark.remote import ssh
from fmnist_edge.benchmark.remote.fleet import measure_on_all
from fmnist_edge.cli import main
from fmnist_edge.commands import bench_on
from fmnist_edge.errors import FileError, InputError, UnreachableError


class Target:
    def __init__(self, action):
        self.action = action

    def measure(self, job, out, progress):
        return self.action(out, progress)


def gives(name, *cells, **changes):
    def measure(out, progress):
        progress(1, 1, "step")
        return results.save(result(*cells, **changes), out / name)

    return Target(measure)


def fails(error):
    def measure(out, progress):
        raise error

    return Target(measure)


class TestAllAtOnce:
    def test_they_run_at_the_same_time(self, tmp_path):
        together = threading.Barrier(3, timeout=20)

        def measure(out, progress):
            together.wait()
            progress(1, 2, "step")
            return out

        said = []
        targets = {host: Target(measure) for host in "abc"}
        found = measure_on_all(targets, job(), tmp_path, lambda host: lambda *step: said.append((host, *step)))
        assert [(item.host, item.path, item.error) for item in found] == [(host, tmp_path, None) for host in "abc"]
        assert sorted(said) == [(host, 1, 2, "step") for host in "abc"]

    def test_an_error_is_kept_with_its_host(self, tmp_path):
        targets = {"a": fails(UnreachableError("a: gone")), "b": gives("b.json.gz"), "c": fails(ValueError("bug"))}
        a, b, c = measure_on_all(targets, job(), tmp_path, lambda host: lambda *step: None)
        assert str(a.error) == "a: gone" and a.path is None and b.path == tmp_path / "b.json.gz"
        assert str(c.error) == "c: internal error: ValueError: bug"

    def test_ctrl_c_ends_all(self, tmp_path):
        stopped = threading.Event()

        def measure(out, progress):
            try:
                while True:
                    time.sleep(0.01)
                    progress(1, 2, "step")
            finally:
                stopped.set()

        def interrupt(out, progress):
            raise UnreachableError("x")

        def ended(outcome):
            import _thread

            _thread.interrupt_main()

        with pytest.raises(KeyboardInterrupt):
            measure_on_all(
                {"a": Target(measure), "b": Target(interrupt)}, job(), tmp_path, lambda host: lambda *s: None, ended
            )
        assert stopped.wait(10)


class TestTheReport:
    def measured(self, tmp_path, **targets):
        return bench_on.measure_on(targets, job(), tmp_path)

    def test_one_table_of_all(self, tmp_path, capsys):
        code = self.measured(
            tmp_path,
            a=gives("a.json.gz", cell(), cell(engine="openvino")),
            b=gives("b.json.gz", cell(rounds=steady(200, other_cores=3))),
        )
        shown = capsys.readouterr()
        assert code == 0
        assert "On a:\n" in shown.out and "On b:\n" in shown.out
        lines = [line for line in shown.out.splitlines() if line.startswith("| linear/float32.onnx")][-2:]
        assert lines[0].split("|")[4:6] == [" 100.1 [100.1, 100.1] ", " 200.1 [200.1, 200.1] * "]
        assert [part.strip() for part in lines[1].split("|")[2:6]] == ["openvino", "1", "100.1 [100.1, 100.1]", "–"]
        assert f"a: wrote {tmp_path / 'a.json.gz'}" in shown.out
        assert sorted(shown.err.splitlines()) == ["fmnist-edge: a: done", "fmnist-edge: b: done"]

    @pytest.mark.parametrize(("error", "code"), [(UnreachableError("a: gone"), 3), (FileError("a: full"), 2)])
    def test_a_host_that_fails(self, tmp_path, capsys, error, code):
        assert self.measured(tmp_path, a=fails(error), b=gives("b.json.gz")) == code
        shown = capsys.readouterr()
        assert f"fmnist-edge: a: failed: {str(error)[3:]}\n" in shown.err
        assert shown.err.endswith("error: 1 of 2 devices gave no result\n")
        assert "On b:\n" in shown.out and "a: no result" in shown.out

    def test_a_cell_that_failed(self, tmp_path):
        failed = cell(rounds=[], status="failed", reason="it crashed")
        assert self.measured(tmp_path, a=gives("a.json.gz"), b=gives("b.json.gz", failed)) == 1

    def test_one_device_under_two_names_is_noticed(self, tmp_path, capsys):
        assert self.measured(tmp_path, a=gives("same.json.gz"), b=gives("same.json.gz")) == 0
        assert "note: a and b sent the same run; are they one device?" in capsys.readouterr().err

    def test_a_host_is_named_once(self):
        with pytest.raises(InputError, match="--on pi: named twice"):
            bench_on.targets_of(["pi", "nas", "pi"], None)


def test_two_devices_of_one_kind_that_began_in_one_second_keep_both_results(tmp_path):
    contents = [results.save(result(cell(rounds=steady(us))), tmp_path / "x").read_bytes() for us in (100, 200)]
    first, second = (ssh.saved(content, job(), tmp_path / "out") for content in contents)
    assert [path.name for path in (first, second)] == ["20260102030405-short.json.gz", "20260102030405-short-2.json.gz"]
    assert [path.read_bytes() for path in (first, second)] == contents
    assert ssh.saved(contents[1], job(), tmp_path / "out") == second, "fetched once more"


@pytest.mark.slow
class TestThreeBoards:
    @pytest.fixture
    def boards(self, tmp_path, device_python):
        sshd()
        made = []
        for name in ("one", "two", "three"):
            (tmp_path / name).mkdir()
            made.append(Board(tmp_path / name, f"{device_python.parent}:/usr/bin:/bin"))
        config = "".join(board.config.read_text().replace("Host board", f"Host {board.folder.name}") for board in made)
        (tmp_path / "config").write_text(config)
        yield made
        for board in made:
            board.close()

    def test_three_at_once_and_one_that_is_gone(self, boards, tmp_path, capsys, monkeypatch):
        from support.devices import ARTIFACT

        (tmp_path / "tiny.toml").write_text(tiny_plan())
        hosts = [part for board in boards for part in ("--on", board.folder.name)]
        line = ["bench", str(ARTIFACT), *hosts, "--ssh-config", str(tmp_path / "config"), "--engine", "litert"]
        line += ["--plan", str(tmp_path / "tiny.toml"), "--out", str(tmp_path / "out")]
        assert main(line) == 0
        shown = capsys.readouterr()
        assert len(list((tmp_path / "out").glob("*/*.json.gz"))) == 3
        for host in ("one", "two", "three"):
            assert f"fmnist-edge: {host}: done\n" in shown.err and f"{host}: wrote " in shown.out

        boards[1].stop()
        monkeypatch.setattr(ssh.SshTarget.__init__, "__defaults__", ((), 0))
        assert main(line) == 3
        shown = capsys.readouterr()
        assert "fmnist-edge: two: failed: it refuses the connection" in shown.err and "two: no result" in shown.out
        assert "one: wrote " in shown.out and "three: wrote " in shown.out
