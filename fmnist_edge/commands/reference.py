"""docs/cli.md, made from the parsers: `make docs`, or `python -m fmnist_edge.commands.reference docs/cli.md`."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from fmnist_edge.commands.command import Command, commands
from fmnist_edge.commands.manual import (
    ENVIRONMENT,
    PROGRAM,
    TITLE,
    Formatter,
    arguments_of,
    exit_codes,
    filled,
    grouped,
    paragraphs,
    parser_of,
)

__all__ = ["text"]

WIDTH = 120
NOTE = "<!-- Written by `make docs` from fmnist_edge/commands. Edit those files, then run it again. -->"
CODE = re.compile(r"(`[^`]*`)")


def text() -> str:
    """The whole reference, as Markdown."""
    found = commands()
    parts = ["# Command line", NOTE, filled(TITLE, WIDTH), *contents(found), "## All commands"]
    parts += [fenced(exit_codes("a gate failed; each command says which").partition("\n")[2])]
    parts += ["Environment variables:", "\n".join(item(f"`{name}`", meaning) for name, meaning in ENVIRONMENT)]
    for title, members in grouped(found):
        parts += [f"## {title}", *(part for command in members for part in section(command))]
    return "\n\n".join(parts) + "\n"


def contents(found: list[Command]) -> list[str]:
    lines = []
    for title, members in grouped(found):
        lines += [f"- {title}"]
        lines += [f"  - [`{command.name}`](#{PROGRAM}-{command.name}): {command.help.summary}" for command in members]
    return ["\n".join(lines)]


def section(command: Command) -> list[str]:
    """One command: synopsis, description, arguments by group, examples, exit code 1."""
    made, page = parser_of(command), command.help
    parts = [f"### {PROGRAM} {command.name}", fenced(str(made.usage))]
    parts += [filled(escaped(paragraph), WIDTH) for paragraph in paragraphs(page.description)]
    parts += [f"Needs `pip install '{PROGRAM}[{page.extra}]'`."] if page.extra else []
    formatter = Formatter(made.prog)
    for title, actions in arguments_of(made):
        if title != "Help":
            parts += [f"**{title}**", "\n".join(argument(formatter, action) for action in actions)]
    lines = [f"# {what}\n{PROGRAM} {line}" for what, line in page.examples]
    parts += ["**Examples**", fenced("\n".join(lines), "sh")]
    return [*parts, f"Exit code 1: {escaped(page.gate)}."] if page.gate else parts


def argument(formatter: Formatter, action: argparse.Action) -> str:
    name = formatter._format_action_invocation(action)
    return item(f"`{name}`", formatter._expand_help(action))


def item(name: str, meaning: str) -> str:
    return filled(f"- {name}: {escaped(meaning)}", WIDTH)


def escaped(plain: str) -> str:
    """Text whose < and * Markdown shows, rather than take for more; code in backticks stays as it is."""
    parts = CODE.split(plain)
    return "".join(part if part.startswith("`") else re.sub(r"([<*])", r"\\\1", part) for part in parts)


def fenced(code: str, language: str = "") -> str:
    return f"```{language}\n{code}\n```"


if __name__ == "__main__":
    from fmnist_edge.files import write_atomic

    write_atomic(Path(sys.argv[1]), text())
