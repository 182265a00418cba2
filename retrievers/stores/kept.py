"""What was asked for last, up to a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Kept(Generic[Value]):
    """Values by key; the one that was asked for the longest ago goes first. Safe to share between threads.

    Args:
        size: of a value, in units of the budget.
    """

    def __init__(self, budget: int, size: Callable[[Value], int]) -> None:
        self._budget, self._size_of = budget, size
        self._values: OrderedDict[Hashable, Value] = OrderedDict()
        self._lock = Lock()
        self.size = 0

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """The value of a key, made if it is not there. Two threads may make it at once; either is given."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = make()
        with self._lock:
            if key not in self._values:
                self._values[key] = value
                self.size += self._size_of(value)
            while self.size > self._budget:
                self.size -= self._size_of(self._values.popitem(last=False)[1])
        return value
