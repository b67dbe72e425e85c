"""POST a PNG or JPEG to /classify, GET /health. Standard library, Pillow and one engine. At most WAITING requests are
at work or wait their turn; the next is told 503 and when to come back. SIGTERM ends the service after those. It listens
to this machine alone: for the world outside put a proxy with TLS in front.
    python examples/http_service.py exported/tiny_resnet/int8.tflite 8080
    curl --data-binary @photo.jpg http://127.0.0.1:8080/classify"""

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

LARGEST_BODY, SECONDS, CONNECTIONS = 4 << 20, 10.0, 64  # bytes; for a client to send them; threads, the next gets 503


class Handler(BaseHTTPRequestHandler):
    timeout = SECONDS  # of a single read

    def do_GET(self):
        self.answer(*((200, {"status": "ok"}) if self.path == "/health" else (404, {"error": "POST to /classify"})))

    def send_error(self, code, message=None, explain=None):  # http.server calls it for what it cannot read
        self.answer({501: 405, 505: 400}.get(code, code), {"error": message or "bad request"})

    def do_POST(self):
        length = int(text[:10]) if (text := self.headers.get("Content-Length", "")).isdecimal() else 0
        if status := 404 if self.path != "/classify" else 411 if not length else 413 * (length > LARGEST_BODY):
            return self.answer(status, {"error": f"POST /classify takes a Content-Length of 1 to {LARGEST_BODY}"})
        body, end = bytearray(), time.monotonic() + SECONDS  # whoever sends a byte now and then is not waited for
        with contextlib.suppress(OSError):  # a read that timed out, or a client that is gone
            while len(body) < length and time.monotonic() < end and (part := self.rfile.read1(length - len(body))):
                body += part
        if len(body) < length:
            return self.answer(408, {"error": f"{len(body)} of {length} bytes came in {SECONDS:g} s"})
        if not self.server.waiting.acquire(blocking=False):
            return self.answer(503, {"error": "busy"}, "Retry-After: 1\r\n")
        try:
            with self.server.turn:  # decoding keeps Python to itself: in turns, the others can be told 503 at once
                found = self.server.classify.from_file(io.BytesIO(body), invert="auto")
            self.answer(200, {"label": found.label, "confidence": round(found.confidence, 4)})
        except FmnistEdgeError as error:
            self.answer(400 if type(error) is FileError else 500, {"error": str(error)})  # the image's fault, or ours
        finally:
            self.server.waiting.release()

    def answer(self, status, content, header=""):
        body = json.dumps(content) + "\n"  # ASCII
        header += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with contextlib.suppress(ConnectionError):  # whoever asked may be gone
            self.wfile.write(f"HTTP/1.0 {status} {self.responses[status][0]}\r\n{header}{body}".encode())


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = False, 128  # closing waits for them; connects beyond it wait for seconds

    def verify_request(self, request, address):
        if full := threading.active_count() > CONNECTIONS:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(b'HTTP/1.0 503 Busy\r\nRetry-After: 1\r\nContent-Length: 18\r\n\r\n{"error": "busy"}\n')
                request.recv(1 << 16)  # what is left unread would cut the answer off
        return not full


def main(model, port=8080, waiting=8):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Classifier.load(model) as classify, Server(("127.0.0.1", port), Handler) as server:
        server.classify, server.turn, server.waiting = classify, threading.Lock(), threading.BoundedSemaphore(waiting)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))  # MODEL [PORT [WAITING]]
