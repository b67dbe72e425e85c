"""NVIDIA's GPUs as the real pynvml tells them, over a library that is no driver's: tests/support/nvml.c.

Each test asks in a process of its own, because pynvml loads its library once. The library's log shows that what was
initialised was shut down.
"""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from support import ROOT
from support.c_compiler import c_compiler, needs_c_compiler
from support.installed import needs

pytestmark = [
    needs("pynvml"),
    needs_c_compiler(),
    pytest.mark.skipif(sys.platform != "linux", reason="the library's name and how it is found are Linux's"),
]

H100 = {
    "index": 0, "name": "NVIDIA H100 80GB HBM3", "driver": "580.159.04", "memory_mib": 81559.0, "sm_mhz": 1980.0,
    "memory_mhz": 2619.0, "temperature_c": 40.0, "power_w": 91.207, "persistence_mode": "Enabled",
    "throttle_reasons": 4,
}  # fmt: skip
T4 = {
    **H100, "index": 1, "name": "Tesla T4", "memory_mib": 15360.0, "sm_mhz": 585.0, "temperature_c": None,
    "power_w": None, "persistence_mode": "Disabled",
}  # fmt: skip
LOST = {**dict.fromkeys(H100), "index": 0, "driver": "580.159.04"}
BEGIN = """
import json, os, signal, subprocess, sys, threading, time
from pathlib import Path
from fmnist_edge.benchmark import gpus

def looked(times):
    while Path(os.environ["NVML_LOG"]).read_text().count("handle") < times:
        time.sleep(0.005)

def watched(times):
    with gpus.GpuMonitor(period_s=0.01) as watch:
        looked(times)
    return watch.during
"""
END = "\nprint(json.dumps([answer, threading.active_count()]))"
NO_MODULE = "import sys\nsys.modules['pynvml'] = None\n"
NO_LIBRARY = "import ctypes\ndef none(name): raise OSError(name)\nctypes.CDLL = none\n"


@dataclass
class Driver:
    """A folder with a libnvidia-ml.so.1, and the calls that it got."""

    folder: Path

    def build(self, *flags):
        library = self.folder / "libnvidia-ml.so.1"
        source = ROOT / "tests/support/nvml.c"
        strict = ("-std=gnu11", "-Wall", "-Wextra", "-Werror")
        subprocess.run([c_compiler(), *strict, "-shared", "-fPIC", *flags, str(source), "-o", str(library)], check=True)
        return self

    def ask(self, code, before="", **settings):
        """`answer` as `code` leaves it; the process then has one thread again, unless the driver hangs."""
        log = self.folder / "calls"
        log.write_text("")
        given = {f"NVML_{name.upper()}": str(value) for name, value in settings.items()}
        environment = {**os.environ, "LD_LIBRARY_PATH": str(self.folder), "NVML_LOG": str(log), **given}
        forks = "ignore:This process:DeprecationWarning"  # Python 3.12 warns of a fork beside threads
        command = [sys.executable, "-W", "error", "-W", forks, "-c", before + BEGIN + code + END]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT, check=False)
        assert done.returncode == 0 and not done.stderr, done.stderr
        self.calls = log.read_text().splitlines()
        answer, threads = json.loads(done.stdout)
        if "hangs" not in settings:
            assert threads == 1 and self.calls.count("init") == self.calls.count("shutdown")
            assert not self.calls or self.calls[-1] in ("shutdown", "refused")
        return answer


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    return Driver(tmp_path_factory.mktemp("driver")).build()


class TestNow:
    def test_every_gpu_is_told_and_null_is_what_the_driver_does_not_support(self, driver):
        assert driver.ask("answer = gpus.gpus()") == [H100, T4]
        assert driver.calls.count("init") == 1

    @pytest.mark.parametrize("flag", ["-DNO_OLD_NAMES", "-DNO_NEW_NAMES"])
    def test_drivers_that_know_one_of_two_names_answer_alike(self, tmp_path, flag):
        assert Driver(tmp_path).build(flag).ask("answer = gpus.gpus()") == [H100, T4]

    @pytest.mark.parametrize("reasons, version", [("Throttle", ""), ("Event", "V")])
    def test_versions_of_pynvml_that_know_one_of_two_names_answer_alike(self, driver, reasons, version):
        lacks = f"del pynvml.nvmlDeviceGetCurrentClocks{reasons}Reasons, pynvml.nvmlDeviceGetTemperature{version}\n"
        assert driver.ask("answer = gpus.gpus()", "import pynvml\n" + lacks) == [H100, T4]

    def test_of_a_lost_gpu_only_its_place_is_known(self, driver):
        assert driver.ask("answer = gpus.gpus()", lost_after=0) == [LOST, T4]

    def test_a_gpu_may_be_lost_while_it_is_asked(self, driver):
        known = {name: H100[name] for name in ("name", "memory_mib", "sm_mhz")}
        assert driver.ask("answer = gpus.gpus()", lost_after=1) == [{**LOST, **known}, T4]

    def test_a_name_that_is_not_text_is_null(self, driver):
        assert driver.ask("answer = gpus.gpus()", name="\udcff") == [{**H100, "name": None}, T4]


