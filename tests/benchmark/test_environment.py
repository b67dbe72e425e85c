import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.benchmark import environment, state
from fmnist_edge.benchmark.monitor import Monitor, other_cores
from fmnist_edge.benchmark.results import State

PI = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm crc32 cpuid asimddp asimdhp
CPU implementer\t: 0x41
CPU part\t: 0xd0b
"""
PC = """processor\t: 0
model name\t: Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz
cpu MHz\t\t: 1800.5
flags\t\t: fpu sse sse4_2 avx avx2 avx512f avx512_vnni hypervisor

processor\t: 1
model name\t: another
"""


def write(root, files):
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


def test_this_machine_is_described_and_the_description_is_json():
    described = json.loads(json.dumps(environment.describe(), allow_nan=False))
    assert described["device"]
    assert described["logical_cores"] >= described["affinity_cores"] >= 1
    assert described["packages"]["numpy"]
    assert described["perf_counter"]["read_ns"] >= 0
    now = json.loads(json.dumps(state.state(), allow_nan=False))
    assert set(now) == set(State.__annotations__)
    assert environment.usable_cores() >= 1


def test_hidden_features_are_no_flags_and_rename_the_machine(tmp_path, monkeypatch):
    root = write(tmp_path, {"proc/cpuinfo": PC})
    whole = environment.describe(root)
    monkeypatch.setenv("FMNIST_EDGE_HIDDEN_CPU_FEATURES", "avx512* amx*")
    hidden = environment.describe(root)
    assert whole["cpu_flags"] == ["avx", "avx2", "avx512_vnni", "avx512f", "sse4_2"]
    assert hidden["cpu_flags"] == ["avx", "avx2", "sse4_2"]
    assert hidden["cpu"] == f"{whole['cpu']} without avx512* amx*"
    assert (whole["device"], hidden["device"]) == ("intel-core-i7-8550u", "intel-core-i7-8550u-without-avx512-amx")


def test_a_raspberry_pi_is_named_by_its_board(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": PI,
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/meminfo": "MemTotal:        8000000 kB\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "cpufreq-dt\n",
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_min_freq": "1500000\n",
            "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "2400000\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "1500000\n",
            "sys/class/thermal/thermal_zone0/temp": "51500\n",
            "sys/class/thermal/thermal_zone1/temp": "-274000\n",
        },
    )
    described = environment.describe(root)
    assert described["device"] == "raspberry-pi-5-model-b-rev-1.0"
    assert described["cpu"] == "ARM Cortex-A76"
    assert described["cpu_flags"] == ["asimd", "asimddp", "asimdhp"]
    assert described["governor"] == "ondemand"
    assert described["memory_bytes"] == 8_192_000_000
    assert described["hypervisor"] is None
    assert described["frequency_driver"] == "cpufreq-dt"
    assert described["frequency_limits_mhz"] == [1500, 2400]
    assert state.frequencies(root) == [2400, 1500]
    assert state.highest_temperature(root) == 51.5
    assert state.state(root)["governor"] == "ondemand"


def test_a_pc_is_named_by_its_cpu(tmp_path):
    root = write(tmp_path, {"proc/cpuinfo": PC, "proc/1/cgroup": "0::/docker/abc"})
    described = environment.describe(root)
    assert described["device"] == "intel-core-i7-8550u"
    assert described["cpu_flags"] == ["avx", "avx2", "avx512_vnni", "avx512f", "sse4_2"]
    assert described["hypervisor"] is True
    assert described["container"] is True
    assert state.frequencies(root) is None  # a constant in a virtual machine


def test_the_frequency_of_a_real_pc_is_that_of_every_core(tmp_path):
    real = PC.replace(" hypervisor", "") + "cpu MHz\t\t: 900.25\n"
    assert state.frequencies(write(tmp_path, {"proc/cpuinfo": real})) == [1800.5, 900.25]


def test_nothing_to_read_is_null_and_no_crash(tmp_path):
    described = environment.describe(tmp_path)
    for key in ("cpu_flags", "cpu_quota_cores", "governor", "memory_bytes", "container", "hypervisor"):
        assert described[key] is None
    assert described["device"]
    seen = state.state(tmp_path)
    for key in ("frequency_mhz", "temperature_c", "throttle_count", "governor", "on_battery", "memory_available_bytes"):
        assert seen[key] is None
    assert state.jiffies(tmp_path) is None


def test_garbage_is_null_and_no_crash(tmp_path):
    names = ["proc/cpuinfo", "proc/meminfo", "sys/fs/cgroup/cpu.max", "sys/class/thermal/thermal_zone0/temp"]
    root = write(tmp_path, dict.fromkeys(names, "\0no: :thing\n"))
    assert environment.describe(root)["memory_bytes"] is None
    assert state.highest_temperature(root) is None
    assert state.frequencies(root) is None and state.jiffies(root) is None


@pytest.mark.parametrize(
    "files, quota",
    [
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1.5),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, None),
        (
            {
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "50000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            0.5,
        ),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n"}, None),
    ],
)
def test_a_containers_cpu_limit_counts(tmp_path, files, quota):
    root = write(tmp_path, files)
    assert environment.cpu_quota(root) == quota
    if quota is not None and quota < 1:
        assert environment.usable_cores(root) == 1


@pytest.mark.parametrize("name", ["", "///", "(R)", "..", "../../etc"])
def test_a_device_name_stays_inside_the_results_folder(name):
    assert "/" not in environment.slug(name)
    assert not environment.slug(name).startswith(".")


def test_cpu_time_is_that_of_all_cores_and_stolen_time_apart(tmp_path):
    root = write(tmp_path, {"proc/stat": "cpu  100 20 30 4000 50 6 7 80 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n"})
    ticks = os.sysconf("SC_CLK_TCK")
    assert state.jiffies(root) == ((100 + 20 + 30 + 6 + 7) / ticks, 80 / ticks)


def test_throttle_events_of_all_cores_are_added_up(tmp_path):
    folder = "sys/devices/system/cpu"
    files = {
        f"{folder}/cpu{n}/thermal_throttle/{kind}_throttle_count": "2\n" for n in (0, 1) for kind in ("core", "package")
    }
    assert state.throttle_count(write(tmp_path, files)) == 8


@pytest.mark.parametrize(
    "supplies, expected",
    [
        ({}, None),
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging"}, True),
        ({"BAT0/type": "Battery", "BAT0/status": "Full"}, False),
        ({"BAT0/type": "Battery", "BAT0/status": "Discharging", "AC/type": "Mains", "AC/online": "1"}, False),
        ({"AC/type": "Mains", "AC/online": "1"}, False),
        ({"AC/type": "Mains", "AC/online": "0"}, True),
    ],
)
def test_whether_a_battery_feeds_it(tmp_path, supplies, expected):
    root = write(tmp_path, {f"sys/class/power_supply/{name}": f"{text}\n" for name, text in supplies.items()})
    assert state.on_battery(root) is expected


def test_a_raspberry_pi_tells_of_throttling(tmp_path):
    command = tmp_path / "vcgencmd"
    command.write_text("#!/bin/sh\necho throttled=0x50005\n")
    command.chmod(0o755)
    assert state.throttled(str(command)) == 0x50005
    command.write_text("#!/bin/sh\necho error=1; exit 1\n")
    assert state.throttled(str(command)) is None
    assert state.throttled(str(tmp_path / "none")) is None


@pytest.mark.serial
def test_a_busy_neighbour_is_seen_and_our_own_children_are_not():
    if not Path("/proc/stat").exists():
        pytest.skip("Linux only")
    spin = [sys.executable, "-c", "import time\nend = time.process_time() + 1\nwhile time.process_time() < end: pass"]
    with Monitor() as monitor:
        subprocess.run(spin, check=True)
    seen = monitor.during
    assert seen["own_cpu_seconds"] >= 1
    total = seen["other_cores"] + seen["own_cpu_seconds"] / seen["seconds"]
    assert total <= os.cpu_count() * 1.1  # our second is not counted twice
    neighbour = subprocess.Popen(spin)
    try:
        with Monitor() as monitor:
            while neighbour_seconds(neighbour.pid) < 0.5:
                time.sleep(0.01)
    finally:
        neighbour.kill()
        neighbour.wait()
    assert monitor.during["other_cores"] * monitor.during["seconds"] >= 0.3


def neighbour_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@given(st.floats(0, 1e6), st.floats(0, 100), st.floats(0, 100), st.floats(0.01, 100))
def test_other_cores_are_what_was_busy_without_our_own_part(start, others, own, seconds):
    found = other_cores((start, 0.0), (start + own + others, 0.0), own, seconds)
    assert found == pytest.approx(others / seconds, rel=1e-3, abs=1e-6)
    assert other_cores((start, 0.0), (start + others, 0.0), own + others + 1, seconds) == 0
