"""A headless Chromium for tests: the driver that `bench --target browser` has, and what tests look at besides."""

from __future__ import annotations

import base64
import contextlib
import functools
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from fmnist_edge.errors import UnavailableError
from fmnist_edge.runtime.engines import chromium

__all__ = ["BROWSER", "Page", "browser", "needs_browser", "served"]

try:
    BROWSER = chromium.find_browser()
except UnavailableError:
    BROWSER = None
FLAGS = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
BAD = ("error", "warning")  # of messages on the console


def needs_browser() -> pytest.MarkDecorator:
    return pytest.mark.skipif(BROWSER is None, reason="no Chromium or Chrome on PATH; run: apt-get install chromium")


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of `folder` on a server of its own; stopped at the end."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Page(chromium.Page):
    """One tab."""

    def __init__(self, connection: chromium.Connection, target: str, width: int, height: int, dark: bool) -> None:
        super().__init__(connection, target, ("Runtime", "Log", "Network", "Page"))
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def choose_file(self, selector: str, path: Path) -> None:
        document = self.call("DOM.getDocument")["root"]["nodeId"]
        node = self.call("DOM.querySelector", nodeId=document, selector=selector)["nodeId"]
        self.call("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def picture(self, path: Path, whole: bool = True) -> None:
        content = self.call("Page.captureScreenshot", captureBeyondViewport=whole)["data"]
        path.write_bytes(base64.b64decode(content))

    def _events(self, method: str) -> list[dict[str, Any]]:
        ours = [event for event in self._connection.events if event.get("sessionId") == self._session]
        return [event["params"] for event in ours if event["method"] == method]

    @property
    def errors(self) -> list[str]:
        """Exceptions, and what the console says that is more than information."""
        self.run("0")  # takes in what was sent meanwhile
        entries = [event["entry"] for event in self._events("Log.entryAdded")]
        found = [str(event["exceptionDetails"]) for event in self._events("Runtime.exceptionThrown")]
        found += [str(event) for event in self._events("Runtime.consoleAPICalled") if event["type"] in BAD]
        return found + [str(entry) for entry in entries if entry["level"] in BAD]

    @property
    def requests(self) -> list[str]:
        return [event["request"]["url"] for event in self._events("Network.requestWillBeSent")]


class Browser:
    def __init__(self, running: chromium.Browser) -> None:
        self._running = running

    def page(self, width: int = 1440, height: int = 900, dark: bool = False) -> Page:
        return Page(self._running.connection, self._running.new_target(), width, height, dark)


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    with chromium.launched(profile, flags=FLAGS) as running:
        yield Browser(running)
