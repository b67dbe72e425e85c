"""The parent process: run a Job in children and collect what became of each precision."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from threading import Event, RLock, Thread

from fmnist_edge import errors
from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact
from fmnist_edge.checkpoints import find
from fmnist_edge.conversion.job import Job, Outcome, Tuning
from fmnist_edge.conversion.suspects import crashing_layer
from fmnist_edge.errors import CheckpointError, ExportError, FmnistEdgeError
from fmnist_edge.exporters.findings import Findings
from fmnist_edge.files import locked
from fmnist_edge.runtime.contract import is_plain
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.calls import call
from fmnist_edge.worker.endings import Ending, Status
from fmnist_edge.worker.temporary import temporary_folder

__all__ = ["export_model"]

TASK = "fmnist_edge.conversion.child:export_all"
LOOK_S = 0.2  # seconds after which Ctrl-C is noticed, whichever thread got the signal
MOST_AT_ONCE = 512 << 20  # bytes of a model's file; as float16, its weights are 1 GB in memory
Progress = Callable[[int, int, str], None]


def export_model(job: Job, progress: Progress = lambda done, total, text: None) -> list[Outcome]:
    """Export one model in all precisions of a job; an Outcome for each, in their order.

    Each format has a child, and they run at once, unless `formats_at_once` says no: then one child does all. After a
    crash, which refuses one precision, another child does the rest.

    Raises what loading the model raises, FileError when a file cannot be written, CheckpointError when loading crashes.
    If one child of several fails in such a way, its precisions are refused with that error.
    """
    check_name(job)
    with temporary_folder("export") as scratch, ExitStack() as locks:  # a child that is killed leaves files behind
        formats = list(dict.fromkeys(format for format, _ in job.precisions))
        shared = Shared(job, progress, {"TMPDIR": str(scratch)}, locks)
        if len(formats) < 2 or not formats_at_once(job):
            return Part(shared, job).run()
        parts = [Part(shared, replace(job, todo=indices_of(job, format), locks=False)) for format in formats]
        together(parts, shared.cancelled)
        raised = [part.error for part in parts if part.error is not None]
        internal = [error for error in raised if not isinstance(error, FmnistEdgeError)]
        if internal or len(raised) == len(parts):
            raise (internal or raised)[0]
        found = {index: outcome for part in parts for index, outcome in part.results()}
        return [found[index] for index in sorted(found)]


def check_name(job: Job) -> None:
    """Raises CheckpointError for a model whose file has a name that a manifest cannot have, and what `find` raises."""
    name, path = find(job.model, Path(job.trained))
    if not is_plain(name):
        raise CheckpointError(
            f"{str(path)!r}: its name has control characters, or is not UTF-8, and manifests have the name; rename it"
        )


def indices_of(job: Job, format: str) -> list[int]:
    return [index for index, (name, _) in enumerate(job.precisions) if name == format]


class Shared:
    """What the children of one export share; their threads call its methods.

    Attributes:
        environment: variables of the children.
        cancelled: ends the children.
        folder: that they write to; the one around it until the model has its name.
    """

    def __init__(self, job: Job, progress: Progress, environment: dict[str, str], locks: ExitStack) -> None:
        self.environment, self.cancelled = environment, Event()
        self._lock, self._progress, self._folders = RLock(), progress, locks
        self.folder = Path(job.out)
        self._done, self._total, self._locked = 0, len(job.precisions), False

    def show(self, text: str) -> None:
        """Show what is done next."""
        with self._lock:
            self._progress(self._done, self._total, text)

    def show_steps(self, done: int, total: int, text: str) -> None:
        """Show the steps of a search in place of the precisions."""
        with self._lock:
            self._progress(done, total, text)

    def count(self) -> None:
        """Count a precision that is done."""
        with self._lock:
            self._done += 1

    def lock_folder(self, name: str) -> None:
        """Lock the model's folder in this process, for children that do not. Raises FileError like `files.locked`."""
        with self._lock:
            if not self._locked:
                self._folders.enter_context(locked(self.folder / name))
                self.folder, self._locked = self.folder / name, True


