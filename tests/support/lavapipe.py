"""Mesa's lavapipe, a Vulkan driver on the CPU, for tests: unpacked once into build/lavapipe, where it can be had."""

from __future__ import annotations

import functools
import platform
import re
import shutil
import subprocess
import sys

from support import ROOT

ASSIGNMENT = re.compile(r"^export (\w+)='?([^'\n]*)'?$", re.MULTILINE)


@functools.cache
def environment() -> dict[str, str] | str:
    """What makes a child process find it, or one line with why it cannot be had."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or not shutil.which("apt-get"):
        return "lavapipe is had from Debian's packages for x86-64"
    command = ["sh", str(ROOT / "scripts/get-lavapipe.sh"), str(ROOT / "build/lavapipe")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        return f"lavapipe cannot be had: {said[-1]}"
    return dict(ASSIGNMENT.findall(done.stdout))
