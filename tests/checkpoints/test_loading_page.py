"""docs/loading.md says what loads: its table is what loading the files gives."""

import importlib.util
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "loading_table.py"


def test_the_table_is_what_loading_the_files_gives():
    spec = importlib.util.spec_from_file_location("loading_table", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.PAGE.read_text(encoding="utf-8")
    assert text == script.page(text), "run: PYTHONPATH=.:tests python scripts/loading_table.py"
