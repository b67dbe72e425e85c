"""Run the wheel for devices in many Pythons: each Debian release's own, and any others of this machine.

    python scripts/pythons.py WHEEL [--cache FOLDER] [--only 3.9] [--python /usr/bin/python3.12] [--page FILE.md]

Debian's packages are unpacked into the cache folder and run there by their own C library, so this needs no root. apt
verifies them by Debian's signatures. Each Python gets two environments: the oldest NumPy that the wheel allows and that
Python has, and the newest. LiteRT and ONNX Runtime are there where PyPI has wheels. `try_runtime.py` then runs in it.
`--page` writes the table between the markers <!-- pythons --> of a page. Needs x86-64, apt-get, dpkg-deb, a network.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MIRROR = "http://deb.debian.org/debian"
KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg"
MACHINE = "x86_64-linux-gnu"
MARKS = ("<!-- pythons -->", "<!-- /pythons -->")


@dataclass(frozen=True)
class Release:
    """A release of Debian with its Python, and the oldest NumPy from 1.24 on that has wheels for this Python."""

    name: str
    python: str
    numpy: str


RELEASES = (
    Release("bullseye", "3.9", "1.24.0"),
    Release("bookworm", "3.11", "1.24.0"),
    Release("trixie", "3.13", "2.1.0"),
    Release("forky", "3.14", "2.3.2"),
    Release("forky", "3.15", ""),
)
OLDEST_NUMPY = {**{item.python: item.numpy for item in RELEASES}, "3.10": "1.24.0", "3.12": "1.26.0"}
LIBRARIES = ("libstdc++6", "libgcc-s1", "libgomp1", "zlib1g")  # what wheels expect of a system
# What runs each format; where PyPI has no wheel of the first, the next. The old runtime is for the old NumPy.
OLD_ENGINES = (("tflite-runtime", "ai-edge-litert"), ("onnxruntime",))
NEW_ENGINES = (("ai-edge-litert",), ("onnxruntime",))
COLUMNS = (("ai-edge-litert", "tflite-runtime"), ("onnxruntime",))  # how the engines' versions begin
# Python's own sys.executable would be started without our loader.
SITE = "import sys\nsys.executable = {start!r}\n"
START = """#!/bin/sh
exec env -u PYTHONHOME PYTHONPATH="{site}${{PYTHONPATH:+:$PYTHONPATH}}" \\
    '{loader}' --library-path '{libraries}' '{python}' "$@"
"""


class ProgramError(Exception):
    """A program failed; the message is the end of its output."""


def said_by(*command: str | Path, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(list(map(str, command)), env=environment, capture_output=True, text=True)
    if done.returncode:
        raise ProgramError(f"{command[0]}: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


def unpack(release: Release, folder: Path) -> Path:
    """Unpack the release's Python into `folder` unless it is there. Returns the program that starts it."""
    start = folder / "python"
    if start.is_file():
        return start
    shutil.rmtree(folder, ignore_errors=True)
    state, root, site = folder / "apt", folder / "root", folder / "site"
    for inside in ("lists/partial", "cache/archives/partial"):
        (state / inside).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [signed-by={KEYS}] {MIRROR} {release.name} main\n")
    settings = {
        "Dir::Etc::SourceList": state / "sources.list", "Dir::Etc::SourceParts": "/dev/null", "Dir::State": state,
        "Dir::State::Lists": state / "lists", "Dir::State::status": state / "status", "Dir::Cache": state / "cache",
        "APT::Sandbox::User": f"#{os.getuid()}", "APT::Install-Recommends": "false", "APT::Architecture": "amd64",
        "Debug::NoLocking": "true",
    }  # fmt: skip
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    packages = [f"python{release.python}-minimal", f"libpython{release.python}-stdlib", *LIBRARIES]
    said_by(*apt, "update")
    said_by(*apt, "--yes", "--download-only", "install", *packages)
    for package in sorted((state / "cache/archives").glob("*.deb")):
        said_by("dpkg-deb", "-x", package, root)
    shutil.rmtree(state)
    found = (path.resolve() for path in root.rglob("ld-linux-x86-64.so.2"))
    loader = next(path for path in found if path.is_relative_to(root))  # a link may lead to the machine's own
    libraries = [folder / "root" / base / MACHINE for base in ("lib", "usr/lib")]
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE.format(start=str(start)))
    start.write_text(
        START.format(
            site=site,
            loader=loader,
            libraries=":".join(map(str, libraries)),
            python=root / f"usr/bin/python{release.python}",
        )
    )
    start.chmod(0o755)
    return start


