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
# The first leaf-7 answer in the main thread and in another, by a function of machine code; and what results would say.
SEEN = """
import ctypes, json, mmap, threading
import numpy as np
from fmnist_edge.benchmark import environment
code = bytes.fromhex("53 b8 07 00 00 00 31 c9 0f a2 89 d8 5b c3")  # push rbx; cpuid(7, 0); eax = ebx; pop rbx; ret
page = mmap.mmap(-1, len(code), prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
page.write(code)
leaf = ctypes.CFUNCTYPE(ctypes.c_uint32)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
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


def is_missing() -> str | None:
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        flags = ""
    if "cpuid_fault" not in flags or "avx2" not in flags:
        return "this CPU has no AVX2 or no CPUID faulting"
    return None if shutil.which("cc") else "no C compiler; run: apt-get install gcc libc6-dev"


pytestmark = pytest.mark.skipif(is_missing() is not None, reason=str(is_missing()))


def run(*command: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, str(LAUNCHER), *map(str, command)],
        capture_output=True, text=True, env=child_environment(), check=False,
    )  # fmt: skip


def test_threads_and_results_see_no_avx512():
    ended = run(sys.executable, "-c", SEEN)
    assert ended.returncode == 0, ended.stderr
    seen = json.loads(ended.stdout)
    assert len(seen["ebx"]) == 2
    assert all(ebx & AVX2 and not ebx & AVX512F for ebx in seen["ebx"])
    assert "avx2" in seen["flags"] and not any(flag.startswith(("avx512", "avx_vnni", "amx")) for flag in seen["flags"])
    assert seen["cpu"].endswith(" without avx512* avx_vnni* amx*")
    assert seen["device"].endswith("-without-avx512-avx-vnni-amx")


def test_native_code_of_the_compiler_is_for_avx2():
    ended = run(c_compiler() or "cc", "-march=native", "-dM", "-E", "-x", "c", "/dev/null")
    assert "__AVX2__" in ended.stdout and "AVX512" not in ended.stdout and "VNNI" not in ended.stdout


def test_a_fault_still_ends_the_program_and_reaches_its_own_handler():
    ended = run(sys.executable, "-X", "faulthandler", "-c", "import ctypes; ctypes.string_at(0)")
    assert ended.returncode != 0 and "Segmentation fault" in ended.stderr and "string_at" in ended.stderr


def test_results_without_the_label_are_refused():
    command = 'env -u FMNIST_EDGE_HIDDEN_CPU_FEATURES "$0" -c "print(1)"'
    ended = run("sh", "-c", command, sys.executable)
    assert ended.returncode == 125 and "FMNIST_EDGE_HIDDEN_CPU_FEATURES is not set" in ended.stderr
