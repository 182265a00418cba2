"""How fast a model reads on this machine: measured once, and kept beside what ragline fetched."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from time import perf_counter

from rag.core.files import write_atomically
from rag.models.folder import home
from rag.models.processor import processor_name

_TIMES = 2
"""Measurements, of which the faster one counts: the first may wait for the file."""

_lock = threading.Lock()


def kept_speed(model: str, threads: int, measure: Callable[[], float]) -> float:
    """Tokens a second, as measured before for this model, processor and number of threads, else measured now and kept.

    Args:
        model: what tells it from others, such as the digest of its file.
        measure: reads something new, and returns tokens a second.
    """
    key = sha256(json.dumps([model, threads, processor_name()]).encode()).hexdigest()[:32]
    path = home() / "speeds" / f"{key}.json"
    with _lock:
        try:
            speed = float(json.loads(path.read_text(encoding="utf-8"))["tokens_per_second"])
            if 0 < speed < float("inf"):
                return speed
        except (OSError, ValueError, KeyError, TypeError):
            pass
        speed = max(measure() for _ in range(_TIMES))
        with suppress(OSError):  # a full disk, or a folder that may not be written: it is measured again
            write_atomically(path, json.dumps({"tokens_per_second": round(speed, 2)}))
        return speed


def measured(read: Callable[[], int]) -> float:
    """Tokens a second of one reading. `read`: reads something, and returns how many tokens."""
    begun = perf_counter()
    n = read()
    return n / max(perf_counter() - begun, 1e-6)
