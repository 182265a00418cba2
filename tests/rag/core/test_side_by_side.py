"""Items worked on by threads: their order, what an error leaves undone, and Ctrl-C at any moment."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from rag.core.side_by_side import side_by_side
from rag.core.stopping import unwanted


def test_results_come_in_the_order_of_the_items() -> None:
    def work(number: int) -> int:
        time.sleep(0.001 * (number % 3))
        return number * number

    assert side_by_side(work, range(40), threads=4) == [number * number for number in range(40)]
    assert side_by_side(work, [], threads=4) == []


def test_no_more_threads_work_than_are_asked_for() -> None:
    barrier = threading.Barrier(3)
    seen = side_by_side(lambda _: barrier.wait(60) >= 0 and threading.get_ident(), range(9), threads=3)
    assert len(set(seen)) == 3


def test_after_an_error_nothing_begins_and_what_has_begun_is_unwanted_and_waited_for() -> None:
    begun, left = [], []
    both = threading.Barrier(2)

    def work(number: int) -> None:
        begun.append(number)
        both.wait(60)
        if number == 0:
            raise KeyError("the first")
        while not unwanted():
            time.sleep(0.001)
        left.append(number)

    with pytest.raises(KeyError, match="the first"):
        side_by_side(work, range(50), threads=2)
    assert sorted(begun) == [0, 1]
    assert left == [1]


def test_ctrl_c_at_any_moment_ends_the_call() -> None:
    """Five hundred calls are interrupted, each a little later than the one before."""
    script = """
        import signal
        from rag.core.side_by_side import side_by_side

        def interrupt(*_):
            raise KeyboardInterrupt

        signal.signal(signal.SIGALRM, interrupt)
        interrupted = 0
        for number in range(500):
            try:
                signal.setitimer(signal.ITIMER_REAL, 1e-5 * (number + 1))
                side_by_side(lambda item: item, range(3_000), threads=3)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
        print(interrupted)
    """
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, cwd=root, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0
