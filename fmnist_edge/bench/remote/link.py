"""One command on another machine by the system's own ssh: its config, its keys, its known hosts; nothing is asked.

What goes wrong with the connection is one line, and told apart by whether trying again may help.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from fmnist_edge.bench.remote.wire import printable
from fmnist_edge.errors import InputError, UnavailableError, UnreachableError, one_line
from fmnist_edge.worker.temporary import temporary_stream

__all__ = ["Answer", "Link"]

OPTIONS = {
    "BatchMode": "yes",  # a password or an unknown host is an error, no prompt to wait at
    "ConnectTimeout": "15",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}
FAILED = 255  # ssh's own exit code, whatever failed
PIECE = 64 * 1024

# What ssh says -> what it means, and whether it may pass by itself. In this order: a changed key is also a key that
# was not verified.
MEANINGS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed: another machine answers, or it was set up anew; if you know that it was, run: "
        "ssh-keygen -R {host}",
        False,
    ),
    ("Host key verification failed", "its host key is not known here yet; log in once by hand: ssh {host}", False),
    ("Permission denied", "it refuses the login, and no password is asked here; run: ssh-copy-id {host}", False),
    ("Too many authentication failures", "it refuses the login after too many keys; name one in ~/.ssh/config", False),
    ("Could not resolve hostname", "no such host is known", True),
    ("Connection refused", "it refuses the connection; is sshd running on it?", True),
    ("timed out", "it does not answer", True),
    ("No route to host", "there is no way to it", True),
    ("Network is unreachable", "there is no network", True),
)


@dataclass(frozen=True)
class Answer:
    """How a remote command ended: its exit code, its lines of stdout, and its stderr."""

    code: int
    lines: list[str]
    error: str


class Link:
    """A host as `ssh` takes it: a name of ~/.ssh/config, user@host or ssh://user@host:port.

    `options`: more of ssh's own, such as ("-F", "config").
    """

    def __init__(self, host: str, options: Sequence[str] = ()) -> None:
        if not host or any(part.startswith("-") for part in re.split(r"@|//", host)) or not host.isprintable():
            raise InputError(f"host is {host!r}; expected a name, user@host or ssh://user@host:port, not an option")
        if re.search(r"\s", host):
            raise InputError(f"host is {host!r}; expected one name, without spaces")
        self.host, self.options = host, tuple(options)

    def command(self, script: str) -> list[str]:
        """`script` is run by the device's sh, whatever shell its user has."""
        ours = [part for name, value in OPTIONS.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", *ours, *self.options, "--", self.host, f"sh -c {shlex.quote(script)}"]

    def run(
        self,
        script: str,
        say: Callable[[str], object] = lambda line: None,
        content: bytes = b"",
        sent: Callable[[int], object] = lambda count: None,
    ) -> Answer:
        """Run `script` with `content` as its stdin. `say` gets each line of stdout as it comes, `sent` the bytes sent.

        Raises UnreachableError when the connection cannot be made or breaks, UnavailableError when it will not be made
        without someone's doing.
        """
        lines: list[str] = []
        with temporary_stream() as errors:
            try:
                child = subprocess.Popen(
                    self.command(script),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,  # Ctrl-C is ours, and ssh finds no terminal to ask at
                )
            except FileNotFoundError:
                raise UnavailableError("ssh is not installed; run: sudo apt install openssh-client") from None
            with child:
                try:
                    feed(child.stdin, content, sent)
                    for line in child.stdout or ():
                        lines.append(printable(line.decode(errors="replace").rstrip("\r\n")))
                        say(lines[-1])
                    code = child.wait()
                except BaseException:
                    child.kill()
                    raise
            errors.seek(0)
            said = errors.read().decode(errors="replace")
        if code == FAILED or code < 0:
            raise self.failure(said)
        return Answer(code, lines, said)

    def failure(self, said: str) -> UnavailableError:
        """What ssh's stderr means."""
        for sign, meaning, is_passing in MEANINGS:
            if sign in said:
                kind = UnreachableError if is_passing else UnavailableError
                return kind(
                    f"{self.host}: {meaning.format(host=shlex.quote(self.host))} (ssh: {last_line(said, sign)})"
                )
        return UnreachableError(f"{self.host}: the connection was lost (ssh: {last_line(said)})")


def feed(stdin: IO[bytes] | None, content: bytes, sent: Callable[[int], object]) -> None:
    """A pipe that breaks is no error here: ssh then says why."""
    if stdin is None:
        return
    try:
        with stdin:
            for start in range(0, len(content), PIECE):
                stdin.write(content[start : start + PIECE])
                sent(min(start + PIECE, len(content)))
    except BrokenPipeError:
        pass


def last_line(said: str, sign: str = "") -> str:
    found = [line for line in said.splitlines() if line.strip() and sign in line]
    plain = printable(found[-1]).strip("@ ").removeprefix("ssh: ") if found else "nothing"  # "@": of its boxed warnings
    return one_line(ValueError(plain), 160)
