"""Bodies of responses: JSON in ASCII, so that no text of a corpus or a model can break the encoding or the framing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send


class JSONReply(Response):
    """One JSON document."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return _bytes(content)


class EventStream(StreamingResponse):
    """Server-sent events. `at_end` is called once nobody reads on, whether all was said or the client went away."""

    def __init__(self, events: AsyncIterator[bytes], *, at_end: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._at_end = at_end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._at_end()


def event(content: Any) -> bytes:
    """One server-sent event with a JSON document as its data."""
    return b"data: " + _bytes(content) + b"\n\n"


LAST_EVENT = b"data: [DONE]\n\n"


def _bytes(content: Any) -> bytes:
    return json.dumps(content, ensure_ascii=True, allow_nan=False, separators=(",", ":"), default=str).encode("ascii")
