import json

import pytest

from fmnist_edge.bench import environment

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
    json.dumps(environment.state(), allow_nan=False)
    assert environment.usable_cores() >= 1


def test_a_raspberry_pi_is_named_by_its_board(tmp_path):
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": PI,
            "proc/device-tree/model": "Raspberry Pi 5 Model B Rev 1.0\0",
            "proc/meminfo": "MemTotal:        8000000 kB\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq": "2400000\n",
            "sys/class/thermal/thermal_zone0/temp": "51500\n",
        },
    )
    described = environment.describe(root)
    assert described["device"] == "raspberry-pi-5-model-b-rev-1.0"
    assert described["cpu"] == "ARM Cortex-A76"
    assert described["cpu_flags"] == ["asimd", "asimddp", "asimdhp"]
    assert described["governor"] == "ondemand"
    assert described["memory_bytes"] == 8_192_000_000
    assert described["hypervisor"] is None
    assert environment.state(root)["frequency_mhz"] == 2400
    assert environment.state(root)["temperature_c"] == 51.5


def test_a_pc_is_named_by_its_cpu(tmp_path):
    root = write(tmp_path, {"proc/cpuinfo": PC, "proc/1/cgroup": "0::/docker/abc"})
    described = environment.describe(root)
    assert described["device"] == "intel-core-i7-8550u"
    assert described["cpu_flags"] == ["avx", "avx2", "avx512_vnni", "avx512f", "sse4_2"]
    assert described["hypervisor"] is True
    assert described["container"] is True
    assert environment.state(root)["frequency_mhz"] == 1800.5


def test_nothing_to_read_is_null_and_no_crash(tmp_path):
    described = environment.describe(tmp_path)
    for key in ("cpu_flags", "cpu_quota_cores", "governor", "memory_bytes", "container", "hypervisor"):
        assert described[key] is None
    assert described["device"]


def test_garbage_is_null_and_no_crash(tmp_path):
    names = ["proc/cpuinfo", "proc/meminfo", "sys/fs/cgroup/cpu.max", "sys/class/thermal/thermal_zone0/temp"]
    root = write(tmp_path, dict.fromkeys(names, "\0no: :thing\n"))
    assert environment.describe(root)["memory_bytes"] is None
    assert environment.state(root)["temperature_c"] is None


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
