"""Measure on a device over ssh: send the bundle, install its requirements, start the run, follow it, fetch the result.

On the device the bundle is in ~/.cache/fmnist-edge, in a folder named by its digest. So the same command finds the same
run again, after a broken link or hours later.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from fmnist_edge.aliases import JsonObject
from fmnist_edge.benchmark import environment, results
from fmnist_edge.benchmark.job import Job
from fmnist_edge.benchmark.remote.bundle import FOLDER, archive, engines_of, requirements
from fmnist_edge.benchmark.remote.link import Answer, Link
from fmnist_edge.benchmark.remote.probe import Facts, probe
from fmnist_edge.benchmark.remote.target import Progress
from fmnist_edge.benchmark.remote.wire import read
from fmnist_edge.errors import FileError, FmnistEdgeError, UnavailableError, UnreachableError, one_line
from fmnist_edge.files import write_atomic

__all__ = ["SshTarget"]

RETRY_FOR_S = 600  # long enough for a board or a router to reboot
PAUSES_S = (1, 2, 4, 8, 15, 30)
STARTS = 4  # how often a run is started again after its process was killed
STEP = re.compile(r"(\d+)/(\d+) (.*)")
SPACE = "No space left on device"
RUN_CONTINUES = "if the run has started, it continues on the device; give the same command again to follow it"
T = TypeVar("T")
NAMING = threading.Lock()  # several devices may be measured at once


class SshTarget:
    """A Target over ssh. `options` are passed to ssh; `retry_for_s`: how long to retry after the link breaks."""

    def __init__(self, address: str, options: Sequence[str] = (), retry_for_s: float = RETRY_FOR_S) -> None:
        self._link = Link(address, options)
        self._retry_for_s = retry_for_s
        self._last_output = time.monotonic()  # time of the last output from the device

    @property
    def host(self) -> str:
        return self._link.host

    def measure(self, job: Job, out: Path, progress: Progress) -> Path:
        needs = requirements(engines_of(job.artifacts, job.engines))
        return self.fetched(archive(job), needs, progress, lambda received: saved(received, job, out))

    def fetched(self, content: bytes, needs: Sequence[str], progress: Progress, save: Callable[[bytes], T]) -> T:
        """Run the bundle `content`, which needs the pip requirements `needs`; returns what `save` makes of its result.

        Raises what `measure` raises.
        """
        facts = probe(self._link, digest(content), digest(repr(list(needs))))
        self._with_retries(lambda: self._deliver(facts, content, progress), progress)
        python = self._with_retries(lambda: self._python(facts, progress), progress)
        state = self._run(facts, python, progress)
        result = save(self._received(facts, python, state, progress))
        with suppress(UnavailableError):  # the result is saved here; without this it is only fetched once more
            self._ask(facts, python, "collect")
        return result

    def _deliver(self, facts: Facts, content: bytes, progress: Progress) -> None:
        """Send the bundle unless it is complete on the device. Measurements of an earlier run stay there."""
        if facts.has_bundle:
            try:
                self._check(facts, "python3")
                return
            except FileError:  # only partly unpacked, or damaged
                pass
        self._send(facts, content, progress)
        self._check(facts, "python3")

    def _send(self, facts: Facts, content: bytes, progress: Progress) -> None:
        folder, part = shlex.quote(facts.folder), shlex.quote(f"{facts.folder}.part")
        script = (
            f"set -e; mkdir -p {folder} {part}; cd {part}; cat >a.tar.gz; test $(wc -c <a.tar.gz) -eq {len(content)}; "
            f"tar -xzf a.tar.gz; cp -R {FOLDER}-*/. {folder}; cd /; rm -r {part}"
        )
        done = self._link.run(script, content=content, sent=lambda sent: progress(sent, len(content), "sending"))
        if done.code:
            self._link.run(f"rm -rf {part}")
            raise self._refusal(done, "the bundle could not be unpacked there")

    def _python(self, facts: Facts, progress: Progress) -> str:
        """The interpreter to measure with.

        It is one that has all requirements, or a new virtual environment, or else the device's own python3.
        """
        own = f"{facts.environment}/bin/python"
        if facts.has_environment and not self._check(facts, own)["missing"]:
            return own
        found = self._check(facts, "python3")
        if not found["missing"]:
            return "python3"
        progress(0, 1, "installing")

        def say(line: str) -> None:
            progress(0, 1, read(line).get("line", "installing"))

        try:
            self._ask(facts, "python3", "install", facts.environment, say=say)
        except UnreachableError:
            raise
        except UnavailableError as error:
            if found["lacking"]:
                reason = one_line(error).removeprefix(f"{self.host}: ")
                how = f"install there: {' '.join(found['missing'])}"
                raise UnavailableError(
                    f"{self.host}: {found['lacking']}, and could not be installed: {reason}; fix that, or {how}"
                ) from None
            return "python3"  # cells of a missing engine become "unavailable"
        return own

    def _check(self, facts: Facts, python: str) -> JsonObject:
        return next(self._ask(facts, python, "check"))

    def _run(self, facts: Facts, python: str, progress: Progress) -> JsonObject:
        """Start the run and follow it until it is done; returns its state."""
        for _ in range(STARTS):
            state, last = self._with_retries(lambda: next(self._ask(facts, python, "start")), progress), ""
            if state["status"] != "done":
                state, last = self._followed(facts, python, progress)
            if state["status"] == "done":
                return state
            if state["status"] == "failed":
                raise failure(self.host, state)
        raise UnavailableError(f"{self.host}: the run was killed {STARTS} times; its last output: {last}")

    def _followed(self, facts: Facts, python: str, progress: Progress) -> tuple[JsonObject, str]:
        """Follow the run until it ends; returns its state and its last line of output."""
        seen: JsonObject = {"offset": 0, "line": "nothing"}

        def say(line: str) -> None:
            seen.update(read(line))
            step = STEP.fullmatch(seen["line"])
            if step:
                progress(int(step[1]), int(step[2]), step[3])

        def follow() -> JsonObject:
            *_, last = self._ask(facts, python, "follow", str(seen["offset"]), say=say)
            if "state" not in last:
                raise UnreachableError(f"{self.host}: the process that follows the run was killed")
            return last["state"]

        return self._with_retries(follow, progress), seen["line"]

    def _received(self, facts: Facts, python: str, state: JsonObject, progress: Progress) -> bytes:
        """Fetch the results file and verify its SHA-256."""
        content = bytearray()

        def say(line: str) -> None:
            content.extend(base64.b64decode(read(line).get("data", "")))
            progress(len(content), state["size"], "receiving")

        self._with_retries(lambda: list(self._ask(facts, python, "fetch", str(len(content)), say=say)), progress)
        if hashlib.sha256(content).hexdigest() != state["sha256"]:
            raise FileError(f"{self.host}: the result arrived damaged; give the same command again to fetch it again")
        return bytes(content)

    def _ask(
        self, facts: Facts, python: str, *verb: str, say: Callable[[str], object] = lambda line: None
    ) -> Iterator[JsonObject]:
        """Run a verb of the bundle's run.py and return its answers. Raises the error that the device reported."""
        words = " ".join(map(shlex.quote, (python, f"{facts.folder}/run.py", *verb)))

        def hear(line: str) -> None:
            self._last_output = time.monotonic()
            say(line)

        done = self._link.run(words, hear)
        if done.code:
            raise self._refusal(done, f"`run.py {verb[0]}` failed there")
        return iter([found for found in map(read, done.lines) if found] or [{}])

    def _refusal(self, done: Answer, what: str) -> FmnistEdgeError:
        found = [item for item in map(read, done.lines) if "error" in item]
        if found:
            return failure(self.host, found[-1])
        if SPACE in done.error:
            return FileError(f"{self.host}: its disk is full; free some space and give the command again")
        said = one_line(ValueError(done.error.strip().splitlines()[-1] if done.error.strip() else "no message"), 200)
        return UnavailableError(f"{self.host}: {what} ({said})")

    def _with_retries(self, action: Callable[[], T], progress: Progress) -> T:
        """Run `action`, and repeat it while the link is broken, for up to `retry_for_s`."""
        tries, since = 0, time.monotonic()
        while True:
            try:
                return action()
            except UnreachableError as error:
                if self._last_output > since:
                    tries, since = 0, self._last_output
                if time.monotonic() - since > self._retry_for_s:
                    raise UnreachableError(f"{error}; {RUN_CONTINUES}") from None
                progress(0, 1, "no link, trying again")
                time.sleep(min(PAUSES_S[min(tries, len(PAUSES_S) - 1)], self._retry_for_s))
                tries += 1


