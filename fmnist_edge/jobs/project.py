"""How project files are used: what an option does not say, the file beside the artifacts does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from fmnist_edge.catalog.models import MODELS
from fmnist_edge.data.project import FILE, KEYS, Project, Value, project_beside
from fmnist_edge.errors import FmnistEdgeError, InputError, UnavailableError

if TYPE_CHECKING:
    from fmnist_edge.artifact import Artifact

__all__ = ["CHECK", "EXPLAIN", "IMAGES", "by_project", "facts_for", "facts_in", "filled", "of_model"]

Options = TypeVar("Options")

# Option -> key of the project file that is used when the option is not given.
CHECK = {"reference": "model", "images": "test", "labels": "test_labels"}
EXPLAIN = {"reference": "model", "images": "train", "labels": "labels"}
IMAGES = {"images": "test"}
# Option of `export` -> key.
EXPORT = {"calibration": "train", "test": "test", "test_labels": "test_labels", "labels": "labels"} | {
    name: name for name, key in KEYS.items() if key.kind != "path"
}
UNUSED_BY_EXPORT = ("test", "test_labels")  # they stay from one export to the next


def by_project(
    options: Options, artifacts: Sequence[Artifact], keys: Mapping[str, str]
) -> list[tuple[Options, list[Artifact]]]:
    """The artifacts in groups that use the same data, each with options that say which.

    Raises InputError for a project file with a wrong key or value, or a path to nothing.
    """
    groups: dict[tuple[object, ...], tuple[Options, list[Artifact]]] = {}
    folders: dict[Path, Options] = {}
    for artifact in artifacts:
        folder = artifact.path.parent
        if folder not in folders:
            folders[folder] = filled(options, project_beside(artifact.path), keys)
        mine = folders[folder]
        group = tuple(getattr(mine, option, None) for option in keys)
        images = getattr(mine, "images", None)
        if images is None or images != getattr(options, "images", None):  # they are of a shape and classes
            group += artifact.contract.input_shape, artifact.contract.labels
        groups.setdefault(group, (mine, []))[1].append(artifact)
    return list(groups.values())


def filled(options: Options, project: Project | None, keys: Mapping[str, str]) -> Options:
    """A copy of the options, in which those of `keys` that are not given have what the project says."""
    found = copy(options)
    if project is None:
        return found
    for option, key in keys.items():
        # Labels belong to images: those of the file are not for images that the user gives.
        strange = key == "test_labels" and getattr(options, "images", None) is not None
        if getattr(options, option, None) is None and not strange:
            value = project.existing(key) if KEYS[key].kind == "path" else project.values.get(key)
            setattr(found, option, value)
    return found


def of_model(options: Options, model: str) -> tuple[str, Options]:
    """The model and the options, of which a project file gives those that the command line does not.

    Raises what reading it raises, InputError if it names no model, UnavailableError where Python cannot read it.
    """
    if not model.endswith(".toml"):
        return model, options
    project = Project.read(Path(model))
    if project is None:
        raise UnavailableError(f"{model}: reading it needs Python 3.11 or later")
    named = project.existing("model")
    if named is None:
        raise InputError(f'{model}: has no model; expected model = "a path, relative to this file"')
    return named, filled(options, project, EXPORT)


def facts_for(options: Any, model: str) -> Project | None:
    """What to keep for the other commands, in the folder of the files; None for a model of the zoo.

    Raises InputError for facts that cannot be written, before anything is converted.
    """
    from fmnist_edge import checkpoints

    if model in MODELS:
        return None
    try:
        name, path = checkpoints.find(model)
    except FmnistEdgeError:
        return None  # the export says what is wrong with it
    return facts_in(options, path, options.out / name / FILE)


def as_value(given: object) -> Value:
    """What the command line gave, as the file has it."""
    if isinstance(given, (list, tuple)):
        return tuple(map(float, given))
    return given if isinstance(given, (int, float)) else str(given)


def facts_in(options: Any, model: Path, path: Path) -> Project:
    """The project file `path` for what an export of `model` was told. Test images that an older file names stay.

    Raises what reading that file raises, and InputError for a path that cannot be written.
    """
    before = Project.read(path) if path.is_file() else None
    values: dict[str, Value] = {"model": str(model)}
    for option, key in EXPORT.items():
        value = getattr(options, option, None)
        if value is not None:
            if key in UNUSED_BY_EXPORT and not Path(value).exists():
                raise InputError(
                    f"--{key.replace('_', '-')} {value}: no such file; expected a file or folder of your own"
                )
            values[key] = as_value(value)
        elif key in UNUSED_BY_EXPORT and before is not None and key in before.values:
            values[key] = before.values[key]
    found = Project(path, values)
    found.text()
    return found
