"""How pytest shares tests among several processes: each is dealt whole files, and reads those alone.

By itself xdist has every process read all test modules before the first test runs. A file has one process, so that what its tests
share is made once.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
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
    "test_training.py",
    "test_doors.py",
    "test_shadow_promotion.py",
    "test_chain_by_chance.py",
    "test_transports.py",
    "test_ratchet.py",
    "test_light_bert.py",
)
"""Files of few tests that take long, the longest first: of the others those that have more to read take longer."""


class Unread(pytest.File):
    """A file of tests, of which no more is known than that it is there."""

    def collect(self) -> Iterator[pytest.Item]:
        whole = WholeFile.from_parent(self.session, name=self.nodeid)  # what folders set up ends with each file
        whole.unread = self
        yield whole


class WholeFile(pytest.Item):
    """All tests of a file as one that is dealt; each is reported as itself."""

    unread: Unread
    reported = ""

    @property
    def nodeid(self) -> str:
        """xdist asks that what is reported be called like what was dealt."""
        return self.reported or self.name

    def runtest(self) -> None:
        """Read the file and run its tests, those that the command picks."""
        module = pytest.Module.from_parent(self.unread.parent, path=self.unread.path)
        tests = list(self.session.genitems(module))
        self.config.hook.pytest_collection_modifyitems(session=self.session, config=self.config, items=tests)
        for test, after in zip(tests, [*tests[1:], self.nextitem], strict=False):
            self.reported = test.nodeid
            self.config.hook.pytest_runtest_protocol(item=test, nextitem=after)
            if self.session.shouldfail or self.session.shouldstop:
                break
        self.reported = ""


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> Unread | None:
    """Read no file yet where files are dealt; a test that is asked for by its name has to be found."""
    if not WORKER or any("::" in each for each in parent.config.args):
        return None
    return Unread.from_parent(parent, path=module_path)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Generator[None]:
    """Order what is dealt: a long file, a short one, and so on; a process always holds the next one too, which must not be long."""
    files = [item for item in items if isinstance(item, WholeFile)]
    items[:] = [item for item in items if not isinstance(item, WholeFile)]  # options pick tests, not files
    yield
    first = {name: place - len(LONGEST) for place, name in enumerate(LONGEST)}
    files.sort(key=lambda file: (first.get(file.unread.path.name, 0), -file.unread.path.stat().st_size, file.name))
    for place in range(len(files)):
        items.append(files.pop(-(place % 2)))


@pytest.hookimpl(tryfirst=True, specname="pytest_runtest_protocol")
def pytest_runtest_protocol_of_a_file(item: pytest.Item, nextitem: pytest.Item | None) -> bool | None:
    """Run the tests of a file that was dealt."""
    if not isinstance(item, WholeFile):
        return None
    item.nextitem = nextitem
    item.runtest()
    return True


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


def pytest_sessionfinish(session: pytest.Session) -> None:
    """To pick no test at all is a mistake of the command, whether its files were read or only dealt."""
    terminal = session.config.pluginmanager.get_plugin("terminalreporter")
    if session.config.getoption("dist", "no") != "no" and session.exitstatus == 0 and terminal and not terminal.stats:
        session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED
