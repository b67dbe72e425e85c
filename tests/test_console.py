"""Tables: columns of numbers are aligned right; text that only starts like a number is not."""

from pathlib import Path
from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from fmnist_edge.artifact import Artifact
from fmnist_edge.console import is_number, table
from fmnist_edge.conversion.job import Outcome
from fmnist_edge.conversion.summary import listed


def right(cells, **more):
    rule = table(["column"], [[cell] for cell in cells], **more).splitlines()[1]
    return rule.endswith(": |")


def test_numbers_as_our_tables_write_them():
    cells = [
        "7", "1,204,048", "99.98", "+0.02", "-21", "1.2e-05", "3e-16", "5.0%", "9.8 %", "12.3*", "12.3\\*", "–", "∞",
        "", "+0.50 [+0.40, +0.60]", "1.200 [1.195, 1.205]", "94.16 ± 0.08 (3)", "≈ 5.28 ms ± 30 %", "≈ 133.0",
        "14 of 14", "≈ 0.726 ms ± 30 % (note)", "99.99 (2 tied)", "98.10 (1,024 tied) FAIL", "120 kB", "8 s", "2.4 GHz",
    ]  # fmt: skip
    assert [cell for cell in cells if not is_number(cell)] == []
    assert right(cells)


def test_text_that_starts_like_a_number():
    cells = [
        "12ab34cd56ef", "0402a96d92fd", "2.14.0", "2026-11-28 10:00", "3x3 conv", "12,34", "1,2", "+", "-", "≈", "1.",
        ".5", "8 cells", "[1]", "1 [2]", "4 of many", "1;2", "5 %%", "1 000", "1e", "inf", "nan", "--1",
    ]  # fmt: skip
    assert [cell for cell in cells if is_number(cell)] == []
    for cell in cells:
        assert not right(["1", cell])


def test_a_column_of_hashes_can_be_aligned_left():
    """One hash in 300 has twelve decimal digits, or one e, at its start and reads as a number."""
    assert right(["123456789012"]) and right(["1234567e1234"])
    assert not right(["123456789012"], left=["column"])


def test_export_aligns_hashes_left():
    manifest = SimpleNamespace(size_bytes=9000, op_census={"ADD": 2}, runs_in={}, float_ops=(), sha256="1" * 64)
    text = listed([Outcome(Path("a/int8.tflite"), Artifact(Path("a/int8.tflite"), manifest))])
    assert text.splitlines()[1] == "| ------------- | --: | --: | --------: | ------: | ------------ |"


def test_a_column_can_be_aligned_right():
    assert not right(["1", "1, batch 8"])
    assert right(["1", "1, batch 8"], right=["column"])
    assert not right([]) and table(["a"], [])


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_what_python_formats_is_a_number(value):
    whole = [f"{value:,}"] if isinstance(value, int) else []
    for text in (*whole, f"{value:,.2f}", f"{value:+.1f}", f"{value:.1e}", f"{value:.0f}%"):
        assert is_number(text), text
