"""What was asked for last, up to a budget."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
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
        return self.many([key], lambda _: [make()])[0]

    def many(self, keys: Sequence[Hashable], make: Callable[[list[int]], Sequence[Value]]) -> list[Value]:
        """The values of keys, in order. `make`: places of keys that are not there -> their values, made together."""
        with self._lock:
            values = {key: self._values[key] for key in keys if key in self._values}
            for key in values:
                self._values.move_to_end(key)
        missing = {key: place for place, key in reversed(list(enumerate(keys))) if key not in values}
        if missing:
            made = dict(zip(missing, make(list(missing.values())), strict=True))
            values |= made
            with self._lock:
                for key, value in made.items():
                    self._keep(key, value)
        return [values[key] for key in keys]

    def _keep(self, key: Hashable, value: Value) -> None:
        if key not in self._values:
            self._values[key] = value
            self.size += self._size_of(value)
        while self.size > self._budget:
            self.size -= self._size_of(self._values.popitem(last=False)[1])
