"""The parsers of all commands, with help that reads like a manual page."""

from __future__ import annotations

import argparse
import inspect
import re
import shutil
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

from fmnist_edge import __version__
from fmnist_edge.commands.command import Command, Help, commands

__all__ = [
    "ENVIRONMENT", "PROGRAM", "TITLE", "Formatter", "Parser", "arguments_of", "exit_codes", "grouped", "paragraphs",
    "parser", "parser_of",
]  # fmt: skip

PROGRAM = "fmnist-edge"
TITLE = (
    "Export small Keras CNNs to TFLite and ONNX, prove that the files are still the same model, measure them, and run "
    "them on devices."
)
ENVIRONMENT = (
    ("FMNIST_DATA_DIR", "folder of the Fashion-MNIST files; --data overrides it"),
    ("FMNIST_EDGE_TFLITE_RUNTIME", "a Python that has tflite-runtime; --tflite-runtime overrides it"),
    ("FMNIST_EDGE_VERBOSE", "set to 1: show what the libraries log, and tracebacks"),
)
WIDEST = 100  # longer lines are hard to read


class Formatter(argparse.HelpFormatter):
    """Keeps paragraphs, wraps them to the terminal, and adds an option's choices and default to its text."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=min(WIDEST, shutil.get_terminal_size().columns - 2))

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(filled(paragraph, width, indent) for paragraph in paragraphs(text))

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrapped(text, width, "", "").split("\n")

    def _get_help_string(self, action: argparse.Action) -> str:
        return explained(action)


class Parser(argparse.ArgumentParser):
    """A parser whose usage line leaves the options to `--help`."""

    def __init__(self, prog: str, **more: Any) -> None:
        super().__init__(prog, formatter_class=Formatter, add_help=False, **more)

    def error(self, message: str) -> NoReturn:
        super().error(f"{message}; for help: {self.prog} --help")


def parser() -> Parser:
    """The program's parser. The namespace that it makes has the chosen `Command` as `command`."""
    found = commands()
    top = Parser(
        PROGRAM,
        description=f"{TITLE}\n\n{overview(found)}",
        epilog=f"{block('Environment', ENVIRONMENT)}\n\n{exit_codes('a gate failed')}",
    )
    top.usage = f"{PROGRAM} COMMAND [options]"
    options = top.add_argument_group("Options")
    options.add_argument("-h", "--help", action="help", help="Show this help; `COMMAND --help` explains a command.")
    options.add_argument("--version", action="version", version=__version__, help="Show the version.")
    subparsers = top.add_subparsers(metavar="COMMAND", required=True, prog=PROGRAM, help=argparse.SUPPRESS)
    for command in found:
        sub = subparsers.add_parser(command.name, description=command.help.description, epilog=epilog(command.help))
        fill(sub, command)
    return top


def parser_of(command: Command) -> Parser:
    """The parser of one command alone."""
    made = Parser(f"{PROGRAM} {command.name}", description=command.help.description, epilog=epilog(command.help))
    fill(made, command)
    return made


def fill(made: argparse.ArgumentParser, command: Command) -> None:
    command.add_arguments(made)
    made.add_argument_group("Help").add_argument("-h", "--help", action="help", help="Show this help.")
    made.set_defaults(command=command)
    positional = [action for _, actions in arguments_of(made) for action in actions if not action.option_strings]
    made.usage = " ".join([made.prog, "[options]", *map(usage_of, positional)])


def usage_of(action: argparse.Action) -> str:
    """A positional argument as the usage line shows it."""
    name = str(action.metavar or action.dest)
    return {"*": f"[{name} ...]", "+": f"{name} [{name} ...]"}.get(str(action.nargs), name)


def arguments_of(made: argparse.ArgumentParser) -> list[tuple[str, list[argparse.Action]]]:
    """The titles of a parser's groups with their arguments, hidden ones apart."""
    groups = [
        (str(group.title), [action for action in group._group_actions if action.help is not argparse.SUPPRESS])
        for group in made._action_groups
    ]
    return [(title, actions) for title, actions in groups if actions]


