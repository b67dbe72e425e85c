"""Whether programs that tests start are here and work: one on the PATH may lack its headers, or not run at all."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

TRIVIAL = "#include <cstdint>\n#include <cstdio>\nint main() { return static_cast<std::uint8_t>(0); }\n"


@functools.cache
def why_it_does_not_run(name: str) -> str | None:
    """None for a program that answers to --version."""
    return why_not(name, ["--version"])


@functools.cache
def why_it_does_not_compile(name: str, *flags: str) -> str | None:
    """None for a C++ compiler that makes a program of TRIVIAL."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "trivial.cc"
        source.write_text(TRIVIAL)
        return why_not(name, [*flags, str(source), "-o", str(source.with_suffix(".out"))])


def why_not(name: str, arguments: list[str]) -> str | None:
    if shutil.which(name) is None:
        return f"no {name}"
    try:
        done = subprocess.run([name, *arguments], capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{name} does not work ({error})"
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
    return f"{name} does not work ({said})" if done.returncode else None


def skip_where(reasons: list[str | None], packages: str) -> pytest.MarkDecorator:
    """Skips a test for what does not work here, saying what to install."""
    found = [reason for reason in reasons if reason]
    return pytest.mark.skipif(bool(found), reason=f"{'; '.join(found)}; run: apt-get install {packages}")
