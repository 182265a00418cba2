"""Where pytest deals tests to several processes: which files come first, and which tests are kept to one core."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Generator

import pytest

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
"""The number of this process among them; empty where it is the only one."""
LONGEST = (
    "test_demo_chat.py",
    "test_packaging.py",
    "test_builds.py",
    "test_no_outside_sockets.py",
    "test_quiet.py",
    "test_bars.py",
    "test_batches.py",
    "test_bm25_reference.py",
    "test_permissions.py",
    "test_robust.py",
    "test_openapi.py",
    "test_training.py",
    "test_doors.py",
    "test_shadow_promotion.py",
    "test_chain_by_chance.py",
    "test_transports.py",
    "test_ratchet.py",
    "test_light_bert.py",
)
"""Files of few tests that take long: xdist's own order, by the number of tests, would begin with them last."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, then those of most tests. Tests of a file stay together and in order."""
    if not WORKER:
        return
    n_tests = Counter(item.path for item in items)
    first = {name: place - len(LONGEST) for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (first.get(item.path.name, 0), -n_tests[item.path], item.path))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Keep a test of real models to one core.

    An engine starts a thread for every core that it may use, and all of them wait for the slowest at every step: beside other
    processes two threads on two cores took ten times the processor's time of one, for the same answer.
    """
    if not WORKER or item.get_closest_marker("models") is None or not hasattr(os, "sched_setaffinity"):
        return (yield)
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(cores)[int(WORKER) % len(cores)]})
    try:
        return (yield)
    finally:
        os.sched_setaffinity(0, cores)
