"""Checks of arguments. `by` is how the message calls the component, such as "rerank.listwise"."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import MappingProxyType
from typing import ParamSpec, TypeVar

from rag.core.errors import did_you_mean

P = ParamSpec("P")
R = TypeVar("R")


def require_positive(by: str, **values: int | None) -> None:
    """Raise ValueError for the first value below 1; None stands for no limit."""
    for name, value in values.items():
        if value is not None and value < 1:
            raise ValueError(f"{by}: {name} must be at least 1, got {value}")


def require_share(by: str, **values: float) -> None:
    """Raise ValueError for the first value that is not from 0 to 1."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise ValueError(f"{by}: {name} must be from 0 to 1, got {value}")


def require_one_of(by: str, allowed: Sequence[str], **values: str | None) -> None:
    """Raise ValueError for the first value that is not allowed; None stands for no choice."""
    for name, value in values.items():
        if value is not None and value not in allowed:
            raise ValueError(f"{by}: {name} must be one of {', '.join(allowed)}, got {value!r}")


def knows_its_arguments(others: Mapping[str, str] = MappingProxyType({})) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """A function whose TypeError for an unknown keyword names the one that was meant.

    Args:
        others: what an argument is called elsewhere -> what it is called here.
    """

    def wrapped(function: Callable[P, R]) -> Callable[P, R]:
        known = [name for name in inspect.signature(function).parameters if name != "self"]

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            for name in kwargs.keys() - set(known):
                meant = others.get(name)
                hint = f"It is called '{meant}' here." if meant in known else did_you_mean(name, known)
                raise TypeError(f"{function.__name__} takes no '{name[:80]}'. {hint}")
            return function(*args, **kwargs)

        return call

    return wrapped
