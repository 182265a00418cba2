"""Nothing is connected to while a graph is looked at: it names addresses, and who wrote it may be a stranger."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rag.core.errors import MissingModel

_forbidden: ContextVar[bool] = ContextVar("no connections", default=False)


class NotAsked(MissingModel):
    """A server was not asked, because nothing may be connected to here."""


@contextmanager
def without_connections() -> Iterator[None]:
    """Let no part connect to anything while the block runs."""
    token = _forbidden.set(True)
    try:
        yield
    finally:
        _forbidden.reset(token)


def require_connections(address: str, *, by: str) -> None:
    """Return if a part may connect to an address now.

    Raises:
        NotAsked: it may not.
    """
    if _forbidden.get():
        raise NotAsked(f"{by}: {address} was not asked: a graph is looked at without connecting (--connect asks it)")
