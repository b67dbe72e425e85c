"""A "device" on the loopback: a real sshd, unprivileged port, keys and folders of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from fmnist_edge.benchmark.remote.detached import LOCK, read_json
from support import ROOT

UNPACKED = ROOT / "build/sshd"  # by scripts/get-sshd.sh
# Root's sshd wants a user and a folder for those who are not logged in yet; it gets them in a namespace of its own.
AS_ROOT = """
set -e
mount -t tmpfs tmpfs /run
mkdir /run/sshd
if ! grep -q ^sshd: /etc/passwd; then
    (cat /etc/passwd; echo sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin) >"$1/passwd"
    mount --bind "$1/passwd" /etc/passwd
fi
shift
exec "$@"
"""


def sshd() -> str:
    """Skips the test, saying why, where there is none."""
    found = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin") or shutil.which(UNPACKED / "usr/sbin/sshd")
    if not found or not shutil.which("ssh"):
        pytest.skip("no sshd or no ssh here; scripts/get-sshd.sh gets the former")
    return found


class Board:
    """A device that `ssh -F config board` reaches. `path` is its PATH, `more` other variables of its logins."""

    def __init__(self, folder: Path, path: str, more: dict[str, str] | None = None) -> None:
        self.folder, self.cache = folder, folder / "it's a;$(cache)"
        self.config, self.known_hosts = folder / "config", folder / "known_hosts"
        self.server: subprocess.Popen[bytes] | None = None
        self.variables = {"PATH": path, "XDG_CACHE_HOME": str(self.cache), "HOME": str(folder), **(more or {})}
        (folder / ".bashrc").write_text('echo "welcome to {}"; echo "{\\"hello\\": 1}"\n')
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        for name in ("host_key", "user_key"):
            self.make_key(name)
        shutil.copy(folder / "user_key.pub", folder / "authorized_keys")
        self.trust()
        self.configure()
        self.start()

    @property
    def base(self) -> Path:
        return self.cache / "fmnist-edge"

    def make_key(self, name: str) -> None:
        for suffix in ("", ".pub"):
            (self.folder / (name + suffix)).unlink(missing_ok=True)
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)

    def trust(self) -> None:
        key = (self.folder / "host_key.pub").read_text()
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {key}")

    def configure(self, **changes: object) -> None:
        """The client's config, and the server's."""
        client = {
            "HostName": "127.0.0.1", "Port": self.port, "User": getpass.getuser(), "IdentitiesOnly": "yes",
            "IdentityFile": self.folder / "user_key", "UserKnownHostsFile": self.known_hosts,
            "GlobalKnownHostsFile": "/dev/null", "StrictHostKeyChecking": "yes", **changes,
        }  # fmt: skip
        self.config.write_text("Host board\n" + "".join(f"  {key} {value}\n" for key, value in client.items()))
        variables = " ".join(f'"{key}={value}"' for key, value in self.variables.items())
        server = {
            "Port": self.port, "ListenAddress": "127.0.0.1", "HostKey": self.folder / "host_key", "PidFile": "none",
            "AuthorizedKeysFile": self.folder / "authorized_keys", "StrictModes": "no", "UsePAM": "no",
            "PasswordAuthentication": "no", "KbdInteractiveAuthentication": "no",
            "PermitRootLogin": "prohibit-password", "SetEnv": variables,
        }  # fmt: skip
        (self.folder / "sshd_config").write_text("".join(f"{key} {value}\n" for key, value in server.items()))

    def start(self) -> None:
        command = [sshd(), "-D", "-e", "-f", str(self.folder / "sshd_config")]
        if os.getuid() == 0 and not Path("/run/sshd").is_dir():
            command = ["unshare", "--mount", "sh", "-c", AS_ROOT, "sh", str(self.folder), *command]
        libraries = {"LD_LIBRARY_PATH": ":".join(map(str, UNPACKED.glob("usr/lib/*-linux-gnu")))}
        with open(self.folder / "sshd.log", "ab") as log:
            self.server = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **libraries},
            )  # fmt: skip
        for _ in range(600):
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.server.poll() is not None:
                break
            time.sleep(0.1)
        pytest.skip(f"sshd does not start here: {(self.folder / 'sshd.log').read_text()[-300:]}")

    def stop(self) -> None:
        """The server, and with it every connection."""
        if self.server is not None:
            os.killpg(self.server.pid, signal.SIGKILL)
            self.server.wait()
            self.server = None
        self.cut()

    def cut(self) -> int:
        """End every ssh that talks to this board; how many there were."""
        return sum(end(pid) for pid in processes(str(self.config)))

    def owner(self) -> int:
        """The process that measures."""
        return read_json(self.base / "bundles" / LOCK).get("pid", 0)

    def close(self) -> None:
        self.stop()
        if self.owner() in processes("run.py"):
            end(self.owner())


def processes(word: str) -> list[int]:
    """Those whose command line has `word`, our own left out."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if word.encode() in file.read_bytes() and int(file.parent.name) != os.getpid():
                found.append(int(file.parent.name))
        except OSError:
            continue
    return found


def end(pid: int) -> int:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return 0
    return 1
