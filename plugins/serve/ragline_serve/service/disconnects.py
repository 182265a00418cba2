"""A client that hangs up takes its request along."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

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
