"""Bodies of responses: JSON in ASCII, so that no text of a corpus or a model can break the encoding or the framing; and one form
of error for every endpoint, OpenAI's: {"error": {"message", "type", "param", "code"}}.

Messages are written here or by ragline's own checks of a request. What a component said of its failure stays here: it
could name a path or quote a passage. The log gets the node and the class of the error, no more.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from rag.errors import StageError
from rag.tracing import Failure
from ragline_serve.service.gather import Overloaded
from ragline_serve.service.unavailable import UNAVAILABLE, ClientGone


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


logger = logging.getLogger(__name__)

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """What a client is told. `extra` is put beside "error"."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers, self.extra = dict(headers or {}), dict(extra or {})
        super().__init__(message)

    def as_dict(self) -> dict[str, Any]:
        kind = _TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
        return {
            "error": {"message": self.message, "type": kind, "param": self.param, "code": self.code},
            **self.extra,
        }

    def reply(self) -> JSONReply:
        return JSONReply(self.as_dict(), status_code=self.status, headers=self.headers)


def explained(error: Exception, *, extra: Mapping[str, Any] | None = None) -> ApiError:
    """Any error of the library as what a client may know of it."""
    if isinstance(error, ApiError):
        return error
    if isinstance(error, ClientGone):  # nobody reads the reply: 499, as proxies log it
        return ApiError(499, "The client has gone away.")
    if isinstance(error, Overloaded):
        wait = {"Retry-After": str(error.retry_after_s)}
        return ApiError(429, "The server is busy. Try again later.", code="overloaded", headers=wait, extra=extra)
    logger.error("a request failed: %s", type(error).__name__)
    if isinstance(error, UNAVAILABLE):
        return ApiError(503, "A model that this needs does not answer.", code="model_unavailable", extra=extra)
    if isinstance(error, StageError) and error.node:
        return ApiError(500, f"The stage '{error.node}' failed at this request.", code="stage_failed", extra=extra)
    return ApiError(500, "The server failed at this request.", code="internal_error", extra=extra)


def failed(failure: Failure, *, extra: Mapping[str, Any] | None = None) -> ApiError:
    """What a client may know of a failed item: where, and the kind of the error."""
    kind = failure.error.partition(":")[0]
    logger.error("node '%s' (%s) failed: %s", failure.node, failure.use, kind)
    message = f"The stage '{failure.node}' ({failure.use}) failed at this request: {kind}."
    return ApiError(500, message, code="stage_failed", extra=extra)


def require_short(texts: Sequence[str], most: int, *, param: str) -> None:
    """Raise ApiError unless each text of a request has at most `most` characters."""
    for position, text in enumerate(texts):
        if len(text) > most:
            message = f"A text may have {most:,} characters here; number {position + 1} has {len(text):,}."
            raise ApiError(400, message, param=param, code="context_length_exceeded")


def install(app: FastAPI) -> None:
    """Let every error of the application take this form."""
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    for kind in (ApiError, ClientGone, Overloaded, Exception):
        app.add_exception_handler(kind, _explained)


async def _invalid(request: Request, error: Exception) -> JSONReply:
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    first = problems[0]
    param = _place(first["loc"])
    message = "; ".join(_problem(problem) for problem in problems[:5])
    return ApiError(400, message, code=str(first["type"]), param=param or None).reply()


async def _http(request: Request, error: Exception) -> JSONReply:
    assert isinstance(error, HTTPException)
    messages = {404: "There is nothing at this address.", 405: "This address does not take this method."}
    message = messages.get(error.status_code, error.detail if error.status_code < 500 else "The server failed.")
    return ApiError(error.status_code, str(message), headers=error.headers).reply()


async def _explained(request: Request, error: Exception) -> JSONReply:
    return explained(error).reply()


def _problem(problem: Mapping[str, Any]) -> str:
    """A problem without the value that caused it: it may be a secret, or hostile."""
    place = _place(problem["loc"])
    said = str(problem["msg"]).removeprefix("Value error, ")
    return f"{place}: {said}" if place else said


def _place(loc: Sequence[Any]) -> str:
    return ".".join(str(step)[:80] for step in loc[1:])
