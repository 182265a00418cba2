"""A client that hangs up takes its request along; and what did not answer a moment ago is not waited for again at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from rag.errors import MissingDependency, MissingModel

Made = TypeVar("Made")


class ClientGone(Exception):
    """Nobody is there to reply to."""


async def unless_gone(request: Request, work: Coroutine[Any, Any, Made]) -> Made:
    """The result of `work`, which is cancelled when the client hangs up before it is done.

    Raises:
        ClientGone: it did.
    """
    working = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            return working.result()
        raise ClientGone
    finally:
        leaving.cancel()
        working.cancel()


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


UNAVAILABLE = (MissingModel, MissingDependency)
"""What a part that is down raises, for every question alike."""


class Down:
    """Names of parts that are taken to be down for `for_s` seconds after they did not answer."""

    def __init__(self, for_s: float) -> None:
        self._for_s = for_s
        self._until: dict[str, float] = {}

    def note(self, name: str) -> None:
        self._until[name] = time.monotonic() + self._for_s

    def clear(self, name: str) -> None:
        self._until.pop(name, None)

    def __contains__(self, name: str) -> bool:
        return self._until.get(name, 0.0) > time.monotonic()
