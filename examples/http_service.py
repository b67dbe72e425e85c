"""POST a PNG or JPEG to /classify, GET /health. Standard library, Pillow and one engine.

python examples/http_service.py exported/tiny_resnet/int8.tflite 8080
curl --data-binary @photo.jpg http://127.0.0.1:8080/classify

At most WAITING requests are at work or wait their turn; the next is told 503 and when to come back. SIGTERM ends the
service after those. It listens to this machine alone: for the world outside put a proxy with TLS in front.
"""

import contextlib
import io
import json
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from fmnist_edge.errors import FileError, FmnistEdgeError
from fmnist_edge.runtime import Classifier

LARGEST_BODY, SECONDS, CONNECTIONS = 8 << 20, 10.0, 64  # bytes; for a client to send them; threads, more are closed


class Handler(BaseHTTPRequestHandler):
    timeout = SECONDS  # of a single read

    def do_GET(self):
        known = self.path == "/health"
        self.answer(200 if known else 404, {"status": "ok"} if known else {"error": "GET /health, POST /classify"})

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        missing = int(length[:10]) if length.isdecimal() else 0
        if self.path != "/classify" or not 0 < missing <= LARGEST_BODY:
            status = 404 if self.path != "/classify" else 413 if missing else 411
            return self.answer(status, {"error": f"POST /classify takes a Content-Length of 1 to {LARGEST_BODY}"})
        body, end = bytearray(), time.monotonic() + SECONDS  # whoever sends a byte now and then is not waited for
        while missing and time.monotonic() < end and (part := self.rfile.read1(missing)):
            body += part
            missing -= len(part)
        if missing:
            return self.answer(408, {"error": f"{missing} of {length} bytes did not come in {SECONDS:g} s"})
        if not self.server.waiting.acquire(blocking=False):
            return self.answer(503, {"error": "busy"}, [("Retry-After", "1")])
        try:
            found = self.server.classify.from_file(io.BytesIO(body), invert="auto")
            self.answer(200, {"label": found.label, "confidence": round(found.confidence, 4)})
        except FmnistEdgeError as error:
            self.answer(400 if isinstance(error, FileError) else 500, {"error": str(error)})
        finally:
            self.server.waiting.release()

    def answer(self, status, content, headers=()):
        body = json.dumps(content).encode() + b"\n"
        self.send_response(status)
        for header in (("Content-Type", "application/json"), ("Content-Length", len(body)), *headers):
            self.send_header(*header)
        with contextlib.suppress(ConnectionError):  # whoever asked may be gone
            self.end_headers()
            self.wfile.write(body)


class Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them

    def verify_request(self, request, address):
        return threading.active_count() <= CONNECTIONS


def main(model, port=8080, waiting=8):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Classifier.load(model) as classify, Server(("127.0.0.1", port), Handler) as server:
        server.classify, server.waiting = classify, threading.BoundedSemaphore(waiting)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))  # MODEL [PORT [WAITING]]
