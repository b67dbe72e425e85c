"""Hidden CPU features: what NumPy, the compiler, threads and results see under `scripts/without_vnni.py`."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import ROOT
from support.c_compiler import c_compiler

from fmnist_edge.worker.calls import child_environment

LAUNCHER = ROOT / "scripts/without_vnni.py"
# What leaf 7 answers to a library of an engine, in the main thread and in another; and what results would say.
LIBRARY = """
#include <cpuid.h>
unsigned leaf(void) {
  unsigned eax, ebx, ecx, edx;
  __cpuid_count(7, 0, eax, ebx, ecx, edx);
  return ebx;
}
"""
SEEN = """
import ctypes, json, sys, threading
import numpy as np
from fmnist_edge.benchmark import environment
leaf = ctypes.CDLL(sys.argv[1]).leaf
class Stack(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t)]
small = ctypes.create_string_buffer(2048)  # where a signal's frame with the registers of AVX-512 does not fit
ctypes.CDLL(None).sigaltstack(ctypes.byref(Stack(ctypes.addressof(small), 0, 2048)), None)
found = [leaf()]
thread = threading.Thread(target=lambda: found.append(leaf()))
thread.start()
thread.join()
machine = environment.describe()
print(json.dumps({"ebx": found, "flags": machine["cpu_flags"], "cpu": machine["cpu"], "device": machine["device"]}))
"""
AVX2, AVX512F = 1 << 5, 1 << 16


def cpu_flags() -> str:
    try:
        return Path("/proc/cpuinfo").read_text()
    except OSError:
        return ""


def is_missing() -> str | None:
    if "avx2" not in cpu_flags():
        return "this CPU has no AVX2"
    missing = [name for name in ("cc", "objdump") if not shutil.which(name)]
    return f"no {' or '.join(missing)}; run: apt-get install gcc libc6-dev" if missing else None


pytestmark = pytest.mark.skipif(is_missing() is not None, reason=str(is_missing()))


@pytest.fixture
def run(tmp_path):
    """Run a command under the launcher. The engines are empty packages: reading the real ones takes long."""
    for package in ("ai_edge_litert", "onnxruntime", "openvino"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()

    def started(*command: object) -> subprocess.CompletedProcess:
        environment = {**child_environment(), "PYTHONPATH": f"{tmp_path}:{ROOT}"}
        command = (sys.executable, LAUNCHER, *command)
        return subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, check=False)

    return started


def test_threads_and_results_see_no_avx512(run, tmp_path):
    library = tmp_path / "openvino/seen.so"
    (tmp_path / "seen.c").write_text(LIBRARY)
    subprocess.run(["cc", "-shared", "-fPIC", tmp_path / "seen.c", "-o", library], check=True)
    ended = run(sys.executable, "-c", SEEN, library)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert len(seen["ebx"]) == 2
    assert all(ebx & AVX2 and not ebx & AVX512F for ebx in seen["ebx"])
    assert "avx2" in seen["flags"] and not any(flag.startswith(("avx512", "avx_vnni", "amx")) for flag in seen["flags"])
    assert seen["cpu"].endswith(" without avx512* avx_vnni* amx*")
    assert seen["device"].endswith("-without-avx512-avx-vnni-amx")


@pytest.mark.skipif("cpuid_fault" not in cpu_flags(), reason="this CPU has no CPUID faulting")
def test_native_code_of_the_compiler_is_for_avx2(run):
    ended = run(c_compiler() or "cc", "-march=native", "-dM", "-E", "-x", "c", "/dev/null")
    assert "__AVX2__" in ended.stdout and "AVX512" not in ended.stdout and "VNNI" not in ended.stdout


def test_a_fault_still_ends_the_program_and_reaches_its_own_handler(run):
    ended = run(sys.executable, "-X", "faulthandler", "-c", "import ctypes; ctypes.string_at(0)")
    assert ended.returncode != 0 and "Segmentation fault" in ended.stderr and "string_at" in ended.stderr


def test_results_without_the_label_are_refused(run):
    command = 'env -u FMNIST_EDGE_HIDDEN_CPU_FEATURES "$0" -c "print(1)"'
    ended = run("sh", "-c", command, sys.executable)
    assert ended.returncode == 125 and "FMNIST_EDGE_HIDDEN_CPU_FEATURES is not set" in ended.stderr
