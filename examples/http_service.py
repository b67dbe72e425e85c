"""POST a PNG or JPEG to /classify, or GET /health. Needs the standard library, Pillow and one engine. Accepts at most
WAITING requests at once; others get 503 with Retry-After. SIGTERM stops the service after the accepted requests. It
listens only on 127.0.0.1: to serve other machines, put a proxy with TLS in front.
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

LARGEST_BODY, SECONDS, CONNECTIONS = 4 << 20, 10.0, 64  # bytes; time to send them; threads (the next client gets 503)


class Handler(BaseHTTPRequestHandler):
    timeout = SECONDS  # for a single read

    def do_GET(self):
        self.answer(*((200, {"status": "ok"}) if self.path == "/health" else (404, {"error": "POST to /classify"})))

    def send_error(self, code, message=None, explain=None):  # http.server calls this for malformed requests
        self.answer({501: 405, 505: 400}.get(code, code), {"error": message or "bad request"})

    def do_POST(self):
        length = int(text[:10]) if (text := self.headers.get("Content-Length", "")).isdecimal() else 0
        if status := 404 if self.path != "/classify" else 411 if not length else 413 * (length > LARGEST_BODY):
            return self.answer(status, {"error": f"POST /classify takes a Content-Length of 1 to {LARGEST_BODY}"})
        body, end = bytearray(), time.monotonic() + SECONDS  # a client must not keep us waiting by sending slowly
        with contextlib.suppress(OSError):  # the read timed out, or the client is gone
            while len(body) < length and time.monotonic() < end and (part := self.rfile.read1(length - len(body))):
                body += part
        if len(body) < length:
            return self.answer(408, {"error": f"received {len(body)} of {length} bytes in {SECONDS:g} s"})
        if not self.server.waiting.acquire(blocking=False):
            return self.answer(503, {"error": "busy"}, "Retry-After: 1\r\n")
        try:
            with self.server.turn:  # decoding holds Python's lock: one at a time, so that others get 503 at once
                found = self.server.classify.from_file(io.BytesIO(body), invert="auto")
            self.answer(200, {"label": found.label, "confidence": round(found.confidence, 4)})
        except FmnistEdgeError as error:
            self.answer(400 if type(error) is FileError else 500, {"error": str(error)})  # a bad image, or our error
        finally:
            self.server.waiting.release()

    def answer(self, status, content, header=""):
        body = json.dumps(content) + "\n"  # ASCII
        header += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        with contextlib.suppress(ConnectionError):  # the client may be gone
            self.wfile.write(f"HTTP/1.0 {status} {self.responses[status][0]}\r\n{header}{body}".encode())


class Server(ThreadingHTTPServer):
    daemon_threads, request_queue_size = False, 128  # closing waits for threads; a full queue delays clients by seconds

    def verify_request(self, request, address):
        if full := threading.active_count() > CONNECTIONS:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(b'HTTP/1.0 503 Busy\r\nRetry-After: 1\r\nContent-Length: 18\r\n\r\n{"error": "busy"}\n')
                request.recv(1 << 16)  # unread data would reset the connection and lose the answer
        return not full


def main(model, port=8080, waiting=8):
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with Classifier.load(model) as classify, Server(("127.0.0.1", port), Handler) as server:
        server.classify, server.turn, server.waiting = classify, threading.Lock(), threading.BoundedSemaphore(waiting)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))  # MODEL [PORT [WAITING]]
