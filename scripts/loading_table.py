"""Write the table of docs/loading.md: which files load, told by loading those of the tests.

PYTHONPATH=.:tests python scripts/loading_table.py
"""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "loading.md"
FILES = ROOT / "tests" / "checkpoints" / "files"
BEGIN, END = "<!-- table: scripts/loading_table.py writes it -->", "<!-- end of table -->"
WRITERS = {
    "tf1.15": "TensorFlow 1.15",
    "tf2.4": "TensorFlow 2.4",
    "keras3.0": "Keras 3.0",
    "keras3.0-transfer": "Keras 3.0",
    "tf-keras": "tf-keras 2.21",
}
FORMS = {
    "_w.weights.h5": "weights alone",
    "_w.h5": "weights alone",
    ".h5": ".h5",
    ".keras": ".keras",
    "_sm": "SavedModel",
}


def page(text: str) -> str:
    """`text` of docs/loading.md with the table as it is today."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


def table() -> str:
    rows = [*sorted(rows_of_files()), *rows_of_today()]
    lines = ["| writer | form | kind | |", "| --- | --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {writer} | {form} | {kind} | {told} |" for writer, form, kind, told in rows)])


def rows_of_files() -> list[tuple[str, str, str, str]]:
    """One row a file: what wrote it, its form, its kind, and whether it loads."""
    from fmnist_edge import checkpoints
    from fmnist_edge.errors import CheckpointError

    rows = []
    for path in sorted(FILES.glob("*/*")):
        ending = next((ending for ending in FORMS if path.name.endswith(ending)), None)
        if ending is None:
            continue
        told = "loads"
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                checkpoints.load(path)
        except CheckpointError as error:
            reason = str(error).removeprefix(f"{path}: ").replace("|", "/")
            told = f"refused: {reason}"
        kind = path.name.removesuffix(ending).replace("_", " ")
        rows.append((WRITERS[path.parent.name], FORMS[ending], kind, told))
    return rows


def rows_of_today() -> list[tuple[str, str, str, str]]:
    """What `tests/checkpoints/test_kinds.py` writes with the versions that are installed, and loads."""
    import keras
    from support.keras_models import keras_2, keras_2_kinds, keras_3_kinds, kinds

    old = keras_2()
    writers = (
        ("tf-keras, today", ".h5, .keras, SavedModel", {**kinds(old), **keras_2_kinds(old)}),
        ("Keras 3, today", ".h5, .keras", {**kinds(keras), **keras_3_kinds(keras)}),
    )
    return [(writer, forms, kind, "loads") for writer, forms, made in writers for kind in made]


def main() -> int:
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
