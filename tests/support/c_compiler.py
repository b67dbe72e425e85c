"""A C compiler that works: one may be on the PATH and lack its linker or the C library's headers."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

__all__ = ["c_compiler", "needs_c_compiler"]

PROGRAM = '#include <stdio.h>\nint main(void) { return puts("") < 0; }\n'


@functools.cache
def c_compiler() -> str | None:
    """The name of the first one that makes a program."""
    for name in ("cc", "gcc", "clang"):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "program.c"
            source.write_text(PROGRAM)
            command = [name, str(source), "-o", str(source.with_suffix(""))]
            if shutil.which(name) and subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return name
    return None


def needs_c_compiler() -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        c_compiler() is None, reason="no C compiler that works; run: apt-get install gcc libc6-dev"
    )
