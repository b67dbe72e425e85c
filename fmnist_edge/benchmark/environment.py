"""Describe the machine: everything that stays the same during a run. `state` records what changes.

A fact that cannot be determined is null, never an error. No host name, user name or path is recorded, because results
are meant to be published.
"""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import versions_of
from fmnist_edge.benchmark.gpus import gpus

__all__ = ["describe", "usable_cores"]

ROOT = Path("/")
PACKAGES = (
    "numpy", "ai-edge-litert", "tflite-runtime", "tflite-micro", "onnxruntime", "openvino", "ncnn", "MNN", "keras",
    "tensorflow-cpu", "tensorflow", "onnxruntime-gpu", "onnxruntime-ep-webgpu",
)  # fmt: skip
# CPU features by which engines choose int8 and float kernels. x86 names come first, then ARM's: asimd is NEON, and
# asimddp is its dot product.
FLAGS = re.compile(
    r"(avx|avx2|avx512\w*|avx\w*vnni\w*|amx\w*|fma|f16c|sse4_2|neon|asimd|asimddp|asimdhp|i8mm|bf16|sve2?)"
)
# Instructions for dot products of 8-bit integers: VNNI and AMX on x86, dotprod (asimddp) and i8mm on Arm.
INT8_DOT = re.compile(r"(avx\w*vnni|amx_int8|asimddp|i8mm)")
# /proc/cpuinfo's "CPU part" of ARM's own cores (implementer 0x41), from the technical reference manuals.
ARM_PARTS = {
    "0xb76": "ARM1176", "0xc07": "Cortex-A7", "0xd03": "Cortex-A53", "0xd04": "Cortex-A35", "0xd05": "Cortex-A55",
    "0xd07": "Cortex-A57", "0xd08": "Cortex-A72", "0xd09": "Cortex-A73", "0xd0a": "Cortex-A75", "0xd0b": "Cortex-A76",
    "0xd0c": "Neoverse-N1", "0xd0d": "Cortex-A77", "0xd40": "Neoverse-V1", "0xd41": "Cortex-A78",
    "0xd49": "Neoverse-N2", "0xd4f": "Neoverse-V2",
}  # fmt: skip
HIDDEN = "FMNIST_EDGE_HIDDEN_CPU_FEATURES"  # patterns of flags, set by scripts/without_vnni.py
CPUFREQ = "sys/devices/system/cpu/cpu0/cpufreq"
CONTAINER_MARKS = ("docker", "kubepods", "containerd", "lxc", "podman")


def int8_dot_flags(flags: Sequence[str] | None) -> list[str] | None:
    """The flags that stand for dot products of 8-bit integers, on which the speed of int8 depends; None if unknown.

    >>> int8_dot_flags(["avx2", "avx512_vnni"]), int8_dot_flags(["avx2"])
    (['avx512_vnni'], [])
    """
    return None if flags is None else [flag for flag in flags if INT8_DOT.fullmatch(flag)]


def describe(root: Path = ROOT) -> JsonObject:
    """Everything about the machine that does not change during a run. `root`: the folder that holds /proc and /sys."""
    cpu, found = cpu_info(root), gpus() or []
    return {
        "device": device_name(root),
        "architecture": platform.machine() or None,
        "cpu": cpu_model(root),
        "cpu_flags": cpu_flags(cpu),
        "logical_cores": os.cpu_count(),
        "affinity_cores": affinity_cores(),
        "cpu_quota_cores": cpu_quota(root),
        "governor": governor(root),
        "frequency_driver": text(root / CPUFREQ / "scaling_driver"),
        "frequency_limits_mhz": frequency_limits(root),
        "memory_bytes": memory_bytes(root),
        "os": os_name(root),
        "kernel": platform.release() or None,
        "libc": " ".join(filter(None, platform.libc_ver())) or None,
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": versions_of(PACKAGES),
        "perf_counter": clock(),
        "container": in_container(root),
        "hypervisor": hypervisor(root, cpu),
        "gpus": [gpu["name"] for gpu in found] or None,
        "gpu_driver": found[0]["driver"] if found else None,
    }


def usable_cores(root: Path = ROOT) -> int:
    """Cores that this process may use: its affinity, or a container's quota if that is lower."""
    cores = affinity_cores() or os.cpu_count() or 1
    quota = cpu_quota(root)
    return cores if quota is None else max(1, min(cores, round(quota)))


def device_name(root: Path = ROOT) -> str:
    """The folder name for results: the name of the board, or else of the CPU, or else of the platform.

    >>> slug("Raspberry Pi 4 Model B Rev 1.4")
    'raspberry-pi-4-model-b-rev-1.4'
    >>> slug("Intel(R) Core(TM) i7-8550U CPU @ 1.80GHz")
    'intel-core-i7-8550u'
    """
    board = text(root / "proc/device-tree/model")
    names = (board, cpu_model(root), f"{platform.system()} {platform.machine()}")
    return next((name for name in map(slug, filter(None, names)) if name), "unknown")


