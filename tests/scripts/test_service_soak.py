"""The example service under twice its load and malformed requests, in small; `make soak` is the whole of it."""

import json
import re
import subprocess
import sys

import pytest
from support import ROOT
from support.installed import needs

from fmnist_edge.worker.calls import child_environment

MODEL = str(ROOT / "exported/compact_cnn/int8.tflite")
sys.path.insert(0, str(ROOT / "scripts"))
import malformed_requests  # noqa: E402
import soak_service  # noqa: E402

BUSY = b'HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 17\r\n\r\n{"detail":"busy"}'
YES = b'{"label":"yes","index":1,"confidence":0.50004}'
GOOD = {
    "answers": {"busy": 7, "right": 10},
    "resident_mb": [60.0, 61.0, 60.5],
    "threads_and_files": {"before": (2, 6), "after": (2, 6)},
    "healthy": True,
}


def run(script: str, *arguments: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "scripts" / script), MODEL, *arguments]
    environment = {**child_environment(), "PYTHONSAFEPATH": ""}  # the scripts import one another
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@needs("fastapi", "uvicorn")
@pytest.mark.serial
@pytest.mark.slow
def test_twice_the_load(tmp_path):
    done = run("soak_service.py", "--seconds", "2", "--allowed", "30", "--report", str(tmp_path / "soak.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "soak.json").read_text())
    assert set(found["answers"]) <= {"right", "busy"} and found["failures"] == []
    assert re.search(r"p99 [\d.]+ ms in this run", done.stdout)


@needs("fastapi", "uvicorn")
@pytest.mark.slow
def test_malformed_requests(tmp_path):
    done = run("malformed_requests.py", "--examples", "300", "--report", str(tmp_path / "malformed.json"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert {"200", "400"} <= json.loads((tmp_path / "malformed.json").read_text())["answers"].keys()


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\n" + YES, "right"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + YES.replace(b"yes", b"no"), "wrong"),
        (b"HTTP/1.1 200 OK\r\n\r\nyes", "wrong"),
        (BUSY, "busy"),
        (BUSY.replace(b"retry-after: 1\r\n", b""), "odd"),
        (BUSY[:-3], "odd"),
        (b"HTTP/1.1 500 Internal Server Error\r\n\r\n{}", "odd"),
        (b"nonsense", "odd"),
    ],
)
def test_an_answer_is_the_right_one_or_a_clean_refusal(said, kind):
    assert soak_service.kind_of(said, ("yes", 0.5)) == kind


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"answers": {"right": 10, "wrong": 1}}, "1 wrong"),
        ({"answers": {"right": 10, "lost": 2}}, "2 lost"),
        ({"answers": {"busy": 10}}, "nothing was answered"),
        ({"resident_mb": [60.0, 75.0, 60.0]}, "grew by 15.0 MB"),
        ({"threads_and_files": {"before": (2, 6), "after": (2, 7)}}, "threads and files"),
        ({"healthy": False}, "not healthy"),
    ],
)
def test_what_must_not_be_is_seen(changed, said):
    assert soak_service.failures(GOOD, 10.0) == []
    assert said in " ".join(soak_service.failures({**GOOD, **changed}, 10.0))


@pytest.mark.parametrize(
    ("said", "status"),
    [(b"HTTP/1.1 400 Bad Request\r\nA: b\r\n\r\n{}", "400"), (b"HTTP/1.1 500 No\r\n\r\n{}", "500"), (b"", "silence"),
     (b"<html>", "no status"), (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no body")],
)  # fmt: skip
def test_a_status_is_read(said, status):
    assert malformed_requests.status_of(said) == status


def test_an_answer_to_head_has_no_body():
    said = b"HTTP/1.1 404 Not Found\r\ncontent-length: 22\r\n\r\n"
    assert malformed_requests.status_of(said, b"HEAD / HTTP/1.1\r\n\r\n") == "404"
    assert malformed_requests.is_answer(said, b"HEAD / HTTP/1.1\r\n\r\n")
    assert not malformed_requests.is_answer(said, b"GET / HTTP/1.1\r\n\r\n")


def test_an_interim_answer_is_not_the_answer():
    """RFC 9110, 10.1.1: `Expect: 100-continue` asks for one before the final answer."""
    final = b"HTTP/1.1 400 Bad Request\r\n\r\n{}"
    assert malformed_requests.CONTINUE.sub(b"", b"HTTP/1.1 100 \r\n\r\n" + final) == final
