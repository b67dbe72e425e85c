"""Tests marked `serial` run alone: after the parallel ones, in the process that started the workers.

They watch load, signals or time, which other tests at work would disturb. One run has one summary.
"""

from __future__ import annotations

from collections.abc import Generator
from itertools import zip_longest

import pytest


def is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def has_workers(config: pytest.Config) -> bool:
    return not is_worker(config) and getattr(config.option, "dist", "no") != "no"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers get the tests that may run beside others, the process that started them gets the rest."""
    if is_worker(config):
        items[:] = [item for item in items if item.get_closest_marker("serial") is None]
    elif has_workers(config):
        items[:] = [item for item in items if item.get_closest_marker("serial") is not None]


@pytest.hookimpl(wrapper=True)
def pytest_runtestloop(session: pytest.Session) -> Generator[None, object, object]:
    result = yield
    if has_workers(session.config) and not (session.shouldstop or session.shouldfail):
        items = session.perform_collect()
        for item, following in zip_longest(items, items[1:]):
            session.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            if session.shouldfail or session.shouldstop:
                break
    return result