def digest(content: bytes | str) -> str:
    data = content.encode() if isinstance(content, str) else content
    return hashlib.sha256(data).hexdigest()[:16]


def failure(host: str, state: JsonObject) -> FmnistEdgeError:
    """The error that the device reported."""
    text = f"{host}: {state.get('error')}"
    if SPACE in text:
        return FileError(f"{host}: its disk is full; free some space there and give the same command again to continue")
    return UnavailableError(text) if state.get("exit_code") == UnavailableError.exit_code else FileError(text)


def saved(content: bytes, job: Job, out: Path) -> Path:
    """Write a results file that came from a device, under a file name chosen here. Raises FileError if it is none.

    Two devices of one kind may have begun in the same second: neither result replaces the other.
    """
    arriving = write_atomic(out / f".arriving-{digest(content)}.json.gz", content)
    try:
        result = results.load(arriving)
        device = environment.slug(str(result["machine"].get("device"))) or "unknown"
        named: Any = {**result, "machine": {"device": device}, "plan": {"name": job.plan.name}}
        with NAMING:
            return write_atomic(free_path(results.path_for(named, out), content), content)
    except (AttributeError, TypeError) as error:
        raise FileError(f"the device sent a file that is no results file ({type(error).__name__})") from None
    finally:
        arriving.unlink(missing_ok=True)


def free_path(path: Path, content: bytes) -> Path:
    """`path`, or the first of `path`-2, -3 and so on that has this very content or does not exist."""
    number, found = 1, path
    while found.exists() and found.read_bytes() != content:
        number += 1
        found = path.with_name(path.name.replace(".json.gz", f"-{number}.json.gz"))
    return found
