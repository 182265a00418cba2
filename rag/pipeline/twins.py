"""What a pipeline does, for programs with an event loop: the same calls, which do not block it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from rag.core.access import Asker
from rag.core.report import RunResult
from rag.core.side_thread import Reader
from rag.core.types import Answer, AnswerDelta, Message, Query, Ranking, Where


class Blocking(Protocol):
    """The calls that have a twin."""

    def run(
        self,
        queries: Sequence[str | Query],
        *,
        to: str | None = None,
        k: int | None = None,
        asker: Asker | None = None,
    ) -> RunResult: ...
    def search(
        self, query: str | Query, *, k: int | None = None, where: Where | None = None, asker: Asker | None = None
    ) -> Ranking: ...
    def ask(
        self,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Answer: ...
    def stream(
        self,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Iterator[AnswerDelta]: ...


class AsyncTwins:
    """`asearch`, `aask`, `astream` and `abatch`: each works in a thread. A call that is cancelled ends in its own time."""

    async def asearch(
        self: Blocking,
        query: str | Query,
        *,
        k: int | None = None,
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Ranking:
        """`search`, without blocking."""
        return await asyncio.to_thread(self.search, query, k=k, where=where, asker=asker)

    async def aask(
        self: Blocking,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> Answer:
        """`ask`, without blocking."""
        return await asyncio.to_thread(self.ask, query, history=history, where=where, asker=asker)

    async def abatch(
        self: Blocking,
        queries: Sequence[str | Query],
        *,
        to: str | None = None,
        k: int | None = None,
        asker: Asker | None = None,
    ) -> RunResult:
        """`run`, without blocking."""
        return await asyncio.to_thread(self.run, queries, to=to, k=k, asker=asker)

    async def astream(
        self: Blocking,
        query: str | Query,
        *,
        history: Sequence[Message] = (),
        where: Where | None = None,
        asker: Asker | None = None,
    ) -> AsyncIterator[AnswerDelta]:
        """`stream`, without blocking. Closing it, or leaving its loop, stops the model."""
        reader = Reader(self.stream(query, history=history, where=where, asker=asker), asyncio.get_running_loop())
        reader.start()
        try:
            async for piece in reader:
                yield piece
        finally:
            reader.stop()
