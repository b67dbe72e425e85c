"""Everything that make and CI install is locked with hashes, and what is locked is listed with its licence."""

import json
import re
import subprocess
import sys
import threading
import tomllib
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support import ROOT

LOCKS = sorted(ROOT.glob("requirements*.lock"))
sys.path.insert(0, str(ROOT / "scripts"))
import licences  # noqa: E402
import sbom  # noqa: E402


@pytest.mark.parametrize("path", LOCKS, ids=lambda path: path.name)
def test_every_requirement_has_a_version_and_hashes(path):
    requirements = re.split(r"\n(?=\S)", path.read_text().strip())
    assert requirements
    for requirement in requirements:
        assert re.match(r"[\w.-]+==\S+", requirement), requirement
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", requirement), requirement


def test_make_and_scripts_install_nothing_else():
    """Beside what is locked, only our own: the project as it stands here, and its wheel."""
    own = ("--no-build-isolation --editable .", "dist/fmnist_edge_runtime-", "--no-deps")
    installs = 0
    for path in (ROOT / "Makefile", ROOT / ".ci/run", *sorted((ROOT / "scripts").glob("*.sh"))):
        for line in re.sub(r"\\\n", " ", path.read_text()).splitlines():
            if re.search(r"pip install|\$\(INSTALL\)", line) and "@echo" not in line:
                installs += 1
                assert "--require-hashes" in line or "$(INSTALL)" in line or any(part in line for part in own), line
    assert installs >= 6


def test_the_locks_hold_what_the_project_asks_for():
    packaging = pytest.importorskip("packaging.requirements")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras, groups = project["project"]["optional-dependencies"], project["dependency-groups"]

    def asked(names, table):
        for text in names:
            requirement = packaging.Requirement(text)
            if requirement.name == "fmnist-edge":
                yield from asked([item for extra in requirement.extras for item in table[extra]], table)
            else:
                yield requirement

    wanted = {
        "requirements.lock": [*asked(extras["dev"], extras), packaging.Requirement("numpy>=1.24")],
        "requirements-runtime.lock": list(asked([*extras["litert"], *extras["onnx"]], extras)),
        **{f"requirements-{name}.lock": list(asked(group, groups)) for name, group in groups.items()},
    }
    assert set(wanted) == {path.name for path in LOCKS}
    for name, requirements in wanted.items():
        locked = licences.locked(ROOT / name)
        for requirement in requirements:
            if requirement.marker and not requirement.marker.evaluate({"python_version": "3.11", "extra": ""}):
                continue
            version = locked.get(licences.normalized(requirement.name))
            assert version and requirement.specifier.contains(version, prereleases=True), f"{name}: {requirement}"


def test_devices_get_the_versions_that_are_tested():
    whole = licences.locked(ROOT / "requirements.lock")
    assert licences.locked(ROOT / "requirements-runtime.lock").items() <= whole.items()


def test_the_page_of_licences_is_of_what_is_locked():
    rows = re.findall(r"^\| ([\w.-]+) \| (\S+) \| (.+?) \|", (ROOT / "docs/licences.md").read_text(), re.MULTILINE)
    listed = {name: version for name, version, _ in rows if name != "package" and not name.startswith("-")}
    assert listed == licences.locked(ROOT / "requirements.lock"), "run `make licences`"
    assert not [row for row in rows if "unknown" in row[2].lower()]


ENVIRONMENT = {
    "metadata": {"tools": {}},
    "components": [
        {"type": "library", "bom-ref": f"{name}==1", "name": name, "version": "1",
         "externalReferences": [{"type": "distribution", "url": "file:///home/somebody/x.whl"}]}
        for name in ("numpy", "Py_Needed", "engine", "pytest")
    ],
    "dependencies": [
        {"ref": "engine==1", "dependsOn": ["Py_Needed==1", "numpy==1"]}, {"ref": "pytest==1"}, {"ref": "root"},
    ],
}  # fmt: skip


def test_a_bill_lists_what_the_wheel_can_bring_and_no_more(tmp_path):
    wheel = tmp_path / "mine-1.0-py3-none-any.whl"
    metadata = (
        "Metadata-Version: 2.4\nName: mine\nVersion: 1.0\nSummary: s\nLicense-Expression: Apache-2.0\n"
        "Requires-Dist: numpy>=1\nRequires-Dist: engine; extra == 'fast'\nRequires-Dist: rare>2; extra == 'rare'\n"
        "Requires-Dist: mine[fast]; extra == 'all'\nRequires-Dist: pytest; extra == 'dev'\n\n"
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("mine-1.0.dist-info/METADATA", metadata)
    bill = sbom.bill(wheel, ENVIRONMENT)
    scopes = {entry["name"]: entry["scope"] for entry in bill["components"]}
    assert scopes == {"numpy": "required", "engine": "optional", "Py_Needed": "optional", "rare": "optional"}
    assert bill["dependencies"][0]["dependsOn"] == ["engine==1", "numpy==1", "rare"]
    assert {"ref": "engine==1", "dependsOn": ["Py_Needed==1", "numpy==1"]} in bill["dependencies"]
    assert "somebody" not in json.dumps(bill) and json.dumps(sbom.bill(wheel, ENVIRONMENT)) == json.dumps(bill)


@contextmanager
def osv(answer: dict):
    """A service of vulnerabilities that knows one answer."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


VULNERABLE = {
    "vulns": [{"id": "GHSA-0", "modified": "2026-01-01T00:00:00Z", "summary": "bad", "affected": [
        {"package": {"name": "numpy", "ecosystem": "PyPI"}, "ranges": [
            {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99"}]}]}]}]
}  # fmt: skip


@pytest.mark.parametrize(("answer", "code"), [({}, 0), (VULNERABLE, 1)])
def test_an_audit_finds_what_is_known(tmp_path, answer, code):
    pytest.importorskip("pip_audit", reason="not installed: pip-audit, see requirements-release.lock")
    (tmp_path / "lock").write_text(f"numpy==2.0.0 --hash=sha256:{'0' * 64}\n")
    with osv(answer) as url:
        done = audit(tmp_path / "lock", "--service", "osv", "--osv-url", url)
    assert done.returncode == code, done.stdout + done.stderr
    assert ("GHSA-0, fixed in 99" in done.stdout) is bool(code)
    assert f"1 packages audited, {code} vulnerabilities" in done.stdout


def test_an_audit_that_nobody_answers_is_no_pass(tmp_path):
    """Neither without pip-audit nor without a network."""
    (tmp_path / "lock").write_text(f"numpy==2.0.0 --hash=sha256:{'0' * 64}\n")
    done = audit(tmp_path / "lock", "--service", "osv", "--osv-url", "http://127.0.0.1:9")
    assert done.returncode == 3 and "audit unavailable (" in done.stderr
    assert done.stderr.count("\n") == 1


def audit(lock: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts/audit.py"), str(lock), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)
