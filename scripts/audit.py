"""List known vulnerabilities of the packages in lock files, using pip-audit. Run by `make audit`.

    python scripts/audit.py requirements.lock ... [--service osv]

Exit code 1 when there are vulnerabilities. Exit code 3 when a package could not be looked up, because it may have some.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from typing import Any

TIMEOUT_S = 600


def audited(lock: str, more: list[str]) -> tuple[list[dict[str, Any]], str]:
    """pip-audit's entries for the packages of a lock file, and the reason if there are none."""
    command = [sys.executable, "-m", "pip_audit", "--format", "json", "--progress-spinner", "off", "--desc", "off"]
    command += ["--require-hashes", "--disable-pip", "--requirement", lock, *more]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        return [], f"no answer within {TIMEOUT_S} s"
    try:
        return json.loads(done.stdout)["dependencies"], ""
    except (ValueError, KeyError):
        said = done.stderr.strip().splitlines()
        return [], said[-1][:300] if said else f"pip-audit ended with code {done.returncode}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("locks", nargs="+", metavar="LOCK")
    parser.add_argument(
        "--service", default="pypi", choices=["pypi", "osv"], help="database of vulnerabilities (default pypi)"
    )
    parser.add_argument("--osv-url", metavar="URL", help="address of the osv service, if not its own")
    options = parser.parse_args()
    more = ["--vulnerability-service", options.service]
    more += ["--osv-url", options.osv_url] if options.osv_url else []
    code = 0
    for lock in options.locks:
        entries, reason = audited(lock, more)
        skipped = [entry for entry in entries if "skip_reason" in entry]
        found = [(entry, item) for entry in entries for item in entry.get("vulns", ())]
        for entry, item in found:
            fixed = ", ".join(item["fix_versions"]) or "nowhere yet"
            print(f"{lock}: {entry['name']} {entry['version']}: {item['id']}, fixed in {fixed}")
        print(f"{lock}: {len(entries) - len(skipped)} packages audited, {len(found)} vulnerabilities")
        if skipped or reason:
            why = reason or f"{len(skipped)} of {len(entries)} not found, such as: {skipped[0]['skip_reason']}"
            print(f"{lock}: audit unavailable ({why})", file=sys.stderr)
        code = 1 if found or code == 1 else 3 if skipped or reason else code
    return code


if __name__ == "__main__":
    sys.exit(main())
