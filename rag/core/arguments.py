"""Checks of constructor arguments. `by` is how the message calls the component, such as "rerank.listwise"."""

from __future__ import annotations

from collections.abc import Sequence


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
