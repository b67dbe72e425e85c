"""All families of keras.applications take a quarter of an hour; they run when they are asked for: `pytest -m slow`."""

import pytest


def pytest_collection_modifyitems(config, items):
    if "slow" in (config.option.markexpr or ""):
        return
    for item in items:
        if item.get_closest_marker("slow") and item.path.name == "test_applications.py":
            item.add_marker(pytest.mark.skip(reason="takes long; run it with -m slow"))
