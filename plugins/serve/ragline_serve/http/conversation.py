"""The conversations that the server keeps, as the chat endpoint uses them, and /v1/sessions."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Annotated, Literal, TypeVar

from anyio.to_thread import run_sync
from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints
from starlette.responses import Response

from rag.types import Message
from ragline_serve.http.sessions import Sessions, UnknownSession
from ragline_serve.service.askers import owner_of
from ragline_serve.service.replies import ApiError, JSONReply
from ragline_serve.service.service import Service
from ragline_serve.service.services import Services
from ragline_serve.service.wire.chat import ChatRequest
from ragline_serve.service.wire.forms import Error, Form, refusals

logger = logging.getLogger(__name__)

Done = TypeVar("Done")

NEW = "new"
"""In the place of an id: start a conversation. Ids are the server's: one that a client made up could be guessed."""
LONGEST_NAME = 100


class NameRequest(Form):
    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME)]


class SessionCard(BaseModel):
    """`name`: the one that it was given, else the beginning of its first question. `used`: when, in seconds since 1970."""

    id: str
    name: str
    used: float


class SessionList(BaseModel):
    """The last used first, at most 200."""

    sessions: list[SessionCard]


class SessionTurn(BaseModel):
    role: Literal["user", "assistant"]
    content: str


class SessionReply(BaseModel):
    """What was said so far, oldest first."""

    id: str
    turns: list[SessionTurn] = Field(description="The last 100. Sources are not kept.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Conversation:
    """One request's place in a conversation: what was said before it, and where its answer is written down.

    One that is asked for has no id until it has begun: a request that is refused or fails leaves nothing in the file,
    where it would push out another conversation.
    """

    sessions: Sessions
    id: str | None
    owner: str
    turns: tuple[Message, ...]

    async def begun(self) -> Conversation:
        """The same with an id, which it gets now if it has none. It stays without where the file cannot be written."""
        if self.id is not None:
            return self
        try:
            return replace(self, id=await run_sync(self.sessions.start, self.owner))
        except sqlite3.Error as error:
            logger.error("a conversation was not begun: %s", type(error).__name__)
            return self

    async def add(self, question: str, answer: str, *, cited: Sequence[str]) -> None:
        """Write down an exchange, and the ids that its answer cites, unless the conversation was deleted meanwhile.

        Where the file cannot be written the log says so: the answer has been paid for, and is given all the same.
        """
        if self.id is None:
            return
        try:
            await run_sync(partial(self.sessions.add, self.id, self.owner, question, answer, cited=cited))
        except UnknownSession:
            return
        except sqlite3.Error as error:
            logger.error("an exchange was not written down: %s", type(error).__name__)


async def conversation(
    body: ChatRequest, request: Request, service: Service, sessions: Sessions | None
) -> Conversation | None:
    """The conversation that a request goes on with or starts; None if it names none.

    Raises:
        ApiError: the server keeps none, this owner has none of that id, or the request repeats earlier turns.
    """
    extension = body.ragline
    if extension is None or extension.session is None:
        return None
    where = "ragline.session"
    if sessions is None:
        raise ApiError(400, "This server keeps no sessions: send the earlier messages.", param=where)
    if sum(message.role in ("user", "assistant") for message in body.messages) > 1:
        raise ApiError(400, "With a session, send the new question alone: the server knows the rest.", param="messages")
    owner = owner_of(request)
    if extension.session == NEW:
        return Conversation(sessions=sessions, id=None, owner=owner, turns=())
    try:
        turns = await service.checks(sessions.turns, extension.session, owner)
    except UnknownSession:
        raise _unknown() from None
    return Conversation(sessions=sessions, id=extension.session, owner=owner, turns=turns)


def router(services: Services, sessions: Sessions | None) -> APIRouter:
    """The endpoints that list, show, name and forget conversations."""
    routes = APIRouter(tags=["chat"])

    @routes.get(
        "/v1/sessions",
        summary="The conversations of whoever asks",
        response_model=SessionList,
        responses=refusals(404, 429, 503),
    )
    async def listed(request: Request) -> Response:
        owner = owner_of(request)
        if sessions is None or not owner:
            raise ApiError(
                404,
                "This server lists no conversations: it does where it keeps them (--sessions) and knows whose they are, "
                "by keys or by a header that says who asks.",
                code="no_sessions",
            )
        kept = await _with_the_file(services, sessions.listed, owner)
        cards = [{"id": one.id, "name": one.name, "used": one.used_s} for one in kept]
        return JSONReply({"sessions": cards})

    @routes.get(
        "/v1/sessions/{session}",
        summary="What was said in a conversation",
        response_model=SessionReply,
        responses=refusals(404, 429, 503),
    )
    async def shown(session: str, request: Request) -> Response:
        turns = await _with_the_file(services, _kept(sessions).turns, session, owner_of(request))
        return JSONReply({"id": session, "turns": [{"role": turn.role, "content": turn.content} for turn in turns]})

    @routes.post(
        "/v1/sessions/{session}",
        summary="Name a conversation",
        status_code=204,
        responses=refusals(400, 404, 429, 503),
    )
    async def name(session: str, body: NameRequest, request: Request) -> Response:
        await _with_the_file(services, _kept(sessions).rename, session, owner_of(request), body.name)
        return Response(status_code=204)

    @routes.delete(
        "/v1/sessions/{session}",
        summary="Forget a conversation",
        status_code=204,
        responses={404: {"model": Error}, 503: {"model": Error}},
    )
    async def forget(session: str, request: Request) -> Response:
        await _with_the_file(services, _kept(sessions).delete, session, owner_of(request))
        return Response(status_code=204)

    return routes


async def _with_the_file(services: Services, what: Callable[..., Done], *arguments: object) -> Done:
    """Do something with the file, beside the requests."""
    try:
        return await services.first.checks(what, *arguments)
    except UnknownSession:
        raise _unknown() from None
    except sqlite3.Error as error:
        logger.error("the file of conversations failed: %s", type(error).__name__)
        raise ApiError(
            503,
            "The file of conversations cannot be written now, so all that it holds is still there. Try again later.",
            code="sessions_unavailable",
        ) from None


def _kept(sessions: Sessions | None) -> Sessions:
    if sessions is None:
        raise _unknown()
    return sessions


def _unknown() -> ApiError:
    """Absent, forgotten and somebody else's look the same."""
    return ApiError(
        404, "There is no such session; start one with 'new'.", param="ragline.session", code="unknown_session"
    )