def grouped(found: Sequence[Command]) -> list[tuple[str, list[Command]]]:
    """The commands by their jobs; `found` is in the order of `commands`."""
    titles = dict.fromkeys(command.help.group.value for command in found)
    return [(title, [command for command in found if command.help.group.value == title]) for title in titles]


def overview(found: Sequence[Command]) -> str:
    width = max(len(command.name) for command in found)
    return "\n\n".join(
        block(title, [(item.name.ljust(width), item.help.summary) for item in items]) for title, items in grouped(found)
    )


def epilog(page: Help) -> str:
    parts = [f"Needs: pip install '{PROGRAM}[{page.extra}]'"] if page.extra else []
    lines = [f"  {what}:\n    {PROGRAM} {line}" for what, line in page.examples]
    return "\n\n".join([*parts, "\n".join(["Examples:", *lines]), exit_codes(page.gate)])


def exit_codes(gate: str) -> str:
    meanings = [
        ("0", "done"),
        ("1", gate),
        ("2", "an option, an argument or a file is wrong"),
        ("3", "something must be installed or fetched first"),
        ("70", f"a bug in {PROGRAM}"),
        ("130", "interrupted"),
    ]
    return block("Exit codes", [(code, meaning) for code, meaning in meanings if meaning])


def block(title: str, pairs: Iterable[tuple[str, str]]) -> str:
    """A titled list of names and what they mean, in two columns."""
    pairs = list(pairs)
    width = max(len(name) for name, _ in pairs)
    return "\n".join([f"{title}:", *(f"  {name.ljust(width)}  {meaning}" for name, meaning in pairs)])


def paragraphs(text: str) -> list[str]:
    r"""
    >>> paragraphs("One\n    line.\n\n    Another.")
    ['One\nline.', 'Another.']
    """
    return inspect.cleandoc(text).split("\n\n")


def filled(paragraph: str, width: int, indent: str = "") -> str:
    """A paragraph wrapped to `width`: text, a list whose items begin with "- ", or lines that stay as they are."""
    if paragraph.startswith("- "):
        items = ("\n" + paragraph).split("\n- ")[1:]
        return "\n".join(wrapped(f"- {item}", width, indent, f"{indent}  ") for item in items)
    if "\n " in paragraph:
        return "\n".join(hanging(indent + line, width) for line in paragraph.splitlines())
    return wrapped(paragraph, width, indent, indent)


def hanging(line: str, width: int) -> str:
    """A line of `block`, wrapped in its second column; any other line stays as it is."""
    columns = re.match(r"  \S+ {2,}", line)
    if columns is None:
        return line
    return wrapped(line[columns.end() :], width, columns[0], " " * columns.end())


def wrapped(text: str, width: int, first: str, rest: str) -> str:
    return textwrap.fill(
        " ".join(text.split()), width, initial_indent=first, subsequent_indent=rest, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip


def explained(action: argparse.Action) -> str:
    """An argument's help, then its choices and its default, each where there is one and the help does not tell it."""
    about, has_default, rest = (action.help or "").partition(" Default")
    sentences = [about]
    if action.choices is not None:
        sentences.append(f"One of: {', '.join(map(str, action.choices))}.")
    if isinstance(action, argparse._AppendAction):
        sentences.append("May be repeated.")
    default = written(action.default)
    if has_default:
        sentences.append(f"Default{rest}")
    elif default:
        sentences.append(f"Default: {default}.".replace("%", "%%"))
    return " ".join(sentences)


def written(default: object) -> str:
    """A default as a user would type it; empty where there is none to speak of.

    >>> written(["exported"]), written(10.0), written(0), written(False)
    ('exported', '10', '0', '')
    """
    if default is None or default is False or default == argparse.SUPPRESS:
        return ""
    if isinstance(default, (list, tuple)):
        return ",".join(map(str, default))
    return f"{default:g}" if isinstance(default, float) else str(default)