NOTHING = "answer = [gpus.gpus(), watched(0)]"


class TestNothing:
    @pytest.mark.parametrize("error", [9, 12, 18, 999])  # not loaded, no library, another version's, unknown
    def test_a_driver_that_does_not_initialise(self, driver, error):
        assert driver.ask(NOTHING, init=error) == [None, None]
        assert driver.calls == ["refused", "refused"]

    @pytest.mark.parametrize("count", [0, -1])  # -1: it does not tell
    def test_a_driver_without_a_gpu(self, driver, count):
        assert driver.ask(NOTHING, count=count) == [None, None]

    @pytest.mark.parametrize("before", [NO_MODULE, NO_LIBRARY])
    def test_no_pynvml_and_no_driver(self, driver, before):
        assert driver.ask(NOTHING, before) == [None, None]
        assert not driver.calls

    def test_a_library_of_something_else(self, tmp_path):
        other = Driver(tmp_path)
        command = [c_compiler(), "-shared", "-x", "c", os.devnull, "-o", str(tmp_path / "libnvidia-ml.so.1")]
        subprocess.run(command, check=True)
        assert other.ask(NOTHING) == [None, None]

    def test_a_driver_that_hangs_is_given_up(self, driver):
        assert driver.ask("gpus.TIMEOUT_S = 0.1\n" + NOTHING, hangs=1) == [None, None]


class TestWatch:
    def test_values_are_a_list_and_reasons_are_added_up(self, driver):
        found = driver.ask("answer = watched(4)", reasons="1 32 4")
        assert found["sm_mhz"][:3] == [1980, 1965, 1950] and found["throttle_reasons"] == 0x25
        assert found["temperature_c"][:3] == [40] * 3 and found["power_w"][:3] == [91.207] * 3
        assert driver.calls.count("init") == 1, "a driver without persistence mode is woken once"

    def test_what_one_look_asks_is_little(self, driver):
        driver.ask("answer = watched(3)")
        looks = " ".join(driver.calls).split("handle")[1:3]
        assert looks == [" sm clock temperature power reasons "] * 2

    def test_it_looks_at_once_and_then_every_second(self, driver):
        code = """
class Done(threading.Event):
    def wait(self, timeout=None):
        pauses.append((timeout, len(watch._seen)))
        return len(pauses) == 3
pauses, watch = [], gpus.GpuMonitor()
watch._done = Done()
with watch:
    looked(3)
answer = pauses
"""
        assert driver.ask(code) == [[1, 1], [1, 2], [1, 3]]

    def test_a_gpu_without_sensors_has_clocks(self, driver):
        found = driver.ask("answer = watched(2)", quiet=0)
        assert len(found["sm_mhz"]) >= 2 and found["temperature_c"] == found["power_w"] == []

    def test_what_was_seen_of_a_gpu_that_is_lost_stays(self, driver):
        assert driver.ask("answer = watched(5)", lost_after=2) == {
            "sm_mhz": [1980, 1965], "temperature_c": [40], "power_w": [91.207], "throttle_reasons": 4,
        }  # fmt: skip

    def test_a_gpu_that_was_lost_before_is_nothing(self, driver):
        assert driver.ask("answer = watched(3)", lost_after=0) is None

    def test_ctrl_c_ends_it(self, driver):
        code = """
try:
    with gpus.GpuMonitor(0.01) as watch:
        looked(2)
        os.kill(os.getpid(), signal.SIGINT)
        threading.Event().wait()
except KeyboardInterrupt:
    answer = watch.during
"""
        assert len(driver.ask(code)["sm_mhz"]) >= 2

    def test_children_come_and_go_meanwhile(self, driver):
        code = """
with gpus.GpuMonitor(0.001) as watch:
    for _ in range(5):
        subprocess.run([sys.executable, "-S", "-c", ""], check=True, start_new_session=True)
        child = os.fork()
        if not child:
            os._exit(0)
        os.waitpid(child, 0)
answer = watch.during
"""
        assert driver.ask(code)["throttle_reasons"] == 4

    def test_the_monitor_has_it_when_it_is_asked_to(self, driver):
        code = """
from fmnist_edge.benchmark import monitor
answer = []
for gpu in (True, False):
    with monitor.Monitor(gpu=gpu) as seen:
        looked(1)
    answer.append(seen.during["gpu"])
"""
        found, plain = driver.ask(code)
        assert found["sm_mhz"][0] == 1980 and plain is None
