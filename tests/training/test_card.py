"""The page says what the card says."""

import json

import pytest

from fmnist_edge.data.fashion_mnist import LABELS
from fmnist_edge.errors import FileError, InputError
from fmnist_edge.training import card as report

SCORE = {
    "images": 4,
    "accuracy": 0.75,
    "loss": 0.51234,
    "ece": 0.04321,
    "class_accuracy": [1.0, 0.5, *[None] * 8],
    "confusion": [[2, *[0] * 9], [0, 1, 17, *[0] * 7], *[[0] * 10] * 8],
}
CARD = {
    "schema": 2,
    "model": "compact_cnn",
    "parameters": 106_991,
    "published_accuracy": 0.91,
    "fitted_images": 55_000,
    "limit": None,
    "recipe": {"name": "best", "epochs": 2},
    "seed": 7,
    "validation": SCORE | {"accuracy": 0.8765},
    "test": SCORE,
    "seeds": [
        {"seed": 7, "validation_accuracy": 0.8765, "test_accuracy": 0.75, "wall_time_s": 60.0},
        {"seed": 8, "validation_accuracy": 0.8764, "test_accuracy": 0.7612, "wall_time_s": 66.0},
    ],
    "spread": {"seeds": 2, "mean": 0.7556, "stdev": 0.0079},
    "teachers": {"tiny_resnet": "abc123"},
    "wall_time_s": 60.0,
    "images_per_second": 1833.3,
    "sha256": "f11e",
    "weights_sha256": "3e19",
    "backend": "jax",
    "machine": {"cpu": "A CPU", "cores": 2, "devices": ["gpu:0"]},
    "versions": {"keras": "3.15"},
    "curve": [
        {"epoch": 0, "loss": 2.0, "accuracy": 0.3, "val_loss": 1.0, "val_accuracy": 0.5},
        {"epoch": 1, "loss": 1.0, "accuracy": 0.5, "val_loss": 0.5, "val_accuracy": 0.8765},
    ],
}  # fmt: skip


def test_every_figure_of_the_card_is_on_its_page():
    page = report.page(CARD)
    for figure in (
        "106,991", "55,000", "`best`, seed 7", "87.65", "75.00", "0.5123", "0.0432", "91.00", "75.56 ± 0.79 %", "1.1",
        "76.12", "tiny_resnet, SHA-256 `abc123`", "`f11e`", "`3e19`", "jax on gpu:0", "A CPU, 2 cores", "keras 3.15",
        "1,833 images/s",
    ):  # fmt: skip
        assert figure in page
    rows = {line.split("|")[1].strip(): line for line in page.splitlines() if line.startswith("|")}
    assert [cell.strip() for cell in rows[LABELS[1]].split("|")[2:-1]] == ["0", "1", "17", *["0"] * 7, "50.00"]
    assert rows[LABELS[2]].split("|")[-2].strip() == "–"


def test_what_a_card_does_not_have_is_left_out_or_dashed():
    page = report.page(CARD | {"validation": None, "published_accuracy": None, "seeds": CARD["seeds"][:1], "limit": 9})
    assert "validation |" not in page and "published" not in page and "±" not in page
    assert "Cut to 9 images" in page


def test_write_page_writes_both_files_and_the_overview_has_a_row_a_card(tmp_path):
    report.write_page(CARD, tmp_path)
    assert (tmp_path / "compact_cnn.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "compact_cnn.md").read_text() == report.page(CARD)
    alone = CARD | {"model": "other", "spread": {"seeds": 1, "mean": 0.75, "stdev": None}, "validation": None}
    rows = report.overview([CARD, alone]).splitlines()[2:]
    assert "75.56 ± 0.79 (2)" in rows[0] and "87.65" in rows[0]
    assert rows[1].split("|")[1].strip() == "other" and "±" not in rows[1]


@pytest.mark.parametrize("content", ["", "[1]", '{"schema": 1}', json.dumps(CARD | {"schema": "2"})])
def test_what_is_no_card_is_refused(tmp_path, content):
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(InputError, match=r"is not JSON|is not a model card: schema is"):
        report.read_card(tmp_path / "x.json")
    with pytest.raises(FileError, match="cannot be read"):
        report.read_card(tmp_path / "none.json")
