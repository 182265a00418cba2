"""Where pytest deals tests to several processes: who rewrites modules, which files come first, which tests have one core."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Generator
from pathlib import Path

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
)
"""Files of few tests that take long: xdist's own order, by the number of tests, would begin with them last."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Write a share of the test modules again, as pytest does for its messages, and keep them for the other processes.

    All read all modules, and on a fresh checkout each would write all of them: twenty seconds of a core in each.
    """
    if WORKER:
        places = [session.config.invocation_params.dir / name for name in session.config.args]
        files = sorted(file for place in places for file in (place.rglob("test_*.py") if place.is_dir() else [place]))
        for file in files[int(WORKER) :: int(os.environ["PYTEST_XDIST_WORKER_COUNT"])]:
            if file.is_file():
                write_again(file, session.config)


def write_again(file: Path, config: pytest.Config) -> None:
    """Write a test module again where it has changed. These names are pytest's own: where they are gone, it does it itself."""
    try:
        from _pytest.assertion.rewrite import (
            PYC_TAIL,
            _read_pyc,
            _rewrite_test,
            _write_pyc,
            assertstate_key,
            get_cache_dir,
            try_makedirs,
        )
    except ImportError:
        return
    folder = get_cache_dir(file)
    kept = folder / (file.name.removesuffix(".py") + PYC_TAIL)
    if not sys.dont_write_bytecode and try_makedirs(folder) and _read_pyc(file, kept) is None:
        digest, code = _rewrite_test(file, config)
        _write_pyc(config.stash[assertstate_key], code, digest, kept)


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
