"""Make a 64-bit Arm userland in a folder: Debian's arm64 Python and the aarch64 wheels, run by QEMU's user mode.

It needs no root, chroot or container: `qemu-aarch64 -L FOLDER` looks for a program's files in the folder first. apt
verifies its packages by Debian's signed lists, pip its wheels by the hashes in wheels.txt.

`python -m fmnist_edge.boards.emulation.userland FOLDER` makes one and prints the paths of its interpreters.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import fmnist_edge
from fmnist_edge.catalog import boards
from fmnist_edge.catalog.boards import CORES, Core
from fmnist_edge.errors import UnavailableError
from fmnist_edge.files import check_writable, write_atomic
from fmnist_edge.worker.calls import program
from fmnist_edge.worker.endings import Status

__all__ = ["interpreter", "make"]

PROGRAMS = {"qemu-aarch64": "qemu-user", "apt-get": "apt", "dpkg-deb": "dpkg"}  # program -> Debian package
WHEELS = Path(__file__).with_name("wheels.txt")
PYTHON = "3.11"
PACKAGES = (
    "libc6", "libgcc-s1", "libstdc++6", "libgomp1", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5",
    "libssl3", "libuuid1", f"python{PYTHON}-minimal", f"libpython{PYTHON}-minimal", f"libpython{PYTHON}-stdlib",
)  # fmt: skip
GLIBC = range(17, 37)  # minor versions that Debian 12's glibc supports
CORE_COUNT = 4  # as on every Raspberry Pi from 2 on; not the host's count, so that all hosts emulate the same
ARM = "0x41"  # CPU implementer

# The emulated core has the features of the real one. `-cpu max`, with SVE and SME, gives wrong int8 results.
INTERPRETER = """#!/bin/sh
export PYTHONPATH="${{FMNIST_EDGE_PACKAGE:-{package}}}:{site}" PYTHONDONTWRITEBYTECODE=1 PYTHONHASHSEED=0
exec env -u PYTHONHOME -u LD_LIBRARY_PATH '{qemu}' -cpu {core} -L '{root}' '{python}' "$@"
"""


def make(folder: Path, report: Callable[[str], object] = lambda line: None) -> None:
    """Make the userland in `folder` unless it exists: 75 MB to download, 280 MB on disk, under a minute.

    A lock file lets one process at a time make it. `report` is called with a line per step. Raises UnavailableError
    when a program is missing on this machine or a package cannot be fetched, FileError when `folder` cannot be written.
    """
    import fcntl  # here, because Windows has none

    folder = folder.resolve()
    for name, package in PROGRAMS.items():
        if shutil.which(name) is None:
            raise UnavailableError(f"no {name} on this machine; on Debian 12 run: apt-get install {package}")
    check_writable(folder)
    stamp, wanted = folder / ".made", recipe()
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.is_file() or stamp.read_text() != wanted:
            stamp.unlink(missing_ok=True)
            fill(folder, report)
            write_atomic(stamp, wanted)


def fill(folder: Path, report: Callable[[str], object]) -> None:
    for part in ("debian", "root", "site", "cores", "package", "answers"):
        shutil.rmtree(folder / part, ignore_errors=True)
    report("fetching Debian's arm64 Python")
    unpack_packages(folder)
    report("fetching the aarch64 wheels")
    install_wheels(folder / "site")
    ours = folder / "package"
    ours.mkdir()
    (ours / "fmnist_edge").symlink_to(Path(fmnist_edge.__file__).parent)
    for core in CORES.values():
        write_core_files(folder, core)


def interpreter(folder: Path, core: Core) -> str:
    """Path of a program that runs the userland's Python on `core`, with Python's arguments and environment."""
    return str(folder.resolve() / "cores" / core.name / "python")


def recipe() -> str:
    """A text that changes when the userland must be made again: with its contents, and with this package's path."""
    files = (Path(__file__), Path(boards.__file__), WHEELS)
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files))
    return f"{digest.hexdigest()} {Path(fmnist_edge.__file__).parent}\n"


def unpack_packages(folder: Path) -> None:
    """Unpack Debian's packages into `folder`/root. apt keeps its whole state in `folder`/debian."""
    state, root = folder / "debian", folder / "root"
    for inside in ("lists/partial", "cache/archives/partial", "packages"):
        (state / inside).mkdir(parents=True)
    root.mkdir()
    settings = {
        "APT::Architecture": "arm64", "APT::Architectures": "arm64", "APT::Sandbox::User": f"#{os.getuid()}",
        "Dir::State::Lists": state / "lists", "Dir::Cache": state / "cache", "Dir::State::status": "/dev/null",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    run_program([*apt, "update"], "Debian's package lists")
    run_program([*apt, "download", *PACKAGES], "Debian's arm64 packages", state / "packages")
    for package in sorted((state / "packages").glob("*.deb")):
        run_program(["dpkg-deb", "-x", str(package), str(root)], package.name)


def install_wheels(site: Path) -> None:
    platforms = [f"manylinux_2_{minor}_aarch64" for minor in GLIBC] + ["manylinux2014_aarch64"]
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--implementation=cp"]
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *options]
    command += [f"--python-version={PYTHON}", *(f"--platform={name}" for name in platforms)]
    run_program([*command, f"--target={site}", "-r", str(WHEELS)], "the aarch64 wheels")


def write_core_files(folder: Path, core: Core) -> None:
    """Write the files that programs see on a core: links to the shared Python, and a description of the core.

    Without the description XNNPACK's CPU detection reads the host's and crashes. With another core's description it
    chooses other kernels.
    """
    root, own = folder / "root", folder / "cores" / core.name
    own.mkdir(parents=True)
    for shared in root.iterdir():
        (own / shared.name).symlink_to(shared)
    processors = "\n".join(
        f"processor\t: {number}\nFeatures\t: {core.features}\nCPU implementer\t: {ARM}\nCPU architecture: 8\n"
        f"CPU variant\t: 0x0\nCPU part\t: {core.part}\nCPU revision\t: 0\n"
        for number in range(CORE_COUNT)
    )
    write_atomic(own / "proc/cpuinfo", processors)
    for name in ("possible", "present", "online"):
        write_atomic(own / "sys/devices/system/cpu" / name, f"0-{CORE_COUNT - 1}\n")
    start = INTERPRETER.format(
        site=folder / "site",
        package=folder / "package",
        qemu=shutil.which("qemu-aarch64"),
        core=core.name,
        root=own,
        python=root / f"usr/bin/python{PYTHON}",
    )
    write_atomic(own / "python", start).chmod(0o755)


def run_program(command: Sequence[str], what: str, folder: Path | None = None) -> None:
    """Run a program that fetches `what`. Raises UnavailableError with the last line it printed if it fails."""
    end = program(command, folder=folder)
    if end.status is not Status.DONE:
        hint = "an emulated board needs Debian 12's package sources, PyPI and a network"
        raise UnavailableError(f"cannot fetch {what}: {end.reason}; {hint}")


def main(folder: str) -> None:
    make(Path(folder), print)
    for core in CORES.values():
        print(interpreter(Path(folder), core))


if __name__ == "__main__":
    main(sys.argv[1])
