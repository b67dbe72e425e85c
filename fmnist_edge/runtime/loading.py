"""Check a model file before an engine loads it: its SHA-256 and its contract."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.errors import ArtifactError, one_line
from fmnist_edge.runtime.confidence import Confidence
from fmnist_edge.runtime.contract import Contract
from fmnist_edge.runtime.engine_catalog import is_folder
from fmnist_edge.runtime.folder import altered_files, read_folder
from fmnist_edge.runtime.manifest import Manifest, manifest_path
from fmnist_edge.runtime.trial import try_load

__all__ = ["Source", "check_hash", "read_whole"]

LARGEST_FILE = (1 << 31) - 1  # bytes; offsets in .tflite and lengths in .onnx files end there


@dataclass(frozen=True)
class Source:
    """A model file that passed its checks.

    Attributes:
        contract: how to feed it.
        golden: the manifest's section "golden"; None without one.
        sha256: of the content that was checked.
    """

    path: Path
    contract: Contract
    sha256: str
    golden: object = None
    confidence: Confidence | None = None

    @classmethod
    def of(cls, path: Path, engine: str, contract: Contract | None, try_first: bool = False) -> Source:
        """Check the file at `path`. Its contract is `contract`, or the manifest's, or the one inside the file.

        A file with a manifest must have its SHA-256. Without a manifest, and with `try_first`, the file is loaded in a
        child process. Raises ArtifactError when a check fails, when there is no contract, or when the contract inside
        the file differs from the manifest's.
        """
        if contract is not None or not manifest_path(path).is_file():
            return cls._after_trial(path, engine, contract)
        manifest = Manifest.read(path)
        content = read_whole(path)
        if is_folder(path) and (changes := altered_files(content, manifest.files)):
            raise ArtifactError(
                f"{path}: {one_line(Exception(changes), 200)} since the export; restore the folder, or export it again"
            )
        check_hash(path, content, manifest.sha256)
        inside = contract_in(path, content)
        different = manifest.contract.differences(inside) if inside else []
        if different:
            raise ArtifactError(
                f"{path}: its manifest and the contract inside it differ in {'; '.join(different)}; export it again"
            )
        if try_first:
            try_load(path, engine, advice="; load it without try_first, by its manifest")
        return cls(path, manifest.contract, manifest.sha256, manifest.golden, manifest.confidence)

    @classmethod
    def _after_trial(cls, path: Path, engine: str, contract: Contract | None) -> Source:
        content = read_whole(path)
        contract = contract or contract_in(path, content)
        if contract is None:
            raise ArtifactError(
                f"{path}: no manifest {manifest_path(path).name} beside it, and no contract inside; copy both files "
                "that `fmnist-edge export` wrote, or pass a Contract to Classifier.load"
            )
        beside = manifest_path(path)
        advice = (
            "load it without `contract`, by its manifest" if beside.is_file() else f"ship its manifest {beside.name}"
        )
        try_load(path, engine, advice=f"; {advice}")
        source = cls(path, contract, sha256_of(content))
        source.check()
        return source

    def check(self) -> None:
        """Raises ArtifactError when the file changed after it was checked, or cannot be read."""
        check_hash(self.path, read_whole(self.path), self.sha256)


def contract_in(path: Path, content: bytes) -> Contract | None:
    # Imported here, because importing the runtime loads no engine code.
    from fmnist_edge.runtime.embedded import embedded_contract

    return embedded_contract(path, content)


def read_whole(path: Path) -> bytes:
    """The content of a file, or of an artifact that is a folder."""
    if is_folder(path):
        return read_folder(path)
    try:
        size = path.stat().st_size
        if size > LARGEST_FILE:  # a sparse file of this size may take no disk space
            raise ArtifactError(f"{path}: {size:,} bytes; expected {LARGEST_FILE:,} at most")
        return path.read_bytes()
    except OSError as error:
        raise ArtifactError(f"{path}: cannot be read ({error.strerror or error})") from None


def check_hash(path: Path, content: bytes, expected: str) -> None:
    """Raises ArtifactError when the SHA-256 of the file's content is not the `expected` one."""
    digest = sha256_of(content)
    if digest != expected:
        raise ArtifactError(
            f"{path}: SHA-256 is {digest[:12]}…, expected {expected[:12]}…; "
            "the file was truncated or altered, export it again"
        )


def sha256_of(content: bytes) -> str:
    import hashlib  # imported here, because it loads OpenSSL

    return hashlib.sha256(content).hexdigest()
