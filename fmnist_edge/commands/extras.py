"""Which extra of this package installs a module that is missing; read from the installed package's own metadata."""

from __future__ import annotations

import re
from importlib import metadata
from importlib.util import find_spec

__all__ = ["how_to_install"]

PACKAGE = "fmnist-edge"
# Modules whose package has another name.
PACKAGES = {"PIL": "pillow", "ethosu": "ethos-u-vela", "pynvml": "nvidia-ml-py", "tensorflow": "tensorflow-cpu"}
TOOLS = "dev"  # an extra for those who work on this package
REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,\s-]+)\])?")
EXTRA = re.compile(r"""extra == ["'](?P<extra>[\w-]+)["']""")


def how_to_install(module: str, wanted: str = "") -> str | None:
    """What to give to pip for a module that cannot be imported; None for one that is not a missing dependency of ours.

    `wanted`: the extra of the command that was run, which is the answer if it has the package.
    """
    name = module.partition(".")[0]
    if find_spec(name) is not None:
        return None  # it is there: what is missing is a part of it
    package = normal(PACKAGES.get(name, name))
    extras = declared()
    having = [extra for extra, packages in extras.items() if package in packages]
    if not having:
        return None
    if "" in having:
        return PACKAGE
    extra = wanted if package in everything(wanted, extras) else min(having, key=lambda item: len(extras[item]))
    return f"{PACKAGE}[{extra}]"


def declared() -> dict[str, set[str]]:
    """Extra -> the packages that it names, and the extras that it includes as "[name]"; "" is what is always needed."""
    try:
        lines = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # a checkout that is not installed
        return {}
    found: dict[str, set[str]] = {}
    for line in lines:
        requirement, extra = REQUIREMENT.match(line), EXTRA.search(line)
        of = extra["extra"] if extra else ""
        if requirement is None or of == TOOLS:
            continue
        name = normal(requirement["name"])
        included = (requirement["extras"] or "").split(",")
        found.setdefault(of, set()).update([f"[{item.strip()}]" for item in included] if name == PACKAGE else [name])
    return found


def everything(extra: str, extras: dict[str, set[str]]) -> set[str]:
    """The packages of an extra and of the extras that it includes."""
    packages = extras.get(extra, set())
    included = [name[1:-1] for name in packages if name.startswith("[")]
    return packages.union(*(everything(name, extras) for name in included))


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
