"""`fit`: what an artifact needs, compared with boards; the committed page says what the command says."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support import ROOT
from support.installed import MICRO

from fmnist_edge.artifact import Artifact
from fmnist_edge.boards.fit import measure, tables
from fmnist_edge.boards.fit.needs import Needs, Origin, Part, Reserve, compare
from fmnist_edge.catalog.board_memory import LINUX, MICROCONTROLLER, BoardMemory, board_memories
from fmnist_edge.cli import main
from fmnist_edge.errors import ArtifactError

EXPORTED = ROOT / "exported"
COMPACT, RESNET = EXPORTED / "compact_cnn/int8.tflite", EXPORTED / "tiny_resnet/int8.tflite"
BOARD = BoardMemory("b", "B", MICROCONTROLLER, "M4", 1000, 1000, 600, "made up")
needs_micro = pytest.mark.skipif(not MICRO, reason="tflite-micro has no wheel for this machine")


def part(size, *, estimated=False, contiguous=False):
    return Part("part", size, Origin.ESTIMATED if estimated else Origin.MEASURED, contiguous=contiguous)


class TestCompare:
    def test_a_board_is_full_at_its_last_byte(self):
        full = compare(Needs("C", (part(1000),), (part(500), part(500))), BOARD)
        assert full.fits and full.tight and full.flash_share == full.ram_share == 1
        over = compare(Needs("C", (part(1001),), (part(500), part(501))), BOARD)
        assert over.reasons == ("flash: needs 1,001 bytes, has 1,000", "RAM: needs 1,001 bytes, has 1,000")
        assert not over.tight

    def test_the_arena_must_lie_in_one_region(self):
        assert compare(Needs("C", (), (part(600, contiguous=True),)), BOARD).fits
        assert not compare(Needs("C", (), (part(601, contiguous=True),)), BOARD).fits
        assert compare(Needs("C", (), (part(601),)), BOARD).fits

    def test_the_reserve_is_needed_too(self):
        needs = Needs("C", (part(700),), (part(700),))
        assert compare(needs, BOARD, Reserve(300, 300)).fits
        assert len(compare(needs, BOARD, Reserve(301, 301)).reasons) == 2

    def test_a_sum_with_an_estimate_is_approximate(self):
        assert "≈ 1,100" in compare(Needs("C", (part(1000), part(100, estimated=True))), BOARD).reasons[0]

    def test_what_cannot_run_does_not_fit(self):
        assert compare(Needs("C", missing="no such op"), BOARD).reasons == ("no such op",)


@pytest.mark.parametrize("board", board_memories.values(), ids=board_memories)
def test_boards_have_plausible_memory_and_a_source(board):
    assert board.source and 0 < board.block <= board.ram
    assert (board.flash is None) == (board.kind == LINUX)


@needs_micro
class TestMeasure:
    def test_a_file_in_tflite_micro(self):
        needs = measure.needs_of(Artifact.open(COMPACT), MICROCONTROLLER)
        sizes = {item.what: (item.size, item.origin) for item in (*needs.flash, *needs.ram)}
        assert sizes["model"] == (COMPACT.stat().st_size, Origin.FILE)
        assert sizes["code"] == (28_000 + 4 * 10_500, Origin.ESTIMATED)
        size, origin = sizes["tensor arena"]
        assert 28_000 < size < 40_000 and origin is Origin.MEASURED

    def test_what_tflite_micro_refuses_is_said_with_its_reason(self, linear_models):
        needs = measure.needs_of(Artifact.open(linear_models["dynamic_int8.tflite"]), MICROCONTROLLER)
        assert "TensorFlow Lite Micro cannot run it" in needs.missing and "INT8 not supported" in needs.missing

    def test_a_file_for_another_engine(self):
        needs = measure.needs_of(Artifact.open(COMPACT.with_name("float32.onnx")), MICROCONTROLLER)
        assert ".onnx" in needs.missing and "c-array" in needs.missing

    def test_a_manifest_without_ops_is_no_estimate_of_zero_bytes(self, tmp_path):
        path = copied(COMPACT, tmp_path)
        rewritten(path, lambda document: document.pop("op_census"))
        with pytest.raises(ArtifactError, match="has no op_census; export the model again"):
            measure.needs_of(Artifact.open(path), MICROCONTROLLER)


def test_c_array_sources_need_no_engine(tmp_path, capsys):
    """Its manifest has the arena, measured at export."""
    folder = tmp_path / "int8_only.c-array"
    folder.mkdir()
    shutil.copy(f"{COMPACT}.json", f"{folder}.json")
    rewritten(folder, lambda document: document.update(arena_bytes=140_000, ops=["CONV_2D", "RESHAPE"]))
    report = tmp_path / "fit.json"
    line = ["fit", str(folder), "--board", "nucleo-f446re", "--board", "pi4", "--report", str(report)]
    assert main(line) == 1
    on_board, on_linux = json.loads(report.read_text())["artifacts"][str(folder)]
    assert [item["bytes"] for item in on_board["parts"]] == [COMPACT.stat().st_size, 49_000, 140_000, 8192]
    assert "one region" in on_board["reasons"][1] and "use the .tflite file" in on_linux["reasons"][0]


def test_c_sources(tmp_path):
    folder = tmp_path / "int8_only.c"
    folder.mkdir()
    shutil.copy(f"{COMPACT}.json", f"{folder}.json")
    rewritten(folder, lambda document: document.update(format="c", arena_bytes=57_792, size_bytes=112_297))
    report = tmp_path / "fit.json"
    assert main(["fit", str(folder), "--board", "nucleo-f446re", "--report", str(report)]) == 0
    (found,) = json.loads(report.read_text())["artifacts"][str(folder)]
    assert found["runtime"] == "C"
    assert [(item["what"], item["bytes"], item["origin"]) for item in found["parts"]] == [
        ("constants", 112_297, "planned"), ("code", 3_000 + 9 * 80, "estimate"),
        ("arena", 57_792, "planned"), ("stack", 8192, "estimate"),
    ]  # fmt: skip


def test_the_web_form_is_for_no_board(tmp_path):
    folder = tmp_path / "int8_only.web"
    folder.mkdir()
    shutil.copy(f"{COMPACT}.json", f"{folder}.json")
    rewritten(folder, lambda document: document.update(format="web", arena_bytes=57_792, size_bytes=127_905, ops=[]))
    for kind, message in ((MICROCONTROLLER, "does not run .web files"), (LINUX, "this is for a browser")):
        assert message in str(measure.needs_of(Artifact.open(folder), kind).missing)


def copied(path, folder):
    for item in (path, Path(f"{path}.json")):
        shutil.copy(item, folder)
    return folder / path.name


def rewritten(path, change):
    manifest = Path(f"{path}.json")
    document = json.loads(manifest.read_text())
    change(document)
    manifest.write_text(json.dumps(document))


@needs_micro
class TestCommand:
    def fit(self, tmp_path, *arguments):
        return main(["fit", *map(str, arguments), "--report", str(tmp_path / "fit.json")])

    def test_exits_with_1_where_a_named_board_is_too_small(self, tmp_path, capsys):
        assert self.fit(tmp_path, COMPACT, "--board", "nucleo-f446re") == 0
        assert self.fit(tmp_path, COMPACT, RESNET, "--board", "nucleo-f446re") == 1
        error = capsys.readouterr().err
        assert "1 of 2 artifacts do not fit the boards named" in error and str(RESNET) in error
        assert self.fit(tmp_path, COMPACT, "--board", "nucleo-f446re", "--reserve-flash", 400_000) == 1

    def test_without_a_board_one_that_fits_is_enough(self, tmp_path):
        assert self.fit(tmp_path, RESNET) == 0

    def test_refuses_an_altered_file(self, tmp_path, capsys):
        path = copied(COMPACT, tmp_path)
        path.write_bytes(path.read_bytes()[:-1])
        assert self.fit(tmp_path, path) == 2
        assert "truncated or altered" in capsys.readouterr().err

    def test_the_committed_page_is_what_the_command_says(self):
        """Only microcontrollers are compared: the size of a Python process differs from machine to machine."""
        boards = [board for board in board_memories.values() if board.kind == MICROCONTROLLER]
        page = (ROOT / "docs/boards.md").read_text(encoding="utf-8")
        needs = {path.parent.name: measure.needs_of(Artifact.open(path), MICROCONTROLLER)
                 for path in sorted(EXPORTED.glob("*/int8.tflite"))}  # fmt: skip
        for board in boards:
            expected = [tables.cell(compare(found, board)) for found in needs.values()]
            row = next(line for line in page.splitlines() if re.match(rf"\| {re.escape(board.title)} ", line))
            assert [cell.strip() for cell in row.split("|")[2:-1]] == expected
        assert page.count("docs") == 0 and all(board.source in page for board in board_memories.values())
