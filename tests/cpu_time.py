"""What work costs, whatever else the machine and the process do meanwhile."""

import gc
import time
from collections.abc import Callable


def least_cpu_s(work: Callable[[], object], *, enough: float, tries: int = 10) -> float:
    """CPU seconds of this process in the cheapest of several tries: the first that takes no more than `enough`, if any.

    Other processes do not count. Other threads of this one do, so that a single try may tell of their work. Nothing is
    collected meanwhile: that walks through whatever the tests before have left, and takes a second.
    """
    least, collects = float("inf"), gc.isenabled()
    gc.disable()
    try:
        for _ in range(tries):
            begun = time.process_time()
            work()
            least = min(least, time.process_time() - begun)
            if least <= enough:
                break
    finally:
        if collects:
            gc.enable()
    return least
