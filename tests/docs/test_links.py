"""Every relative link and image in our Markdown leads to a file, and every #anchor to a heading."""

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest
from support import ROOT

FENCED = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
SCHEME = re.compile(r"^[a-z]+:")


def pages() -> list[Path]:
    """What git has or would add, so that nothing below build/ or .venv/ is looked at."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    found = (
        listed.stdout.split("\n") if listed.returncode == 0 else map(str, (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))
    )
    return sorted(ROOT / name for name in found if name and (ROOT / name).is_file())


def prose(page: Path) -> str:
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    plain = (re.sub(r"[^\w\- ]", "", heading.strip().lower()) for heading in HEADING.findall(prose(page)))
    return {heading.replace(" ", "-") for heading in plain}


def broken(page: Path) -> list[str]:
    """The links of `page` that lead nowhere."""
    wrong = []
    for link in LINK.findall(CODE.sub("", prose(page))):
        if SCHEME.match(link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (anchor and target.suffix == ".md" and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_leads_somewhere(page):
    assert broken(page) == []


def test_every_document_is_in_the_index():
    linked = {
        (ROOT / "docs" / link.partition("#")[0]).resolve() for link in LINK.findall(prose(ROOT / "docs/index.md"))
    }
    assert set((ROOT / "docs").glob("*.md")) - linked == {ROOT / "docs/index.md"}


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "there.md").write_text("# A heading: with `code`\n")
    page = tmp_path / "page.md"
    page.write_text(
        "[a](there.md) [b](there.md#a-heading-with-code) [c](https://example.org/x) `[d](in-code.md)`\n"
        "```\n[e](in-a-block.md)\n```\n[f](missing.md) ![g](missing.png) [h](there.md#no-heading) [i](#none)\n"
    )
    assert broken(page) == ["missing.md", "missing.png", "there.md#no-heading", "#none"]


def test_the_readme_is_one_page():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150
