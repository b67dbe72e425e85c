"""Write the licences of all packages in requirements.lock as the table in docs/licences.md. Run by `make licences`.

    python scripts/licences.py PYTHON

PYTHON is the interpreter of an environment made from the lock file. pip-licenses reads the packages installed there.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/licences.md"
BEGIN, END = "<!-- licences -->", "<!-- /licences -->"
# Licences that the package's metadata does not give, taken from its source.
READ = {"namex": "Apache-2.0", "tflite-micro": "Apache-2.0"}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(path: Path) -> dict[str, str]:
    """Normalised name -> version, from a lock file."""
    pairs = re.findall(r"^([\w.-]+)==([^\s;]+)", path.read_text(), re.MULTILINE)
    return {normalized(name): version for name, version in pairs}


def said_by(module: str, *arguments: str) -> Any:
    """Run a tool of this environment and return the JSON that it prints."""
    command = [sys.executable, "-m", module, *arguments]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def table(python: str) -> str:
    """Markdown table with a row per package of the lock file. Raises ValueError when a package is missing or its
    licence is unknown."""
    installed = said_by("piplicenses", "--python", python, "--format", "json", "--with-urls", "--with-system")
    found = {normalized(entry["Name"]): entry for entry in installed}
    lines = ["| package | version | licence | home |", "| ------- | ------- | ------- | ---- |"]
    for name, version in sorted(locked(ROOT / "requirements.lock").items()):
        entry = found.get(name, {"Version": None})
        if entry["Version"] != version:
            raise ValueError(f"{name} is {entry['Version']} in {python}; expected {version}, as in requirements.lock")
        licence = READ.get(name, entry["License"])
        if licence == "UNKNOWN":
            raise ValueError(f"{name}: its metadata has no licence; find it in its source and add it in {__file__}")
        lines.append(f"| {name} | {version} | {licence} | {entry['URL'] if entry['URL'] != 'UNKNOWN' else '–'} |")
    return "\n".join(lines)


def main() -> None:
    before, _, rest = PAGE.read_text().partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text(f"{before}{BEGIN}\n{table(sys.argv[1])}\n{END}{after}")


if __name__ == "__main__":
    main()
