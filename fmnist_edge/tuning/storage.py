"""Where a study lives: one URL for every Optuna storage, so that many machines share it, and errors of our tree."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError, UnavailableError, one_line

__all__ = ["open_storage", "storage_errors"]

FORMS = "sqlite:///FILE.db, postgresql://…, mysql://…, redis://…, grpc://HOST:PORT, journal:FILE or a FILE.log"
GRPC_PORT = 13000  # Optuna's own default
GRPC_TIMEOUT_S = 10
RETRIES, PAUSE_S = 4, 0.5
ENGINE = {"pool_pre_ping": True}  # trials take minutes, and servers close connections that were idle for as long
DRIVERS = ("grpc", "redis", "sqlalchemy")


def open_storage(url: str) -> Any:
    """The Optuna storage that `url` names; a file's folder is made if need be.

    journal:FILE, or a FILE ending in .log, is a log on a (network) drive; redis://… is the same log on a server;
    grpc://HOST:PORT is Optuna's proxy in front of a database; anything else is a database URL of SQLAlchemy.

    Raises InputError for what is no URL, UnavailableError for a driver that is not installed or a server that does
    not answer, FileError for a file that cannot be used.
    """
    from optuna.storages import GrpcStorageProxy, JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalRedisBackend

    with storage_errors(url):
        scheme, found, _ = url.partition(":")
        if scheme == "journal" or url.endswith(".log"):
            path = Path(url.removeprefix("journal:").removeprefix("//"))
            return JournalStorage(JournalFileBackend(str(made_folder(path))))
        if not found:
            raise InputError(f"storage {url!r} is no URL; expected one of: {FORMS}")
        if scheme in ("redis", "rediss"):
            return JournalStorage(JournalRedisBackend(url))
        if scheme == "grpc":
            host, port = urlsplit(url).hostname, urlsplit(url).port
            if host is None:
                raise InputError(f"storage {url!r} names no host; expected grpc://HOST:PORT")
            proxy = GrpcStorageProxy(host=host, port=port or GRPC_PORT)
            proxy.wait_server_ready(timeout=GRPC_TIMEOUT_S)
            return proxy
        if url.startswith("sqlite:///"):
            made_folder(Path(url.removeprefix("sqlite:///").partition("?")[0]))
        return database(url)


def database(url: str) -> Any:
    """The database that `url` names, with Optuna's tables, which workers that start together all try to make."""
    from optuna.storages import RDBStorage

    for _ in range(RETRIES):
        try:
            return RDBStorage(url, engine_kwargs=ENGINE)
        except Exception as error:
            if "already exists" not in str(error) and "IntegrityError" not in names(error):
                raise
            time.sleep(PAUSE_S)
    return RDBStorage(url, engine_kwargs=ENGINE)


def made_folder(path: Path) -> Path:
    """`path`, whose folder exists now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def storage_errors(url: str, *, mixed: bool = False) -> Iterator[None]:
    """Turn whatever Optuna, SQLAlchemy or a driver raises about the storage into one line of our tree.

    Args:
        mixed: other work is done in here too, so only what is certainly the storage's fault is turned. Without it
            anything is taken for that.
    """
    try:
        yield
    except FmnistEdgeError:
        raise
    except Exception as error:
        ours = "StorageInternalError" in names(error) or type(error).__module__.partition(".")[0] in DRIVERS
        if mixed and not ours:
            raise
        raise translated(url, error) from error


def translated(url: str, error: Exception) -> FmnistEdgeError:
    """The error of our tree that tells what is wrong with the storage; the password in `url` is not shown."""
    shown = re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)
    why = one_line(error)
    if hasattr(error, "details"):  # gRPC's, whose own text is a dump of many lines
        why = str(error.details())
    why = why.replace(url, shown)
    if isinstance(error, ImportError):
        return UnavailableError(f"storage {shown} needs a driver that is not installed ({why})")
    if "ArgumentError" in names(error):  # SQLAlchemy's: no URL, or a dialect that it does not know
        return InputError(f"storage {shown} cannot be understood ({why}); expected one of: {FORMS}")
    if is_file(url):
        return FileError(f"storage {shown} cannot be used ({why})")
    if isinstance(error, ValueError):
        return InputError(f"storage {shown} cannot be understood ({why}); expected one of: {FORMS}")
    return UnavailableError(f"storage {shown} cannot be reached ({why})")


def names(error: Exception) -> set[str]:
    """The names of an error's classes: SQLAlchemy's cannot be imported where only other storages are used."""
    return {kind.__name__ for kind in type(error).__mro__}


def is_file(url: str) -> bool:
    return url.startswith(("sqlite:", "journal:")) or url.endswith(".log")
