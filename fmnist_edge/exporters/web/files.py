"""The files that are the same in every folder of the web form."""

from __future__ import annotations

from pathlib import Path

__all__ = ["page_files", "template"]

TEMPLATES = Path(__file__).parent / "templates"
PAGE = (
    "answers.js", "classifier.d.ts", "classifier.js", "errors.js", "folder.js", "icon.svg", "images.js", "index.html",
    "package.json", "page.css", "page.js", "service-worker.js", "worker.js",
)  # fmt: skip


def template(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def page_files() -> dict[str, str]:
    """File name -> text: the module, its types, and the page with its scripts."""
    return {name: template(name) for name in PAGE}
