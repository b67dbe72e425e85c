"""Run one command on another machine through the system's ssh, with its config, keys and known hosts, never prompting.

A connection error becomes one line. Its type says whether another try may help.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import IO

from fmnist_edge.benchmark.remote.wire import printable
from fmnist_edge.errors import InputError, UnavailableError, UnreachableError, one_line
from fmnist_edge.worker.temporary import temporary_stream

__all__ = ["Answer", "Link"]

OPTIONS = {
    "BatchMode": "yes",  # a password prompt or an unknown host becomes an error
    "ConnectTimeout": "15",
    "ServerAliveInterval": "5",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    "RequestTTY": "no",
}
FAILED = 255  # ssh's exit code for all of its own errors
PIECE = 64 * 1024

# (text in ssh's stderr, meaning, whether it may go away by itself). The first match counts: for a changed key ssh also
# prints that verification failed.
MEANINGS = (
    (
        "REMOTE HOST IDENTIFICATION HAS CHANGED",
        "its host key has changed: either another machine answers, or it was set up again; if you are sure that it was "
        "set up again, run: ssh-keygen -R {host}",
        False,
    ),
    ("Host key verification failed", "its host key is not known here yet; log in once by hand: ssh {host}", False),
    ("Permission denied", "it refuses the login, and passwords are not supported; run: ssh-copy-id {host}", False),
    ("Too many authentication failures", "it refuses the login after too many keys; name one in ~/.ssh/config", False),
    ("Could not resolve hostname", "the host name is not known", True),
    ("Connection refused", "it refuses the connection; is sshd running on it?", True),
    ("timed out", "it does not answer", True),
    ("No route to host", "there is no route to it", True),
    ("Network is unreachable", "there is no network", True),
)


@dataclass(frozen=True)
class Answer:
    """A remote command's exit code, its lines of stdout, and its stderr."""

    code: int
    lines: list[str]
    error: str


class Link:
    """A host in a form that `ssh` accepts: a name from ~/.ssh/config, user@host or ssh://user@host:port.

    `options`: more options for ssh, such as ("-F", "config").
    """

    def __init__(self, host: str, options: Sequence[str] = ()) -> None:
        if not host or any(part.startswith("-") for part in re.split(r"@|//", host)) or not host.isprintable():
            raise InputError(f"host is {host!r}; expected a name, user@host or ssh://user@host:port, not an option")
        if re.search(r"\s", host):
            raise InputError(f"host is {host!r}; expected one name, without spaces")
        self.host, self.options = host, tuple(options)

    def command(self, script: str) -> list[str]:
        """The ssh command line that runs `script` in the device's sh, whatever its user's shell is."""
        ours = [part for name, value in OPTIONS.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", *ours, *self.options, "--", self.host, f"sh -c {shlex.quote(script)}"]

    def run(
        self,
        script: str,
        say: Callable[[str], object] = lambda line: None,
        content: bytes = b"",
        sent: Callable[[int], object] = lambda count: None,
    ) -> Answer:
        """Run `script` with `content` as its stdin. `say` gets each line of stdout when it arrives, and `sent` the
        number of bytes sent so far.

        Raises UnreachableError when the connection fails or breaks, and UnavailableError when the user must change
        something first.
        """
        lines: list[str] = []
        with temporary_stream() as errors:
            try:
                child = subprocess.Popen(
                    self.command(script),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    start_new_session=True,  # Ctrl-C reaches only us, and ssh has no terminal to prompt on
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
        """The error that ssh's stderr means."""
        for sign, meaning, is_passing in MEANINGS:
            if sign in said:
                kind = UnreachableError if is_passing else UnavailableError
                return kind(
                    f"{self.host}: {meaning.format(host=shlex.quote(self.host))} (ssh: {last_line(said, sign)})"
                )
        return UnreachableError(f"{self.host}: the connection was lost (ssh: {last_line(said)})")


def feed(stdin: IO[bytes] | None, content: bytes, sent: Callable[[int], object]) -> None:
    """Send `content` to ssh. A broken pipe is ignored, because ssh's stderr gives the reason."""
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
    plain = (
        printable(found[-1]).strip("@ ").removeprefix("ssh: ") if found else "nothing"
    )  # ssh frames warnings with "@"
    return one_line(ValueError(plain), 160)
