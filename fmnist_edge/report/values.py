"""Check text and numbers of a results file, and make them safe to show. The file may come from anywhere."""

from __future__ import annotations

__all__ = ["clean_text", "number", "optional_number", "optional_text"]

MOST = 1e18


def clean_text(value: object) -> str:
    """One printable line. Terminal escape sequences, lone surrogates and marks that reverse the writing direction are
    replaced.

    >>> clean_text("a\\n b\\x1b[31m")
    'a b\ufffd[31m'
    """
    plain = " ".join(str(value).split())
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in plain)


def optional_text(value: object) -> str | None:
    return None if value is None else clean_text(value)


def number(value: object) -> float:
    """`value`, if it is a number from 0 to 1e18; raises ValueError otherwise.

    Figures of a results file are smaller than that, and computing with such numbers does not overflow.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST:
        raise ValueError(f"found {clean_text(value)[:40]!r}, expected a number of at least 0")
    return value


def optional_number(value: object) -> float | None:
    return None if value is None else number(value)
