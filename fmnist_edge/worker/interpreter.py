"""Whether `sys.executable` can start a child process of this Python.

In a frozen app `sys.executable` is the app, in uWSGI it is the server. A child would be the app again, which would
start itself again, and so on.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

__all__ = ["GUARD", "obstacle"]

# In the environment of each child, which removes it. The child has it as a literal.
GUARD = "FMNIST_EDGE_CHILD"
INTERPRETERS = ("python", "pypy", "graalpy")


def obstacle() -> str:
    """Why this process cannot start a child with its own Python; "" when it can."""
    if GUARD in os.environ:
        return "this process was itself started as such a child, and is another program"
    if is_frozen():
        return f"the app is frozen, so {sys.executable} is no Python interpreter but the app"
    if not sys.executable:
        return "Python is embedded in another program, and sys.executable names no interpreter"
    name = Path(sys.executable).name.lower()
    # pythonservice.exe is pywin32's host of Windows services.
    if not name.startswith(INTERPRETERS) or "service" in name:
        return f"sys.executable is {sys.executable}, which is no Python interpreter"
    return ""


def is_frozen() -> bool:
    """Whether PyInstaller, cx_Freeze, py2exe (`sys.frozen`) or Nuitka (`__compiled__`) made this program."""
    compiled = globals().get("__compiled__") or getattr(sys.modules.get("__main__"), "__compiled__", None)
    return bool(getattr(sys, "frozen", False) or getattr(compiled, "standalone", compiled is not None))