class Part:
    """The precisions that one child makes, or that one child after another makes.

    Attributes:
        outcomes: in the order of the job's `indices`.
        error: what `run` raised in a thread of its own.
    """

    def __init__(self, shared: Shared, job: Job) -> None:
        self.outcomes: list[Outcome] = []
        self.error: Exception | None = None
        self._shared, self._job = shared, job

    def run(self) -> list[Outcome]:
        """Make them all. Raises as `export_model` says."""
        todo = self._job.indices()
        while len(self.outcomes) < len(todo):
            rest = replace(self._job, todo=todo[len(self.outcomes) :])
            events = Events(rest, self.outcomes, self._shared)
            end = call(
                TASK,
                asdict(rest),
                environment=self._shared.environment,
                on_progress=events.add,
                cancelled=self._shared.cancelled,
            )
            if end.status is Status.DONE or self._shared.cancelled.is_set():
                break
            if end.error is not None:
                raise end.error
            if end.status is Status.FAILED:
                raise RuntimeError(end.reason)
            if events.path is None:
                raise CheckpointError(f"{rest.model}: loading it {end.reason}; the file is damaged or hostile")
            index = todo[len(self.outcomes)]
            layer = crashing_layer(rest, index, self._shared.environment, self._shared.show_steps)
            self.outcomes.append(Outcome(events.path, error=crash_error(rest, index, end, layer)))
            self._shared.count()
        return self.outcomes

    def run_in_thread(self) -> None:
        try:
            self.run()
        except Exception as error:
            self.error = error

    def results(self) -> list[tuple[int, Outcome]]:
        """(index, outcome) of each precision. Those that an error kept from being tried are refused with it."""
        indices = self._job.indices()
        found = list(zip(indices, self.outcomes, strict=False))
        if isinstance(self.error, FmnistEdgeError):
            folder, precisions = self._shared.folder, self._job.selected()
            found += [
                (index, Outcome(folder / precisions[index].filename, error=self.error, whole_model=True))
                for index in indices[len(found) :]
            ]
        return found


def together(parts: Sequence[Part], cancelled: Event) -> None:
    """Run all parts at once, each in a thread. Ctrl-C ends their children."""
    threads = [Thread(target=part.run_in_thread) for part in parts]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(LOOK_S)
    except BaseException:
        cancelled.set()
        for thread in threads:
            if thread.is_alive():
                thread.join()
        raise


def formats_at_once(job: Job) -> bool:
    """Whether children may run at once: on several cores, and if there is memory for the model in each.

    The remedies of --tune-accuracy have a time limit: they get all cores.
    """
    return job.tune_accuracy is None and usable_cores() > 1 and model_bytes(job) <= MOST_AT_ONCE


def usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def model_bytes(job: Job) -> int:
    """Size of the model's file, unpacked if it is a zip, or of all files in its folder. 0 if it cannot be read."""
    try:
        _, path = find(job.model, Path(job.trained))
        if path.is_dir():
            return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return sum(member.file_size for member in archive.infolist())
        return path.stat().st_size
    except (FmnistEdgeError, OSError, ValueError, zipfile.BadZipFile, NotImplementedError):
        return 0  # the child says what is wrong with it


def crash_error(job: Job, index: int, end: Ending, layer: str | None) -> ExportError:
    """The refusal of a precision whose conversion ended the child."""
    precision = job.selected()[index]
    how = f"crashed ({end.signal})" if end.signal else f"ended its process ({end.reason})"
    memory = ", perhaps because memory ran out," if end.signal == "SIGKILL" else ""
    where = f"on layer {layer}" if layer else "on this model"
    return ExportError(
        f"the converter {how}{memory} {where} in {precision.format} {precision.name}; choose another precision or "
        "format, or replace the layer"
    )


class Events:
    """The events of one child, see `child.export_all`, as Outcomes.

    Attributes:
        path: of the artifact that is being made; None while the model is being loaded.
    """

    def __init__(self, job: Job, outcomes: list[Outcome], shared: Shared) -> None:
        """`outcomes` gets one for each precision that is done."""
        self.path: Path | None = None
        self._outcomes, self._shared = outcomes, shared
        self._findings: Findings | None = None
        self._precisions, self._out, self._locks = job.selected(), Path(job.out), job.locks

    def add(self, event: JsonObject) -> None:
        """Take the next event. Raises FileError when another run writes to the folder."""
        match event:
            case {"loaded": name}:
                if not self._locks:
                    self._shared.lock_folder(name)
                self._out /= name
            case {"findings": findings}:
                self._findings = Findings.from_json(findings)
            case {"begun": index}:
                filename = self._precisions[index].filename
                self.path = self._out / filename
                self._shared.show(filename)
            case {"remedy": (count, most, text)}:
                self._shared.show(f"remedy {count} of {most}: {text}")
            case {"written": {"path": path, "tuning": tuning}}:
                artifact = Artifact(Path(path), Manifest.read(path))
                remedies = Tuning(**tuning) if tuning else None
                self._done(Outcome(artifact.path, artifact, tuning=remedies, findings=self._findings))
            case {"same": path}:
                self._named_also(Path(path))
                self._done(Outcome(self.path or self._out, same_as=Path(path), findings=self._findings))
            case {"refused": (kind, message)}:
                error: type[FmnistEdgeError] = vars(errors)[kind]
                self._done(Outcome(self.path or self._out, error=error(message), findings=self._findings))

    def _done(self, outcome: Outcome) -> None:
        self._outcomes.append(outcome)
        self._shared.count()

    def _named_also(self, path: Path) -> None:
        """Read again the manifest of an artifact that has got another precision's name."""
        for index, outcome in enumerate(self._outcomes):
            if outcome.artifact is not None and outcome.path == path:
                self._outcomes[index] = replace(outcome, artifact=Artifact(path, Manifest.read(path)))
