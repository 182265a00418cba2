"""What a server says of itself: models, index, health."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Model(BaseModel):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelList(BaseModel):
    object: Literal["list"]
    data: list[Model]


class IndexPart(BaseModel):
    """One index: its name, as ids begin with it where several are searched as one."""

    name: str
    passages: int


class IndexReply(BaseModel):
    """`name`: the last part of its address; null where the graph searches none. `identity`: of what it holds and how it
    was built, so another one after every build that changed something. `parts`: the indexes that are searched as one, or
    the only one. `examples`: questions made of titles in all of them. `takes_files`: whether who asks may bring some."""

    name: str | None
    identity: str | None
    passages: int
    parts: list[IndexPart]
    legs: list[str]
    examples: list[str]
    takes_files: bool


class Health(BaseModel):
    status: Literal["ok"]


class DegradedPart(BaseModel):
    """`part`: a model of the graph, or a node. `means`: what is worse for it."""

    part: str
    means: str


class Ready(BaseModel):
    status: Literal["loading", "ready", "degraded"]
    degraded: list[DegradedPart]
