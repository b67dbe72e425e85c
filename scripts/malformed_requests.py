"""Send malformed requests to the example HTTP service: it must answer each with 4xx, never with 5xx or silence.

    python scripts/malformed_requests.py exported/compact_cnn/int8.tflite --examples 10000

hypothesis generates the requests: request lines, headers and bodies, each well-formed or not, and damaged images. A
request that happens to be correct may get 200. Exit code 1 when an answer was another one, or when the service is not
healthy afterwards.
"""

from __future__ import annotations

import argparse
import io
import re
import socket
import sys
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from soak_service import TIMEOUT_S, is_healthy, service

from fmnist_edge.files import write_json

INCOMPLETE_S = 0.3  # for an answer to a request that has no end yet; the service waits for the rest
CONTINUE = re.compile(rb"^HTTP/1\.1 100 [ -~]*\r\n\r\n")  # comes before the answer, where a request expects it
FRAME = st.sampled_from([b"\r\n", b"\n", b"\r", b""])


def images() -> st.SearchStrategy[bytes]:
    """Intact, truncated or damaged PNGs and JPEGs, images in other formats, and random bytes."""
    from PIL import Image

    def made(kind: str, mode: str, size: tuple[int, int]) -> bytes:
        file = io.BytesIO()
        Image.linear_gradient("L").resize(size).convert(mode).save(file, kind)
        return file.getvalue()

    shapes = [
        ("PNG", "L"),
        ("PNG", "RGBA"),
        ("PNG", "P"),
        ("PNG", "1"),
        ("JPEG", "L"),
        ("JPEG", "RGB"),
        ("JPEG", "CMYK"),
    ]
    whole = [made(kind, mode, size) for kind, mode in shapes for size in ((28, 28), (1, 1), (97, 3))]
    whole += [made(kind, "RGB", (28, 28)) for kind in ("GIF", "BMP", "TIFF", "WEBP", "ICO")]
    places = st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(max_size=4), st.booleans()), max_size=4)

    def damaged(content: bytes, length: float, changes: list[tuple[float, bytes, bool]]) -> bytes:
        found = bytearray(content[: int(len(content) * length)])
        for place, new, inserted in changes:
            at = int(place * len(found))
            found[at : at + (0 if inserted else len(new))] = new
        return bytes(found)

    lengths = st.one_of(st.just(1.0), st.floats(0, 1))
    return st.one_of(st.builds(damaged, st.sampled_from(whole), lengths, places), st.binary(max_size=300))


def requests() -> st.SearchStrategy[bytes]:
    """Whole requests as bytes."""
    token = st.one_of(
        st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"post"]), st.binary(max_size=9)
    )
    paths = st.sampled_from(
        [b"/classify", b"/health", b"/", b"*", b"//classify", b"/classify?a=b", b"/../../etc/passwd"]
    )
    path = st.one_of(paths, st.binary(max_size=20), st.integers(1, 70_000).map(lambda size: b"/" + b"a" * size))
    versions = [
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"HTTP/0.9",
        b"HTTP/2.0",
        b"HTTP/1.999999",
        b"HTTP/-1.1",
        b"HTTP/1",
        b"SMTP/1.1",
    ]
    version = st.one_of(st.sampled_from(versions), st.binary(max_size=9), st.none())
    good = st.tuples(st.just(b"POST"), st.just(b"/classify"), st.just(b"HTTP/1.1"))
    first = st.one_of(good, st.tuples(token, path, version)).map(lambda parts: b" ".join(filter(None, parts)))
    lengths = st.one_of(st.integers(-5, 1 << 70).map(lambda size: b"%d" % size), st.binary(max_size=5))
    names = st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Expect", b"Host", b"Connection", b" X"])
    values = st.one_of(lengths, st.sampled_from([b"chunked", b"100-continue", b"upgrade", b"gzip, chunked"]))
    header = st.one_of(st.tuples(names, values).map(b": ".join), st.binary(max_size=30))
    headers = st.one_of(st.lists(header, max_size=4), st.integers(90, 120).map(lambda count: [b"A: b"] * count))

    def assembled(first: bytes, others: list[bytes], true_length: bool, body: bytes, end: bytes) -> bytes:
        true = [b"Host: a", b"Content-Length: %d" % len(body)] if true_length else []
        return b"\r\n".join([first, *true, *others]) + end + end + body

    ends = st.one_of(st.just(b"\r\n"), FRAME)
    anything = st.builds(assembled, first, headers, st.booleans(), images(), ends)
    to_decode = st.builds(lambda body: assembled(b"POST /classify HTTP/1.1", [], True, body, b"\r\n"), images())
    return st.one_of(anything, to_decode, st.binary(max_size=200))


