"""Text and numbers of a results file, which may come from anywhere, made fit to be shown."""

from __future__ import annotations

__all__ = ["number", "perhaps", "perhaps_words", "words"]

MOST = 1e18


def words(value: object) -> str:
    """One line that prints: a terminal's escape sequences, lone surrogates and what turns the direction of writing
    around are replaced.

    >>> words("a\\n b\\x1b[31m")
    'a b\ufffd[31m'
    """
    plain = " ".join(str(value).split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in plain)


def perhaps_words(value: object) -> str | None:
    return None if value is None else words(value)


def number(value: object) -> float:
    """`value`, a number from 0 to 1e18, which is more than any figure of a results file and leaves room to compute
    with. Raises ValueError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise ValueError(f"{words(value)[:40]!r} where a number of at least 0 belongs")
    return value


def perhaps(value: object) -> float | None:
    return None if value is None else number(value)
