"""What a command declares of itself, and the search for the commands in this folder."""

from __future__ import annotations

import argparse
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib import import_module

from fmnist_edge import commands as package

__all__ = ["Command", "Group", "Help", "commands"]


class Group(Enum):
    """The job that a command is part of; help shows the groups in this order."""

    EXPORT = "Export a model"
    PROVE = "Prove that it is still the same model"
    MEASURE = "Measure it"
    DEVICE = "Use it on a device"
    ZOO = "Data, and the models that come with it"


@dataclass(frozen=True)
class Help:
    """A command's manual page, apart from its options.

    Attributes:
        order: place within its group.
        summary: what it does, in a few words that begin with a verb.
        description: paragraphs with an empty line between them; "- " begins an item of a list.
        examples: pairs of what an example does and its command line, without the program's name.
        gate: what exit code 1 means; empty for a command that never exits with 1.
        extra: the extra of this package that installs all that the command imports; empty where NumPy is enough.
    """

    group: Group
    order: int
    summary: str
    description: str
    examples: tuple[tuple[str, str], ...]
    gate: str = ""
    extra: str = ""


@dataclass(frozen=True)
class Command:
    """A command as the parsers and the reference use it."""

    name: str
    help: Help
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int | None]


def commands() -> list[Command]:
    """Every module of this folder that has a `HELP`, in the order in which help lists them."""
    names = [found.name for found in pkgutil.iter_modules(package.__path__)]
    modules = {name: import_module(f"{package.__name__}.{name}") for name in names}
    found = [
        Command(name.replace("_", "-"), module.HELP, module.add_arguments, module.run)
        for name, module in modules.items()
        if hasattr(module, "HELP")
    ]
    groups = list(Group)
    return sorted(found, key=lambda command: (groups.index(command.help.group), command.help.order, command.name))
