"""How fast a model reads on this machine: measured at first use, and kept beside the models as its prompts were read since.

`home()/speeds/KEY.json` holds tokens a second of the last readings, of one file, processor and number of threads.
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from statistics import median
from time import perf_counter

from rag.core.files import write_atomically
from rag.models.folder import home
from rag.models.processor import processor_name

_LAST = 3
"""Readings that count, the middle one of them: one of a busy moment says nothing, nor does one of a moment without neighbours."""
_TIMES = 2
"""Readings at first use, of which the faster one counts: the first may wait for the file."""
_STEP = 1.1
"""Speeds are rounded down to a power of it: the same question should mostly get the same passages."""


class ReadingSpeed:
    """Tokens a second of prompts that are read alone. Safe to share between threads.

    Args:
        model: what tells it from others, such as the digest of its file.
        threads: that read.
    """

    def __init__(self, model: str, threads: int) -> None:
        key = sha256(json.dumps([model, threads, processor_name()]).encode()).hexdigest()[:32]
        self._name, self._lock, self._wanted = f"{key}.json", threading.Lock(), False

    def kept(self, measure: Callable[[], float]) -> float:
        """The speed that is kept, else what is measured now. `measure`: reads something new, and returns its speed."""
        self._wanted = True
        with self._lock:
            last = self._read()
        if not last:  # the lock is free meanwhile: what is measured may be noted too
            last = [max(measure() for _ in range(_TIMES))]
            with self._lock:
                self._write(last)
        return _STEP ** math.floor(math.log(median(last), _STEP) + 1e-9)

    def note(self, speed: float) -> None:
        """A prompt was read so fast. It counts where a speed is asked for: a batch reads several side by side, each slowly."""
        if self._wanted and 0 < speed < math.inf:
            with self._lock:
                self._write([*self._read(), speed][-_LAST:])

    def _read(self) -> list[float]:
        """The last readings; none where there is no file, or it says nothing sensible. Older ones hold a single number."""
        try:
            told = json.loads((home() / "speeds" / self._name).read_text(encoding="utf-8"))["tokens_per_second"]
            last = [float(each) for each in (told if isinstance(told, list) else [told])]
        except (OSError, ValueError, KeyError, TypeError):
            return []
        return last[-_LAST:] if all(0 < each < math.inf for each in last) else []

    def _write(self, last: list[float]) -> None:
        told = json.dumps({"tokens_per_second": [round(each, 2) for each in last]})
        with suppress(OSError):  # a full disk, or a folder that may not be written: it is measured again
            write_atomically(home() / "speeds" / self._name, told)


def measured(read: Callable[[], int]) -> float:
    """Tokens a second of one reading. `read`: reads something, and returns how many tokens."""
    begun, n = perf_counter(), read()
    return n / max(perf_counter() - begun, 1e-6)