def status_of(said: bytes, request: bytes = b"") -> str:
    """The status of the answer to `request`, such as "400", or what is wrong with the answer."""
    found = re.match(rb"HTTP/1\.1 (\d{3}) [ -~]*\r\n", said)
    if not found:
        return "silence" if not said else "no status"
    complete = said.partition(b"\r\n\r\n")[2] or without_body(request)
    return found[1].decode() if complete else "no body"


def without_body(request: bytes) -> bool:
    """Whether the answer to it has a head alone (RFC 9110, 9.3.2)."""
    return request.startswith(b"HEAD ")


def answered(port: int, request: bytes) -> bytes:
    """Send `request` and return the answer. The service may answer and hang up before all is sent."""
    with socket.create_connection(("127.0.0.1", port), TIMEOUT_S if is_whole(request) else INCOMPLETE_S) as client:
        said = b""
        try:
            client.sendall(request)
            while not is_answer(said, request) and (part := client.recv(65536)):
                said = CONTINUE.sub(b"", said + part)
        except OSError:  # it hung up early, or waits for the rest
            pass
        return said


def is_answer(said: bytes, request: bytes) -> bool:
    """Whether `said` has a whole answer; the service may keep the connection for the next request."""
    head, end, body = said.partition(b"\r\n\r\n")
    length = re.search(rb"\r\ncontent-length: (\d+)", head)
    return bool(end) and (without_body(request) or (length is not None and len(body) >= int(length[1])))


def is_whole(request: bytes) -> bool:
    """Whether a server has something to answer: a request, or what cannot become one. Judged by the library h11."""
    import h11

    if not request:  # h11 takes it for the end
        return False
    server = h11.Connection(h11.SERVER)
    try:
        server.receive_data(request)
        event = server.next_event()
        while not isinstance(event, h11.EndOfMessage):
            if event in (h11.NEED_DATA, h11.PAUSED):
                return False
            event = server.next_event()
    except h11.RemoteProtocolError:
        pass
    return True


def attack(port: int, examples: int) -> tuple[Counter[str], list[str]]:
    """Send `examples` requests; returns the count of each status, and up to five answers that are not allowed."""
    found: Counter[str] = Counter()
    odd: list[str] = []

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(requests())
    def each(request: bytes) -> None:
        status = status_of(answered(port, request), request)
        if status == "silence" and not is_whole(request):
            status = "nothing asked"
        found[status] += 1
        if not re.fullmatch("200|4..|nothing asked", status) and len(odd) < 5:
            odd.append(f"{status}: {request[:300]!r}")

    each()
    return found, odd


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("artifact")
    parser.add_argument("--examples", type=int, default=10_000, help="requests to send (default 10,000)")
    parser.add_argument("--report", type=Path, default=Path("reports/malformed_requests.json"), metavar="FILE")
    options = parser.parse_args()
    with service(options.artifact) as (_, port):
        found, odd = attack(port, options.examples)
        healthy = is_healthy(port)
    answers = dict(sorted(found.items()))
    write_json(
        options.report, {"schema": 1, "requests": found.total(), "answers": answers, "odd": odd, "healthy": healthy}
    )
    print(f"{found.total():,} requests:", ", ".join(f"{count:,} of {status}" for status, count in answers.items()))
    for line in odd:
        print(f"FAILED {line}", file=sys.stderr)
    return int(bool(odd) or not healthy)


if __name__ == "__main__":
    sys.exit(main())
