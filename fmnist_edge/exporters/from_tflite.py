"""Export a finished `.tflite` file as C or as a web page: the file's own integers, without Keras and TensorFlow."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from fmnist_edge.aliases import JsonObject
from fmnist_edge.artifact import Artifact, tensor_entry, versions_of
from fmnist_edge.catalog.formats import FORMATS
from fmnist_edge.catalog.precisions import Precision
from fmnist_edge.errors import ArtifactError, ExportError, InputError
from fmnist_edge.exporters.calibration_images import Calibration, calibration_for, from_labelled
from fmnist_edge.exporters.findings import Findings, check_strict
from fmnist_edge.exporters.golden import golden_for, golden_images_for
from fmnist_edge.exporters.tflite_contract import ContractOptions, contract_of, image_form_of, preprocessing_of
from fmnist_edge.exporters.tflite_input import TFLiteInput
from fmnist_edge.exporters.tflite_sources import EXPORTED_FROM, TFLiteSourcesExporter
from fmnist_edge.files import locked
from fmnist_edge.runtime.contract import Contract, is_plain
from fmnist_edge.runtime.engine_catalog import ENGINES
from fmnist_edge.runtime.golden import Golden
from fmnist_edge.runtime.manifest import Manifest
from fmnist_edge.worker.temporary import temporary_file

__all__ = ["GoldenOptions", "check_folder_name", "export_tflite"]

ORACLE = "numpy"  # the engine whose bits the sources have
PACKAGES = ("numpy", "pillow")  # whose versions determine what is written
LONGEST_NAME = 200  # bytes


@dataclass(frozen=True)
class GoldenOptions:
    """The images of the golden vectors. None and False for what was not given.

    Attributes:
        images: path of the user's own, as --calibration takes them.
        data: folder of Fashion-MNIST, whose images they are then.
        skip_bad: whether to leave out image files that cannot be read.
    """

    images: str | None = None
    data: str | None = None
    skip_bad: bool = False


def export_tflite(
    path: Path,
    precision: Precision,
    out: Path,
    contract_options: ContractOptions,
    golden_options: GoldenOptions,
    *,
    name: str | None = None,
    strict: bool = False,
) -> tuple[Artifact, Findings]:
    """Write `out/<name>/<precision>.<format>`, a folder, with its manifest beside it.

    Args:
        name: of the model. None means the one in the manifest beside the file, else the file's name.
        strict: whether a warning is an InputError, before anything is written.

    Raises ExportError for a file that C cannot compute, ArtifactError for one that is damaged or not its manifest's,
    InputError for options that do not fit, FileError for what cannot be read or written.
    """
    exporter = FORMATS[precision.format].exporter()
    title = exporter.title if isinstance(exporter, TFLiteSourcesExporter) else precision.format
    file = TFLiteInput.read(path, title)
    name = name or name_of(file)
    check_folder_name(name, path)
    contract, findings, images = contract_and_images(file, contract_options, golden_options)
    if strict:
        check_strict(name, findings.warnings)
    golden, tensors = golden_of(file, contract, images)
    sections = sections_of(file, precision, name, contract, findings, tensors, golden)
    manifest = Manifest.of(precision.filename, sections)
    files = [] if images is None else images.files_of(golden.images)
    sources = exporter.sources(file.content, manifest, golden.images[0], files)
    folder = out / name
    with locked(folder):
        complete = manifest.with_sections({"size_bytes": len(file.content), **sources.facts})
        artifact = Artifact.write_folder(
            folder / precision.filename, sources.files, complete, carries_manifest=sources.carries_manifest
        )
    return artifact, findings


def name_of(file: TFLiteInput) -> str:
    known = None if file.manifest is None else file.manifest.model
    return file.path.stem if known is None else known.name


def check_folder_name(name: str, path: Path) -> None:
    """Raises InputError for a name that cannot be a folder's and a manifest's."""
    parts = Path(name).parts
    if parts != (name,) or name.startswith(".") or not is_plain(name) or len(name.encode()) > LONGEST_NAME:
        raise InputError(
            f"{path}: the model's name is {name!r:.80}, which is no name of a folder; give another by --name"
        )


def contract_and_images(
    file: TFLiteInput, options: ContractOptions, given: GoldenOptions
) -> tuple[Contract, Findings, Calibration | None]:
    """The contract, what to say about it, and the user's images; None if there are none."""
    from fmnist_edge.data.labelled import read_labelled

    decision = preprocessing_of(file, options)
    own = None
    if given.images is not None:
        own = read_labelled(given.images, image_form_of(file, options), skip_bad=given.skip_bad)
    contract = contract_of(file, options, decision, None if own is None else own.names)
    images = None if own is None else from_labelled(own, contract)
    if images is None and given.data is not None:
        images = calibration_for(contract, None, given.data)
        if images is None:
            raise InputError(
                f"--data is for models of Fashion-MNIST, and {file.path} takes {contract.input_shape} and has other "
                "labels; give images with --calibration"
            )
    known = () if file.manifest is None else file.manifest.warnings
    notes = () if images is None else images.notes
    return contract, Findings(decision.source, decision.reason, (*decision.warnings, *known), notes), images


def golden_of(file: TFLiteInput, contract: Contract, images: Calibration | None) -> tuple[Golden, list[JsonObject]]:
    """The golden vectors, and the input and output tensor for the manifest.

    Their images are the user's, else those of the manifest's golden vectors, else noise.
    """
    before = None if file.manifest is None or images is not None else file.manifest.golden_vectors()
    pixels = images.images if images is not None else None if before is None else before.images
    with temporary_file("model.tflite", file.content) as path:
        try:
            golden = golden_for(path, contract, golden_images_for(contract, pixels), (ORACLE,))
            engine = ENGINES[ORACLE].load(path)
        except ArtifactError as error:
            raise ExportError(f"{file.path}: {str(error).removeprefix(f'{path}: ')}") from None
    return golden, [
        {**tensor_entry(spec), "shape": list(tensor.shape)}
        for spec, tensor in ((engine.input, file.model.input), (engine.output, file.model.output))
    ]


def sections_of(
    file: TFLiteInput,
    precision: Precision,
    name: str,
    contract: Contract,
    findings: Findings,
    tensors: list[JsonObject],
    golden: Golden,
) -> JsonObject:
    """The manifest's. The model is the Keras model of the file's manifest, else the file itself."""
    document = {} if file.manifest is None else file.manifest.document
    known = document.get("model")
    model = {**known, "name": name} if isinstance(known, dict) else {"name": name, "sha256": file.sha256}
    return {
        "format": precision.format,
        "precision": precision.name,
        "sha256": file.sha256,
        "model": model,
        EXPORTED_FROM: {"format": "tflite", "file": file.path.name, "sha256": file.sha256},
        "batch": 1,
        "inputs": tensors[:1],
        "outputs": tensors[1:],
        "contract": contract.as_dict(),
        "recipe": precision.recipe(),
        "keep_float": [],
        "calibration": document.get("calibration"),
        **findings.as_sections(),
        "op_census": dict(sorted(Counter(op.kind for op in file.model.ops).items())),
        "float_ops": [],
        "versions": versions_of(PACKAGES),
        "golden": golden.as_dict(),
    }
