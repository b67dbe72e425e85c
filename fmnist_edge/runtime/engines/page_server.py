"""A server on the loopback for what a headless browser loads; it counts the bytes of each path."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

__all__ = ["Server", "served"]

TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".json": "application/json",
    ".wasm": "application/wasm",
}
# The first three give the page the finest clock that the browser has. The last one forbids what is not from here.
HEADERS = {
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
POLICY = "default-src 'self' blob: data:; script-src 'self' blob: 'wasm-unsafe-eval'"


class Server:
    """What is served, and what was loaded.

    Attributes:
        url: of the server's root, with "/" at its end.
        sources: beginning of a path -> the folder that is there.
        published: path -> content of a file. It may be changed while the server runs.
        modules: name of an npm package -> path of its module, which replaces the name in import statements, as bundlers
            do.
        loaded: path -> bytes of all answers.
    """

    def __init__(self, url: str, sources: Mapping[str, Path], modules: Mapping[str, str]) -> None:
        self.url, self.sources, self.modules = url, sources, modules
        self.published: dict[str, bytes] = {}
        self.loaded: dict[str, int] = {}
        self._lock = threading.Lock()

    def content(self, path: str) -> bytes | None:
        """What is at `path`; None when there is nothing."""
        if path in self.published:
            return self.published[path]
        start = next((start for start in self.sources if path.startswith(start)), None)
        if start is None or ".." in path.split("/"):
            return None
        try:
            found = (self.sources[start] / path[len(start) :]).read_bytes()
        except (OSError, ValueError):
            return None
        return self.resolved(found) if path.endswith((".js", ".mjs")) else found

    def resolved(self, script: bytes) -> bytes:
        for name, path in self.modules.items():
            for quote in (b'"', b"'"):
                script = script.replace(
                    b"from " + quote + name.encode() + quote, b"from " + quote + path.encode() + quote
                )
        return script

    def count(self, path: str, size: int) -> None:
        with self._lock:
            self.loaded[path] = self.loaded.get(path, 0) + size

    def bytes_below(self, *starts: str) -> int:
        """Bytes of all answers to paths with one of these beginnings."""
        with self._lock:
            return sum(size for path, size in self.loaded.items() if path.startswith(starts))


@contextmanager
def served(sources: Mapping[str, Path], modules: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Serve `sources` until the end of the `with` block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            content = server.content(path)
            server.count(path, len(content or b""))  # first: who has the answer may ask for the count
            self.send_response(404 if content is None else 200)
            for name, value in {**HEADERS, "Content-Security-Policy": POLICY}.items():
                self.send_header(name, value)
            self.send_header("Content-Type", TYPES.get(Path(path).suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server = Server(f"http://127.0.0.1:{listener.server_port}/", sources, modules or {})
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        listener.shutdown()
        listener.server_close()
        thread.join()
