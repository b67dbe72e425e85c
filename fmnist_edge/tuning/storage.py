"""Open the storage of a study from a URL, so that many machines can share it, and translate its errors into ours."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fmnist_edge.errors import FileError, FmnistEdgeError, InputError, UnavailableError, one_line

if TYPE_CHECKING:
    import optuna

__all__ = ["open_storage", "storage_errors"]

FORMS = "sqlite:///FILE.db, postgresql://…, mysql://…, redis://…, grpc://HOST:PORT, journal:FILE or a FILE.log"
GRPC_PORT = 13000  # Optuna's default
GRPC_TIMEOUT_S = 10
RETRIES, PAUSE_S = 4, 0.5
ENGINE = {"pool_pre_ping": True}  # trials take minutes, and a server may close an idle connection in that time
DRIVERS = ("grpc", "redis", "sqlalchemy")


def open_storage(url: str) -> optuna.storages.BaseStorage:
    """Open the Optuna storage at `url`; creates a file's folder if needed.

    journal:FILE, or a FILE ending in .log, is a log on a (network) drive. redis://… is the same kind of log on a
    server. grpc://HOST:PORT is Optuna's proxy for a database. Anything else is a database URL of SQLAlchemy.

    Raises InputError when `url` is no URL, UnavailableError when a driver is not installed or a server does not answer,
    and FileError when a file cannot be used.
    """
    from optuna.storages import GrpcStorageProxy, JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalRedisBackend

    with storage_errors(url):
        scheme, found, _ = url.partition(":")
        if scheme == "journal" or url.endswith(".log"):
            path = Path(url.removeprefix("journal:").removeprefix("//"))
            return JournalStorage(JournalFileBackend(str(with_folder(path))))
        if not found:
            raise InputError(f"storage {url!r} is not a URL; expected one of: {FORMS}")
        if scheme in ("redis", "rediss"):
            return JournalStorage(JournalRedisBackend(url))
        if scheme == "grpc":
            host, port = urlsplit(url).hostname, urlsplit(url).port
            if host is None:
                raise InputError(f"storage {url!r} has no host; expected grpc://HOST:PORT")
            proxy = GrpcStorageProxy(host=host, port=port or GRPC_PORT)
            proxy.wait_server_ready(timeout=GRPC_TIMEOUT_S)
            return proxy
        if url.startswith("sqlite:///"):
            with_folder(Path(url.removeprefix("sqlite:///").partition("?")[0]))
        return database(url)


def database(url: str) -> optuna.storages.BaseStorage:
    """Open the database at `url` and create Optuna's tables. Retries, because workers that start together all create
    them."""
    from optuna.storages import RDBStorage

    for _ in range(RETRIES):
        try:
            return RDBStorage(url, engine_kwargs=ENGINE)
        except Exception as error:
            if "already exists" not in str(error) and "IntegrityError" not in class_names(error):
                raise
            time.sleep(PAUSE_S)
    return RDBStorage(url, engine_kwargs=ENGINE)


def with_folder(path: Path) -> Path:
    """Create the folder of `path`; returns `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def storage_errors(url: str, *, mixed: bool = False) -> Iterator[None]:
    """Translate errors of Optuna, SQLAlchemy or a driver about the storage into one of our errors, with one line.

    Args:
        mixed: the block also does other work, so only errors that certainly come from the storage are translated.
            Without it all errors are.
    """
    try:
        yield
    except FmnistEdgeError:
        raise
    except Exception as error:
        ours = "StorageInternalError" in class_names(error) or type(error).__module__.partition(".")[0] in DRIVERS
        if mixed and not ours:
            raise
        raise translated(url, error) from error


def translated(url: str, error: Exception) -> FmnistEdgeError:
    """The FmnistEdgeError that says what is wrong with the storage. It hides the password in `url`."""
    shown = re.sub(r"(//[^:/@]*):[^@]*@", r"\1:***@", url)
    why = one_line(error)
    if hasattr(error, "details"):  # a gRPC error, whose text would be a dump of many lines
        why = str(error.details())
    why = why.replace(url, shown)
    if isinstance(error, ImportError):
        return UnavailableError(f"storage {shown} needs a driver that is not installed ({why})")
    if "ArgumentError" in class_names(error):  # from SQLAlchemy: not a URL, or an unknown dialect
        return InputError(f"storage {shown} cannot be understood ({why}); expected one of: {FORMS}")
    if is_file(url):
        return FileError(f"storage {shown} cannot be used ({why})")
    if isinstance(error, ValueError):
        return InputError(f"storage {shown} cannot be understood ({why}); expected one of: {FORMS}")
    return UnavailableError(f"storage {shown} cannot be reached ({why})")


def class_names(error: Exception) -> set[str]:
    """The names of an error's classes. Names, because SQLAlchemy may not be installed when other storages are used."""
    return {kind.__name__ for kind in type(error).__mro__}


def is_file(url: str) -> bool:
    return url.startswith(("sqlite:", "journal:")) or url.endswith(".log")