def slug(name: str) -> str:
    plain = re.sub(r"\((R|TM|C)\)|\bCPU\b|\bprocessor\b|\d+-core\b|@ *[\d.]+ *GHz", " ", name, flags=re.IGNORECASE)
    return re.sub(r"[^a-z0-9.]+", "-", plain.lower()).strip("-.")[:60]


def cpu_model(root: Path = ROOT) -> str | None:
    """The name of the CPU, with the features that are hidden from this process."""
    cpu = cpu_info(root)
    if "model name" in cpu:
        return " without ".join(filter(None, (cpu["model name"], " ".join(hidden_flags()))))
    if cpu.get("CPU implementer") == "0x41" and cpu.get("CPU part") in ARM_PARTS:
        return f"ARM {ARM_PARTS[cpu['CPU part']]}"
    return platform.processor() or None


def cpu_info(root: Path = ROOT) -> dict[str, str]:
    """The first core's fields of /proc/cpuinfo. A big.LITTLE machine has other kinds of core besides the first."""
    fields: dict[str, str] = {}
    for line in (text(root / "proc/cpuinfo") or "").splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip(), value.strip())
    return fields


def cpu_flags(cpu: dict[str, str]) -> list[str] | None:
    """The flags that matter here, without those that are hidden from this process."""
    listed = cpu.get("flags") or cpu.get("Features")
    if listed is None:
        return None
    found = [flag for flag in sorted(set(listed.split())) if FLAGS.fullmatch(flag)]
    return [flag for flag in found if not any(fnmatchcase(flag, pattern) for pattern in hidden_flags())]


def hidden_flags() -> list[str]:
    """Patterns of the flags that the CPU has and this process is not told of."""
    return os.environ.get(HIDDEN, "").split()


def affinity_cores() -> int | None:
    try:
        return len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # macOS has no affinity
        return None


def cpu_quota(root: Path = ROOT) -> float | None:
    """A container's CPU limit in cores, from cgroup version 2 or 1; None when there is no limit."""
    quota, _, period = (text(root / "sys/fs/cgroup/cpu.max") or "").partition(" ")
    if not quota:
        quota = text(root / "sys/fs/cgroup/cpu/cpu.cfs_quota_us") or ""
        period = text(root / "sys/fs/cgroup/cpu/cpu.cfs_period_us") or ""
    if not quota.isdigit() or not period.isdigit() or int(period) == 0:
        return None
    return int(quota) / int(period)


def memory_bytes(root: Path = ROOT, field: str = "MemTotal") -> int | None:
    found = re.search(rf"^{field}:\s+(\d+) kB", text(root / "proc/meminfo") or "", re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def governor(root: Path = ROOT) -> str | None:
    return text(root / CPUFREQ / "scaling_governor")


def frequency_limits(root: Path) -> list[float] | None:
    """The lowest and the highest frequency of the first core."""
    limits = [integer(root / CPUFREQ / f"cpuinfo_{end}_freq") for end in ("min", "max")]
    return None if None in limits else [value / 1000 for value in limits if value is not None]


def os_name(root: Path) -> str | None:
    found = re.search(r'^PRETTY_NAME="?([^"\n]+)', text(root / "etc/os-release") or "", re.MULTILINE)
    return found[1] if found else platform.system() or None


def in_container(root: Path) -> bool | None:
    if any((root / mark).exists() for mark in (".dockerenv", "run/.containerenv")):
        return True
    groups = text(root / "proc/1/cgroup")
    return None if groups is None else any(mark in groups for mark in CONTAINER_MARKS)


def hypervisor(root: Path, cpu: dict[str, str]) -> bool | None:
    """Whether this is a virtual machine; None when unknown: apart from Xen, only x86 CPUs tell."""
    if text(root / "sys/hypervisor/type"):
        return True
    return "hypervisor" in cpu["flags"].split() if "flags" in cpu else None


def clock() -> JsonObject:
    """The clock that times calls. read_ns: the cost of reading it, the shortest time between two readings."""
    info = time.get_clock_info("perf_counter")
    pairs = [(time.perf_counter_ns(), time.perf_counter_ns()) for _ in range(1000)]
    return {
        "implementation": info.implementation,
        "resolution_ns": info.resolution * 1e9,
        "read_ns": min(end - start for start, end in pairs),
    }


def text(path: Path) -> str | None:
    try:
        return path.read_bytes().decode(errors="replace").strip("\0 \n") or None
    except OSError:
        return None


def integer(path: Path) -> int | None:
    found = text(path)
    try:
        return None if found is None else int(found)
    except ValueError:
        return None
