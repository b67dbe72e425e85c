"""`fmnist-edge npu`: which ops of an artifact go to an NPU, and the file compiled for it."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from fmnist_edge.commands import arguments
from fmnist_edge.commands.command import Group, Help
from fmnist_edge.errors import ArtifactError, GateError, InputError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact
    from fmnist_edge.boards.npu.placement import Placement
    from fmnist_edge.boards.npu.vela import Compiled, Settings
    from fmnist_edge.catalog.npus import Npu

__all__ = ["HELP", "add_arguments", "run"]

HELP = Help(
    group=Group.EXPORT,
    order=5,
    summary="tell which ops an NPU runs, and compile for Arm Ethos-U",
    description="""
        For an Arm Ethos-U, compiles .tflite files with Arm's compiler Vela, and says which ops go to the NPU, which
        stay on the CPU and why, how much SRAM and flash the model takes, and Vela's estimate of the cycles. The
        compiled file gets a manifest with the golden vectors of the original. Only such an NPU runs it.

        For edge-tpu and nnapi, holds the ops to the list that the maker publishes. This says no more than the list:
        limits that need more than the file are printed, not checked.
        """,
    examples=(
        ("Compile for an Ethos-U55 with 128 MACs", "npu exported/tiny_resnet/int8.tflite --target ethos-u55-128"),
        ("By the Edge TPU's list of ops", "npu exported/tiny_resnet/int8.tflite --target edge-tpu"),
    ),
    gate="an op stays on the CPU, or is not in the list",
    extra="npu",
)  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from fmnist_edge.catalog.npus import NPUS

    what = parser.add_argument_group("What to compile")
    arguments.artifacts(what)
    what.add_argument("--target", action="append", required=True, choices=list(NPUS), metavar="NPU", help="An NPU.")
    how = parser.add_argument_group("How Vela compiles")
    how.add_argument("--vela", metavar="PROGRAM", help="Vela's program. Default: the installed one.")
    how.add_argument("--system-config", metavar="NAME", help="Vela's system configuration. Default: Vela's.")
    how.add_argument("--memory-mode", metavar="NAME", help="Vela's memory mode. Default: Vela's.")
    output = parser.add_argument_group("Output")
    arguments.out(output, "exported", "Folder of the compiled files, one folder a model.")
    arguments.report(output, "reports/npu.json")
    output.add_argument(
        "--page", type=Path, metavar="FILE.md", help="Also write the table between this page's markers <!-- npu -->."
    )


def run(options: argparse.Namespace) -> None:
    from fmnist_edge.artifact import collect
    from fmnist_edge.boards.npu import tables
    from fmnist_edge.boards.npu.vela import Settings
    from fmnist_edge.catalog.npus import NPUS
    from fmnist_edge.files import check_writable, write_json

    artifacts = [item for item in collect(options.artifacts) if item.path.suffix == ".tflite"]
    if not artifacts:
        raise ArtifactError(
            "none of these is a .tflite file, which is what NPUs take; export one with --precision int8"
        )
    check_writable(options.report.parent)
    settings = Settings(options.vela, options.system_config, options.memory_mode)
    npus = [NPUS[name] for name in dict.fromkeys(options.target)]
    found = {str(item.path): [place(item, npu, settings, options.out) for npu in npus] for item in artifacts}
    shown = {"/".join(Path(name).parts[-2:]): placements for name, placements in found.items()}
    print(tables.summary(shown) + "\n")
    for line in tables.notes(shown):
        print(line)
    report = {name: [placement.as_dict() for placement in placements] for name, placements in found.items()}
    write_json(options.report, {"schema": 1, "artifacts": report})
    print(f"wrote {options.report}")
    if options.page is not None:
        write_page(options.page, shown)
    raise_if_on_cpu(found)


def place(artifact: Artifact, npu: Npu, settings: Settings, out: Path) -> Placement:
    """Where the ops of `artifact` run on `npu`. For an Ethos-U, also writes the compiled file."""
    from fmnist_edge.boards.npu import rules, vela
    from fmnist_edge.runtime.loading import check_hash, read_whole

    content = read_whole(artifact.path)
    check_hash(artifact.path, content, artifact.manifest.sha256)
    ops = rules.ops_of(content, str(artifact.path))
    if not npu.vela:
        return rules.judge(npu, ops)
    result = vela.compiled(artifact.path, npu, len(ops), settings)
    written = write(artifact, npu, result, out)
    print(f"wrote {written.path}")
    return result.placement


def write(artifact: Artifact, npu: Npu, result: Compiled, out: Path) -> Artifact:
    """Write the compiled file with its manifest: the original's, golden vectors included, and Vela's figures."""
    import hashlib

    from fmnist_edge.artifact import Artifact

    path = out / artifact.model / f"{artifact.path.stem}.{npu.name}.vela"
    original = artifact.manifest
    left_out = ("parity", "op_census", "size_bytes")  # these are about the original file
    sections = {name: value for name, value in original.as_dict().items() if name not in left_out}
    sections |= {
        "artifact": path.name,
        "format": "vela",
        "sha256": hashlib.sha256(result.content).hexdigest(),
        "compiled_from": {"artifact": artifact.path.name, "sha256": original.sha256},
        "npu": result.placement.as_dict(),
        "versions": {**original.versions, "ethos-u-vela": result.version},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    return Artifact.write(path, result.content, original.from_dict(sections))


def write_page(path: Path, shown: dict[str, list[Placement]]) -> None:
    from fmnist_edge.boards.npu import tables
    from fmnist_edge.files import write_atomic
    from fmnist_edge.report.readme import read

    text = tables.page(read(path), shown)
    if text is None:
        raise InputError(
            f"{path}: has no line {tables.OPEN} followed by {tables.CLOSE}; add both where the table belongs"
        )
    write_atomic(path, text)
    print(f"wrote {path}")


def raise_if_on_cpu(found: dict[str, list[Placement]]) -> None:
    failed = [
        f"{name} ({placement.npu})"
        for name, placements in found.items()
        for placement in placements
        if placement.on_cpu
    ]
    if failed:
        raise GateError(f"not all ops go to the NPU: {', '.join(failed)}")
