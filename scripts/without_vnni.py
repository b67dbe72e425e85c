"""Run a command as on a CPU with AVX2 and no VNNI, on an x86-64 CPU under Linux that has AVX-512, VNNI or AMX.

python scripts/without_vnni.py COMMAND...    for example: fmnist-edge bench exported

`hide_cpu_features.c` hides the features from the command and its children. Results name the CPU accordingly, so that
`compare` does not take it for the whole CPU. On a CPU without CPUID faulting, such as AMD's, only this Python's engines
and the C form of a model do not see them. objdump reads the engines' libraries first.
"""

import importlib.util
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("hide_cpu_features.c")
LIBRARY = "hide_cpu_features.so"
OPTIONS = ["-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,initfirst"]
HIDDEN = "avx512* avx_vnni* amx*"  # as in /proc/cpuinfo
ENGINES = ("ai_edge_litert", "onnxruntime", "openvino")  # packages, whose libraries choose kernels by CPUID
CPUID = b"\x0f\xa2"
NATIVE = "-O3 -march=native -mno-avx512f -mno-avxvnni"  # for the engine c: GCC's own CPUID is not hidden
TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW"  # libc's memcpy was chosen before


def places():
    """The address of every CPUID in the engines' libraries, a line each."""
    found = []
    for package in ENGINES:
        spec = importlib.util.find_spec(package)
        folders = spec.submodule_search_locations if spec else None
        for library in sorted(path for folder in folders or () for path in Path(folder).rglob("*.so*")):
            if CPUID in library.read_bytes():
                command = ["objdump", "-d", "--no-show-raw-insn", str(library)]
                listing = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
                addresses = re.findall(r"^ *([0-9a-f]+):\tcpuid", listing, re.MULTILINE)
                found += [f"{library.name} {address}\n" for address in addresses]
    return "".join(found)


def environment(folder):
    joined = {
        "LD_PRELOAD": " ".join(filter(None, (str(folder / LIBRARY), os.environ.get("LD_PRELOAD")))),
        "GLIBC_TUNABLES": ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), TUNABLES))),
    }
    if not re.search(r"\bcpuid_fault\b", Path("/proc/cpuinfo").read_text()):
        print("without_vnni: reading the engines' libraries", file=sys.stderr)
        (folder / "places").write_text(places())
        joined["FMNIST_EDGE_CPUID_PLACES"] = str(folder / "places")
        joined["FMNIST_EDGE_CFLAGS"] = os.environ.get("FMNIST_EDGE_CFLAGS", NATIVE)
    return {**os.environ, **joined, "FMNIST_EDGE_HIDDEN_CPU_FEATURES": HIDDEN}


def main(command):
    if not command:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        compiler = os.environ.get("CC", "cc")
        subprocess.run([*compiler.split(), *OPTIONS, str(SOURCE), "-o", str(folder / LIBRARY), "-ldl"], check=True)
        return subprocess.run(command, env=environment(folder), check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
