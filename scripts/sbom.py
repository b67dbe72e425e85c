"""Write CycloneDX bills of materials for wheels, using cyclonedx-py. Run by `make release`.

    python scripts/sbom.py PYTHON FOLDER WHEEL...    writes FOLDER/<name>-<version>.cdx.json for each wheel

PYTHON is the interpreter of an environment made from requirements.lock. From it come the versions that the wheels were
tested with, their licences and their dependencies. NumPy has scope `required`, packages of the extras have `optional`.
The same wheel and environment give the same bytes.
"""

from __future__ import annotations

import email.parser
import hashlib
import json
import re
import sys
import zipfile
from pathlib import Path
from typing import Any

from licences import normalized, said_by

SPEC = "1.6"
Json = dict[str, Any]


def environment(python: str) -> Json:
    """The bill of materials that cyclonedx-py makes of an environment."""
    return said_by("cyclonedx_py", "environment", "--output-reproducible", "--spec-version", SPEC, python)


def wanted(metadata: Any) -> tuple[set[str], set[str]]:
    """(required, optional) names of the packages in a wheel's metadata, without those of the extra `dev`."""
    own, required, optional = normalized(metadata["Name"]), set(), set()
    for line in metadata.get_all("Requires-Dist") or ():
        name = normalized(re.match(r"[\w.-]+", line)[0])  # type: ignore[index]
        if name != own and not re.search(r"extra == ['\"]dev['\"]", line):
            (optional if "extra ==" in line else required).add(name)
    return required, optional - required


def reachable(names: set[str], needs: dict[str, list[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += needs.get(name, [])
    return found


def component(entry: Json, scope: str) -> Json:
    """A component without properties and without links to local files."""
    links = [link for link in entry.get("externalReferences", ()) if not link["url"].startswith("file:")]
    rest = {key: value for key, value in entry.items() if key not in ("externalReferences", "properties")}
    return {**rest, "scope": scope, **({"externalReferences": links} if links else {})}


def bill(wheel: Path, whole: Json) -> Json:
    """The bill of materials of a wheel, taken from that of the whole environment."""
    with zipfile.ZipFile(wheel) as archive:
        (path,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = email.parser.Parser().parsestr(archive.read(path).decode())
    installed = {normalized(entry["name"]): entry for entry in whole["components"]}
    name_of = {entry["bom-ref"]: name for name, entry in installed.items()}
    graph = {
        name_of[item["ref"]]: [name_of[ref] for ref in item.get("dependsOn", ()) if ref in name_of]
        for item in whole["dependencies"]
        if item["ref"] in name_of
    }
    required, optional = wanted(metadata)
    needed = reachable(required, graph)
    names = sorted(needed | reachable(optional, graph))
    known = [name for name in names if name in installed]
    root = f"pkg:pypi/{metadata['Name']}@{metadata['Version']}"
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPEC}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPEC,
        "version": 1,
        "metadata": {
            "tools": whole["metadata"]["tools"],
            "component": {
                "type": "library",
                "bom-ref": root,
                "name": metadata["Name"],
                "version": metadata["Version"],
                "description": metadata["Summary"],
                "licenses": [{"license": {"id": metadata["License-Expression"]}}],
                "purl": root,
                "hashes": [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}],
            },
        },
        "components": [component(installed[name], "required" if name in needed else "optional") for name in known]
        + [
            {"type": "library", "bom-ref": name, "name": name, "scope": "optional"}
            for name in names
            if name not in known
        ],
        "dependencies": [
            {"ref": root, "dependsOn": sorted(ref(name, installed) for name in required | optional)},
            *(
                {
                    "ref": ref(name, installed),
                    "dependsOn": sorted(ref(other, installed) for other in graph.get(name, ())),
                }
                for name in names
            ),
        ],
    }


def ref(name: str, installed: dict[str, Json]) -> str:
    return installed[name]["bom-ref"] if name in installed else name


def main(python: str, folder: str, *wheels: str) -> None:
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator

    whole = environment(python)
    for wheel in map(Path, wheels):
        text = json.dumps(bill(wheel, whole), indent=1) + "\n"
        wrong = JsonStrictValidator(SchemaVersion.from_version(SPEC)).validate_str(text)
        if wrong:
            raise ValueError(f"the SBOM of {wheel.name} is not valid: {wrong}")
        name = "-".join(wheel.name.split("-")[:2])
        (Path(folder) / f"{name}.cdx.json").write_text(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
