"""Tests marked `serial` run alone: after the parallel ones, in the process that started the workers.

They watch load, signals or time, which other tests at work would disturb. One run has one summary.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import zip_longest
from types import SimpleNamespace
from typing import Any

import pytest

OUTPUT = pytest.StashKey[dict[str, Any]]()
# Files that take minutes when slow tests run. They start first, so that no process is left with one at the end.
LONGEST = ("tests/torture/", "tests/coverage_table/", "tests/explain/test_own_models.py")


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """A worker keeps what may run beside others, and tells the process that started it what is left."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    if is_worker(config):
        serial = [item for item in items if item.get_closest_marker("serial")]
        config.workeroutput["serial"] = [item.nodeid for item in serial]
        items[:] = [item for item in items if item not in serial]


def pytest_deselected(items: list[pytest.Item]) -> None:
    if items and is_worker(items[0].config):
        output = items[0].config.workeroutput
        output["deselected"] = output.get("deselected", 0) + len(items)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """All workers collect the same, so what one of them says goes for all. One that crashed says nothing."""
    if hasattr(node, "workeroutput"):
        node.config.stash[OUTPUT] = node.workeroutput


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    result = yield
    output = session.config.stash.get(OUTPUT, {})
    if output.get("serial") and not (session.shouldstop or session.shouldfail):
        run_alone(session, [f"{session.config.rootpath}/{name}" for name in output["serial"]])
    if output.get("deselected"):  # the summary counts them
        uncounted = [SimpleNamespace(config=session.config)] * output["deselected"]
        session.config.hook.pytest_deselected(items=uncounted)
    return result


def run_alone(session: pytest.Session, names: list[str]) -> None:
    before = session.testscollected
    items = session.perform_collect(names)
    session.testscollected += before  # of which the progress is shown
    for item, following in zip_longest(items, items[1:]):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail or session.shouldstop:
            break
