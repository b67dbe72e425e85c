"""The page of the web form in a browser."""

from __future__ import annotations

from typing import Any

from support.browser import Page

__all__ = ["PROVEN", "opened", "text"]

PROVEN = "document.getElementById('proof').matches('.good, .bad')"


def opened(chromium: Any, url: str, **form: Any) -> Page:
    """The page at `url`, after it has replayed the golden vectors and photos, or said why not."""
    page = chromium.page(**form)
    page.open(url)
    page.wait(PROVEN)
    return page


def text(page: Page, name: str) -> str:
    """Of the element with the id `name`."""
    return str(page.run(f"document.getElementById('{name}').textContent"))
