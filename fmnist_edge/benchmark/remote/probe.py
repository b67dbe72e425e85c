"""Check a device before sending anything: its Python, and files of an earlier run."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from fmnist_edge.benchmark.remote.link import Link
from fmnist_edge.benchmark.remote.wire import PREFIX
from fmnist_edge.errors import UnavailableError

__all__ = ["OLDEST", "Facts", "probe"]

OLDEST = (3, 9)
PYTHON = (
    "import sys; print('{prefix} python %d.%d.%d %d' % (sys.version_info[:3] + (64 if sys.maxsize > 2**32 else 32,)))"
)


@dataclass(frozen=True)
class Facts:
    """Paths on the device, and whether they exist.

    Attributes:
        folder: the folder for this bundle, named by its digest.
        environment: the virtual environment for its requirements.
    """

    folder: str
    environment: str
    has_bundle: bool
    has_environment: bool


def probe(link: Link, bundle: str, environment: str) -> Facts:
    """Check the device. Raises UnavailableError when it cannot be reached or has no suitable Python."""
    found = dict(
        line[len(PREFIX) :].split(maxsplit=1) for line in link.run(script(bundle, environment)).lines if fits(line)
    )
    check_python(link.host, found.get("python"))
    cache = found["cache"]
    return Facts(f"{cache}/bundles/{bundle}", f"{cache}/venvs/{environment}", "bundle" in found, "environment" in found)


def script(bundle: str, environment: str) -> str:
    return "\n".join(
        [
            'cache="${XDG_CACHE_HOME:-$HOME/.cache}/fmnist-edge"',
            f'echo "{PREFIX} cache $cache"',
            f'if [ -e "$cache/bundles/{bundle}/SHA256SUMS" ]; then echo "{PREFIX} bundle yes"; fi',
            f'if [ -e "$cache/venvs/{environment}/ready" ]; then echo "{PREFIX} environment yes"; fi',
            f"python3 -c {shlex.quote(PYTHON.format(prefix=PREFIX))} 2>/dev/null || true",
        ]
    )


def fits(line: str) -> bool:
    return line.startswith(PREFIX) and len(line.split(maxsplit=2)) == 3


def check_python(host: str, found: str | None) -> None:
    """`found` is "3.11.2 64"."""
    if found is None:
        raise UnavailableError(f"{host}: has no python3; run there: sudo apt install python3 python3-venv")
    version, bits = found.split()
    wanted = ".".join(map(str, OLDEST))
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise UnavailableError(f"{host}: its Python is {version}; expected {wanted} or later: install a newer system")
    if bits != "64":
        raise UnavailableError(f"{host}: its Python is 32-bit, and engines exist only for 64-bit; use a 64-bit system")
