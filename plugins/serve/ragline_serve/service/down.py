"""What did not answer a moment ago, so that nobody waits for it again at once."""

from __future__ import annotations

import time

from rag.errors import MissingDependency, MissingModel

UNAVAILABLE = (MissingModel, MissingDependency)
"""What a part that is down raises, for every question alike."""


class Down:
    """Names of parts that are taken to be down for `for_s` seconds after they did not answer."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._until: dict[str, float] = {}

    def note(self, name: str) -> None:
        """It did not answer."""
        self._until[name] = time.monotonic() + self._for_s

    def clear(self, name: str) -> None:
        """It did."""
        self._until.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return self._until.get(name, 0.0) > time.monotonic()