def glibc(python: Path) -> int:
    """Minor version of the C library below an interpreter."""
    version = said_by(python, "-c", "import os; print(os.confstr('CS_GNU_LIBC_VERSION'))")
    return int(re.search(r"\.(\d+)", version)[1])  # type: ignore[index]


def install(python: Path, version: str, packages: Sequence[str], site: Path) -> bool:
    """Put wheels for that Python into the folder `site`; whether there are any. Raises ProgramError for other faults.

    The tags of the wheels choose those for that Python; what pip would compare with `Requires-Python` is its own.
    """
    tags = [f"manylinux_2_{minor}_x86_64" for minor in range(17, glibc(python) + 1)] + ["manylinux2014_x86_64"]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += [
        "--ignore-requires-python",
        "--only-binary=:all:",
        "--implementation=cp",
        f"--python-version={version}",
        f"--target={site}",
    ]
    try:
        said_by(*command, *(f"--platform={tag}" for tag in tags), *packages)
    except ProgramError as error:
        if "No matching distribution" in str(error):
            return False
        raise
    return True


def row(wheel: Path, python: Path, origin: str, oldest: bool, site: Path) -> str:
    """Try the wheel in an interpreter, and tell the row of the table. Raises ProgramError when something is wrong."""
    version = said_by(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    numpy = f"numpy=={OLDEST_NUMPY[version]}" if oldest else "numpy"
    shutil.rmtree(site, ignore_errors=True)
    if not install(python, version, [numpy, str(wheel)], site):
        raise ProgramError(f"Python {version}: PyPI has no wheel of {numpy}")
    for packages in OLD_ENGINES if oldest else NEW_ENGINES:
        any(install(python, version, [package], site) for package in packages)
    variables = {**os.environ, "PYTHONPATH": str(site), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONSAFEPATH": "1"}
    script = ROOT / "scripts/try_runtime.py"
    found = json.loads(
        said_by(python, "-W", "error", script, ROOT / "exported/compact_cnn", environment=variables).splitlines()[-1]
    )
    tflite, onnx = ([text for text in found["engines"] if text.startswith(names)] for names in COLUMNS)
    cells = [f"{found['python']}, {origin}", found["numpy"], *("".join(texts) or "–" for texts in (tflite, onnx))]
    return f"| {' | '.join(cells)} |"


def table(rows: Sequence[str]) -> str:
    return "\n".join(["| Python | NumPy | `.tflite`, besides NumPy | `.onnx` |", "| --- | --- | --- | --- |", *rows])


def write(page: Path, text: str) -> None:
    old = page.read_text(encoding="utf-8")
    before, begin, rest = old.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise SystemExit(f"{page}: no markers {MARKS[0]} and {MARKS[1]}")
    page.write_text(f"{before}{begin}\n{text}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--cache", type=Path, default=ROOT / "build/pythons")
    parser.add_argument("--only", action="append", default=[], metavar="VERSION")
    parser.add_argument("--python", action="append", default=[], type=Path)
    parser.add_argument("--page", type=Path)
    options = parser.parse_args()
    if platform.machine() != "x86_64":
        raise SystemExit("this needs an x86-64 machine")
    cache = options.cache.resolve()
    wanted = [release for release in RELEASES if not options.only or release.python in options.only]
    pythons = [(f"Debian {item.name}", unpack(item, cache / f"{item.name}-{item.python}")) for item in wanted]
    pythons += [("python.org's sources", python) for python in options.python]
    rows = []
    for number, (origin, python) in enumerate(pythons):
        version = said_by(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
        for oldest in (True, False) if OLDEST_NUMPY.get(version) else (False,):
            rows.append(row(options.wheel.resolve(), python, origin, oldest, cache / f"site-{number}-{oldest}"))
            print(rows[-1], flush=True)
    rows.sort(key=lambda text: [int(part) for part in re.findall(r"\d+", text)[:2]])
    if options.page:
        write(options.page, table(rows))


if __name__ == "__main__":
    main()
