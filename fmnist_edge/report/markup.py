"""HTML and SVG that cannot be broken out of: text is escaped unless it was made here."""

from __future__ import annotations

import html
import json
from typing import Any

__all__ = ["Markup", "data", "escaped", "join", "tag"]

VOID = frozenset(("br", "input", "link", "meta"))
Child = object  # Markup as it is, text and numbers escaped, None left out


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, *children: Child, **attributes: Child) -> Markup:
    """An element. `class_` is the attribute class, `data_row` data-row; True is an attribute without a value, None and
    False none at all.

    >>> tag("p", "a < b", tag("br"), class_="wide", hidden=True)
    '<p class="wide" hidden>a &lt; b<br></p>'
    """
    said = "".join(map(attribute, attributes.items()))
    return Markup(f"<{name}{said}>" if name in VOID else f"<{name}{said}>{join(*children)}</{name}>")


def attribute(item: tuple[str, Child]) -> str:
    name, value = item[0].rstrip("_").replace("_", "-"), item[1]
    if value is None or value is False:
        return ""
    return f" {name}" if value is True else f' {name}="{escaped(value)}"'


def join(*children: Child) -> Markup:
    return Markup("".join(child if isinstance(child, Markup) else escaped(child) for child in children))


def escaped(value: Child) -> str:
    if value is None:
        return ""
    return html.escape(f"{value:.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value))


def data(value: Any) -> Markup:
    r"""JSON for a `<script>` of data, in which nothing ends that script or begins a comment.

    >>> data("</script>")
    '"\\u003c/script\\u003e"'
    """
    text = json.dumps(value, allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))
