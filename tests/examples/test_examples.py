"""The apps people start from, each as a process of its own, on a committed artifact."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager

import numpy as np
import pytest
from support import ROOT
from support.installed import needs

from fmnist_edge.data import fashion_mnist
from fmnist_edge.worker.calls import child_environment

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
MODEL = str(ROOT / "exported/compact_cnn/int8.tflite")
IMAGES = ROOT / "examples/images"
PATIENCE_S = 120  # of a loaded machine


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, "-W", "error", str(ROOT / "examples" / name), MODEL, *map(str, arguments)]


def finished(name: str, *arguments: object, **options) -> subprocess.CompletedProcess:
    call = command(name, *arguments)
    return subprocess.run(call, capture_output=True, timeout=PATIENCE_S, env=child_environment(), check=True, **options)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_they_are_small(path):
    assert len(path.read_text().splitlines()) <= 80
    if path.name == "http_service.py":
        assert sum(bool(line.strip()) for line in path.read_text().splitlines()) <= 60


class TestWatchFolder:
    @pytest.fixture
    def watched(self, tmp_path):
        call = command("watch_folder.py", tmp_path, "--interval", "0.05")
        with subprocess.Popen(call, stdout=subprocess.PIPE, text=True, env=child_environment()) as process:
            yield tmp_path, lambda: json.loads(process.stdout.readline())
            process.send_signal(signal.SIGINT)
            process.stdout.read()

    def test_what_lands_is_classified_once_and_again_when_it_changes(self, watched):
        folder, answer = watched
        shutil.copy(IMAGES / "0000-ankle_boot.png", folder / "a.png")
        assert {**answer(), "confidence": None} == {"file": "a.png", "label": "Ankle boot", "confidence": None}
        (folder / "b.png").write_bytes(b"no image")
        assert "not a readable PNG or JPEG" in answer()["error"]
        (folder / "notes.txt").write_text("not looked at")
        shutil.copy(IMAGES / "0002-trouser.png", folder / "a.png")
        assert answer() == {"file": "a.png", "label": "Trouser", "confidence": pytest.approx(1, abs=0.5)}

    @pytest.mark.serial
    def test_a_file_that_is_still_written_is_waited_for(self, watched):
        folder, answer = watched
        shutil.copy(IMAGES / "0002-trouser.png", folder / "first.png")
        assert answer()["label"] == "Trouser"  # it is at work
        content = (IMAGES / "0001-pullover.png").read_bytes()
        end = time.monotonic() + 1
        with open(folder / "slow.png", "wb") as file:
            file.write(content[:50])
            file.flush()
            while time.monotonic() < end:  # it never is the same from one look to the next
                os.utime(folder / "slow.png", ns=(0, time.monotonic_ns()))
            file.write(content[50:])
        found = answer()
        assert found.get("label") == "Pullover", found


@pytest.mark.parametrize("name", ["watch_folder.py", "video_loop.py"])
def test_ctrl_c_ends_them_without_a_traceback(name, tmp_path):
    more = [tmp_path] if name == "watch_folder.py" else ["-", "--size", "8x8"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command(name, *more), env=child_environment(), **pipes) as process:
        if name == "watch_folder.py":
            shutil.copy(IMAGES / "0000-ankle_boot.png", tmp_path)
        else:
            process.stdin.write(bytes(64))
            process.stdin.flush()
        process.stdout.readline()  # it is at work
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE_S)
        assert process.returncode == 0 and process.stderr.read() == b""


class TestVideoLoop:
    def raw(self, pictures, kind: str) -> bytes:
        """Frames of 60 x 48: each picture in the middle square, light around it, and for yuv420 its colour planes."""
        content = b""
        for picture in pictures:
            frame = np.zeros((48, 60), np.uint8)
            frame[:, 6:54] = np.pad(np.repeat(np.repeat(picture, 2, 0), 2, 1), 0)[4:52, 4:52]
            content += frame.tobytes() + (b"\x80" * (48 * 60 // 2) if kind == "yuv420" else b"")
        return content

    @pytest.mark.parametrize("kind", ["gray", "yuv420"])
    @pytest.mark.parametrize("piped", [True, False])
    def test_a_line_when_the_answer_changes(self, tmp_path, kind, piped):
        test = fashion_mnist.load("test")
        boot, trouser = (test.images[test.labels == label][0] for label in (9, 1))
        content = self.raw([boot] * 10 + [trouser] + [boot] * 5 + [trouser] * 20, kind)
        (tmp_path / "frames").write_bytes(content + b"half a frame")
        options = ("--size", "60x48", "--format", kind)
        source = ("-", {"input": content}) if piped else (tmp_path / "frames", {})
        done = finished("video_loop.py", source[0], *options, **source[1])
        lines = done.stdout.decode().splitlines()
        assert re.fullmatch(r"frame 1: Ankle boot \(\d+%\)", lines[0]), lines
        assert len(lines) == 2 and "Trouser" in lines[1], "one frame among others changes nothing, many do"
        assert 17 < int(re.findall(r"frame (\d+)", lines[1])[0]) < 30
        assert b"36 frames" in done.stderr


@contextmanager
def service(*arguments):
    call = command("http_service.py", 0, *arguments)
    with subprocess.Popen(
        call, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment()
    ) as process:
        port = int(process.stdout.readline().rpartition(":")[2])
        yield process, port
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0 and "Traceback" not in said, said


def ask(port: int, method: str, path: str, body=None, headers=()):
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)) as connection:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers


@pytest.fixture(scope="module")
def port():
    with service() as (_, port):
        yield port


@needs("fastapi", "uvicorn")
class TestHttpService:
    def test_it_classifies_and_is_well(self, port):
        assert ask(port, "GET", "/health")[:2] == (200, {"status": "ok"})
        status, answer, headers = ask(port, "POST", "/classify", (IMAGES / "0000-ankle_boot.png").read_bytes())
        assert (status, answer["label"], headers["Content-Type"]) == (200, "Ankle boot", "application/json")
        assert 0 < answer["confidence"] <= 1

    @pytest.mark.parametrize(
        ("method", "path", "body", "headers", "status"),
        [
            ("GET", "/", None, {}, 404),
            ("POST", "/other", b"x", {}, 404),
            ("POST", "/classify", b"no image", {}, 400),
            ("POST", "/classify", b"\x89PNG\r\n\x1a\n" + b"\0" * 500, {}, 400),
            ("POST", "/classify", b"", {}, 400),
            ("GET", "/classify", None, {}, 405),
            ("POST", "/classify", bytes((4 << 20) + 1), {}, 413),
        ],
    )
    def test_bad_input_is_the_clients_error_in_one_line(self, port, method, path, body, headers, status):
        found, answer, _ = ask(port, method, path, body, headers)
        assert found == status and list(answer) == ["detail"] and "\n" not in answer["detail"]
        assert ask(port, "GET", "/health")[0] == 200

    def test_malformed_requests_are_the_clients_error(self, port):
        for length in (b"-5", b"five", b"9" * 6000):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
                client.sendall(b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: %s\r\n\r\nabc" % length)
                assert client.makefile("rb").readline().startswith(b"HTTP/1.1 4")

    def test_health_asks_the_engine(self):
        """A service whose engine fails is not healthy."""
        code = (
            "import sys, asyncio; sys.path.insert(0, 'examples'); sys.path.insert(0, 'tests'); import http_service\n"
            "from fmnist_edge.errors import ArtifactError\n"
            "class Broken:\n"
            "    def warm_up(self, calls): raise ArtifactError('the engine failed')\n"
            "async def main():\n"
            "    sent = []\n"
            "    async def receive(): return {'type': 'http.request', 'body': b'', 'more_body': False}\n"
            "    async def send(message): sent.append(message)\n"
            "    scope = {'type': 'http', 'method': 'GET', 'path': '/health', 'query_string': b'', 'headers': []}\n"
            "    await http_service.service(Broken(), 1)(scope, receive, send)\n"
            "    print(sent[0]['status'], sent[1]['body'].decode())\n"
            "asyncio.run(main())\n"
        )
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
        assert done.stdout == '500 {"detail":"the engine failed"}\n'

    def test_photos_that_unpack_to_gigabytes_are_refused(self, port, tmp_path):
        from PIL import Image

        Image.new("1", (9000, 9000)).save(tmp_path / "bomb.png")
        status, answer, _ = ask(port, "POST", "/classify", (tmp_path / "bomb.png").read_bytes())
        assert status == 400 and "9000 x 9000 pixels" in answer["detail"]

    @pytest.mark.slow
    def test_a_client_that_stops_in_the_middle_is_told(self, port):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as client:
            client.sendall(b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc")
            assert client.makefile("rb").readline().startswith(b"HTTP/1.1 408 ")

    def test_a_client_that_hangs_up_in_the_middle(self, port):
        for part in (
            b"POST /classify HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nabc",
            b"POST /cl",
            b"\xff" * 1000,
        ):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(part)
        assert ask(port, "GET", "/health")[0] == 200

    def test_many_at_once_are_answered_or_told_to_come_back(self):
        body = (IMAGES / "0002-trouser.png").read_bytes()
        found = []
        with service(1) as (_, port):
            workers = [
                threading.Thread(
                    target=lambda: found.extend(ask(port, "POST", "/classify", body)[::2] for _ in range(10))
                )
                for _ in range(12)
            ]
            for worker in workers:
                worker.start()
            assert ask(port, "GET", "/health")[0] == 200, "a busy service is a healthy one"
            for worker in workers:
                worker.join()
            assert ask(port, "POST", "/classify", body)[0] == 200
        assert len(found) == 120
        refused = [headers for status, headers in found if status == 503]
        assert {status for status, _ in found} == {200, 503}
        assert refused and all(headers["Retry-After"] == "1" for headers in refused)

    def test_it_ends_after_what_is_at_work(self):
        body = (IMAGES / "0002-trouser.png").read_bytes()
        with service() as (process, port), socket.create_connection(("127.0.0.1", port)) as client:
            head = f"POST /classify HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            client.sendall(head.encode() + body[:50])
            ask(port, "GET", "/health")  # by now the first connection has its thread
            process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            client.sendall(body[50:])
            assert b"Trouser" in client.makefile("rb").read()
            process.wait(PATIENCE_S)


def test_the_unit_starts_a_program_that_is_there():
    unit = (ROOT / "examples/fmnist-edge.service").read_text()
    started = re.search(r"^ExecStart=(.*)$", unit, re.M).group(1)
    assert (ROOT / re.search(r"examples/\S+\.py", started).group()).is_file()
    page = (ROOT / "docs/raspberry-pi.md").read_text()
    for path in re.findall(r"(?:examples|exported|docs)/[\w./-]+\.(?:py|service|tflite|json|md)", page):
        assert (ROOT / path).is_file(), path
