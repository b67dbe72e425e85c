"""A headless Chromium, driven through its DevTools protocol over two pipes. It needs the standard library alone.

Protocol: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from fmnist_edge.errors import ArtifactError, UnavailableError, one_line

__all__ = ["VARIABLE", "Browser", "BrowserError", "Connection", "Page", "find_browser", "launched"]

VARIABLE = "FMNIST_EDGE_BROWSER"  # the path of the browser, where it is not on PATH
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
INSTALL = "run: apt-get install chromium, or name one: --browser PATH"
FLAGS = (
    "--headless=new", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-extensions", "--mute-audio",
    "--disable-component-update", "--disable-background-networking", "--disable-sync", "--disable-breakpad",
    "--disable-renderer-backgrounding", "--disable-background-timer-throttling", "--no-proxy-server",
    "--remote-debugging-pipe",
)  # fmt: skip
# Makes the protocol's pipes the descriptors 3 and 4, then becomes the browser.
LAUNCHER = """
import os, sys
read, write = int(sys.argv[1]), int(sys.argv[2])
write = os.dup(write) if write == 3 else write
os.dup2(read, 3)
os.dup2(write, 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
TIMEOUT_S = 120.0  # of a call of the protocol, by default
CRASHED = ("Inspector.targetCrashed", "Target.targetCrashed")
EXIT_S = 20
ERROR_BYTES = 4096  # of what the browser printed, in which the reason is looked for


class BrowserError(ArtifactError):
    """The page threw an error, or the browser ended or gave no answer."""


def find_browser(named: str | None = None) -> str:
    """The path of `named`, else of what VARIABLE names, else of the first Chromium or Chrome on PATH.

    Raises UnavailableError when there is none.
    """
    wanted = named or os.environ.get(VARIABLE)
    if wanted:
        found = shutil.which(wanted)
        if found is None:
            raise UnavailableError(f"{wanted}: no such browser; {INSTALL}")
        return found
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        raise UnavailableError(f"there is no Chromium or Chrome on PATH; {INSTALL}")
    return found


class Connection:
    """Messages of the protocol, over two pipes."""

    def __init__(self, read: int, write: int) -> None:
        self._read, self._write, self._last, self._rest = read, write, 0, b""
        self.events: list[dict[str, Any]] = []

    def call(
        self, method: str, session: str | None = None, timeout_s: float = TIMEOUT_S, **params: Any
    ) -> dict[str, Any]:
        """The result of a method. Raises BrowserError when it fails, or when no answer comes within `timeout_s`."""
        self._last += 1
        message = {"id": self._last, "method": method, "params": params, **({"sessionId": session} if session else {})}
        content = json.dumps(message).encode() + b"\0"
        try:
            while content:
                content = content[os.write(self._write, content) :]
        except OSError:
            raise BrowserError("the browser ended") from None
        deadline = time.monotonic() + timeout_s
        while True:
            found = self._message(deadline, method)
            if found.get("id") == self._last:
                if "error" in found:
                    raise BrowserError(f"the browser refuses {method}: {found['error'].get('message')}")
                result: dict[str, Any] = found["result"]
                return result
            if found.get("method") in CRASHED and found.get("sessionId") == session:
                raise BrowserError("the page crashed")
            self.events.append(found)

    def _message(self, deadline: float, method: str) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0, deadline - time.monotonic()))[0]:
                raise BrowserError(f"the browser gave no answer to {method}")
            piece = os.read(self._read, 1 << 20)
            if not piece:
                raise BrowserError("the browser ended")
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found


class Page:
    """One tab."""

    def __init__(
        self, connection: Connection, target: str, domains: Sequence[str] = ("Page", "Runtime", "Inspector")
    ) -> None:
        """`domains`: of the protocol, whose events are kept."""
        self._connection = connection
        self._session = connection.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in domains:
            self.call(f"{domain}.enable")

    def call(self, method: str, timeout_s: float = TIMEOUT_S, **params: Any) -> dict[str, Any]:
        return self._connection.call(method, self._session, timeout_s, **params)

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def run(self, expression: str, timeout_s: float = TIMEOUT_S) -> Any:
        """The value of an expression, or what its promise resolves to. Raises BrowserError for what it throws."""
        found = self.call("Runtime.evaluate", timeout_s, expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in found:
            thrown = found["exceptionDetails"]
            raise BrowserError(str(thrown.get("exception", {}).get("description") or thrown.get("text")))
        return found["result"].get("value")

    def wait(self, condition: str, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not self.run(condition):
            if time.monotonic() > deadline:
                raise BrowserError(f"never true in the page: {condition}")
            time.sleep(0.02)


class Browser:
    """A running browser.

    Attributes:
        name, version: such as "Chromium" and "156.0.8078.108".
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        product = str(connection.call("Browser.getVersion", timeout_s=60)["product"])
        self.name, _, self.version = product.replace("Headless", "").partition("/")

    def new_target(self) -> str:
        """An empty tab; its id for `Page`."""
        return str(self.connection.call("Target.createTarget", url="about:blank")["targetId"])

    def processes(self) -> list[dict[str, Any]]:
        """Of each process of the browser: type, id and cpuTime in seconds, as the browser counts them."""
        found: list[dict[str, Any]] = self.connection.call("SystemInfo.getProcessInfo")["processInfo"]
        return found


@contextlib.contextmanager
def launched(profile: Path, program: str | None = None, flags: Sequence[str] = ()) -> Iterator[Browser]:
    """A headless browser with the profile folder `profile`; ended at the end of the `with` block.

    `program`: see `find_browser`; `flags`: further ones of its command line. Raises UnavailableError when there is no
    browser or it does not start.
    """
    path = find_browser(program)
    if os.name != "posix":
        raise UnavailableError("a headless browser is driven through pipes, which needs Linux or macOS")
    to_read, to_write = os.pipe()
    from_read, from_write = os.pipe()
    as_root = ["--no-sandbox"] if os.geteuid() == 0 else []  # its sandbox refuses root
    options = [*FLAGS, *as_root, *flags, f"--user-data-dir={profile}", "about:blank"]
    profile.mkdir(parents=True, exist_ok=True)
    printed = profile / "stderr.txt"
    with open(printed, "wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", LAUNCHER, str(to_read), str(from_write), path, *options],
            pass_fds=(to_read, from_write),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
    os.close(to_read)
    os.close(from_write)
    connection = Connection(from_read, to_write)
    try:
        yield started(connection, path, printed)
    finally:
        with contextlib.suppress(BrowserError):
            connection.call("Browser.close", timeout_s=EXIT_S)
        try:
            process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.close(from_read)
        os.close(to_write)


def started(connection: Connection, path: str, printed: Path) -> Browser:
    try:
        return Browser(connection)
    except BrowserError as error:
        lines = printed.read_bytes()[-ERROR_BYTES:].decode(errors="replace").strip().splitlines()
        reason = f"{error}; {one_line(Exception(lines[-1]), 160)}" if lines else str(error)
        raise UnavailableError(f"{path} did not start as a headless browser ({reason}); {INSTALL}") from None
