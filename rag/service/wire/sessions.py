"""Conversations that the server keeps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints

from rag.service.wire.forms import Form

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
