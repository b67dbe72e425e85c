"""Run a command as on a CPU with AVX2 and no VNNI, on an Intel CPU under Linux that has AVX-512, VNNI or AMX.

python scripts/without_vnni.py COMMAND...    for example: fmnist-edge bench exported

`hide_cpu_features.c` hides the features from the command and its children. Results name the CPU accordingly, so that
`compare` does not take it for the whole CPU.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SOURCE = Path(__file__).with_name("hide_cpu_features.c")
OPTIONS = ["-O2", "-Wall", "-shared", "-fPIC", "-fvisibility=hidden", "-Wl,-z,initfirst"]
HIDDEN = "avx512* avx_vnni* amx*"  # as in /proc/cpuinfo
TUNABLES = "glibc.cpu.hwcaps=-AVX512F,-AVX512VL,-AVX512BW"  # libc's memcpy was chosen before


def environment(library):
    joined = {
        "LD_PRELOAD": " ".join(filter(None, (str(library), os.environ.get("LD_PRELOAD")))),
        "GLIBC_TUNABLES": ":".join(filter(None, (os.environ.get("GLIBC_TUNABLES"), TUNABLES))),
    }
    return {**os.environ, **joined, "FMNIST_EDGE_HIDDEN_CPU_FEATURES": HIDDEN}


def main(command):
    if not command:
        raise SystemExit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "hide_cpu_features.so"
        compiler = os.environ.get("CC", "cc")
        subprocess.run([*compiler.split(), *OPTIONS, str(SOURCE), "-o", str(library), "-ldl"], check=True)
        return subprocess.run(command, env=environment(library), check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
