"""Fetch the JavaScript that draws the report's charts from npm, into fmnist_edge/report/assets/vendor/.

    python scripts/get_vega.py

It needs npm and a network. It writes the minified files as their authors publish them, LICENSES.txt with the licence of
each package inside them, and README.md with versions and hashes. Unless VERSIONS changes, running it again changes
nothing.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).parents[1] / "fmnist_edge/report/assets/vendor"
# Vega-Lite must read Altair's output: it needs the major version of altair.SCHEMA_VERSION, and must not be older.
VERSIONS = {"vega": "6.4.0", "vega-lite": "6.5.0", "vega-embed": "7.3.0"}
# Dependencies of the packages' command-line tools, which the minified files do not contain.
NOT_INSIDE = {"yargs", "commander", "iconv-lite", "rw"}
README = """\
# Vega, as published on npm

Not our code: the files that draw the charts of the report page. The page contains them, so that it loads nothing.
`python scripts/get_vega.py` fetches them again and writes this file. vega-embed contains vega-interpreter
{interpreter}, which evaluates chart expressions without `eval`. All of these are BSD-3-Clause; LICENSES.txt has the
licence of everything inside them.

| file | npm package | SHA-256 |
| ---- | ----------- | ------- |
{rows}
"""


def install(folder: Path) -> None:
    """Install the packages. npm checks each one against its published hash."""
    names = [f"{name}@{version}" for name, version in VERSIONS.items()]
    command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(folder), *names]
    subprocess.run(command, check=True)


def package(modules: Path, name: str) -> dict[str, Any]:
    return json.loads((modules / name / "package.json").read_text(encoding="utf-8"))


def inside(modules: Path) -> list[str]:
    """The packages that the minified files contain: those in VERSIONS and their dependencies."""
    found: set[str] = set()
    waiting = list(VERSIONS)
    while waiting:
        name = waiting.pop()
        if name not in found | NOT_INSIDE and not name.startswith("@types/"):
            found.add(name)
            waiting += package(modules, name).get("dependencies", {})
    return sorted(found)


def licence_of(folder: Path) -> str:
    texts = sorted(path for path in folder.iterdir() if path.name.lower().startswith(("licen", "copying")))
    text = texts[0].read_text(encoding="utf-8") if texts else "(The package has no file with its licence.)"
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def licences(modules: Path) -> str:
    """Each licence once, below the names of its packages. Versions are left out: npm may choose newer ones tomorrow,
    although the minified files stay the same."""
    names: dict[str, list[str]] = {}
    for name in inside(modules):
        names.setdefault(licence_of(modules / name), []).append(f"{name}: {package(modules, name)['license']}")
    line = "=" * 80
    return f"\n\n{line}\n\n".join("\n".join([*found, "", text]) for text, found in names.items()) + "\n"


def rows(modules: Path) -> str:
    lines = []
    for name, version in VERSIONS.items():
        content = (modules / name / "build" / f"{name}.min.js").read_bytes()
        (VENDOR / f"{name}.min.js").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        lines.append(f"| {name}.min.js | {name}@{version} | {digest} |")
    return "\n".join(lines)


def main() -> None:
    VENDOR.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        install(Path(folder))
        modules = Path(folder) / "node_modules"
        interpreter = package(modules, "vega-interpreter")["version"]
        (VENDOR / "README.md").write_text(README.format(rows=rows(modules), interpreter=interpreter), encoding="utf-8")
        (VENDOR / "LICENSES.txt").write_text(licences(modules), encoding="utf-8")


if __name__ == "__main__":
    main()
