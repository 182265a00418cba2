"""A search."""

from __future__ import annotations

from pydantic import BaseModel, Field

from rag.service.wire.forms import Form
from rag.service.wire.passages import Hit
from rag.service.wire.stages import OutcomeReply, Stage
from rag.service.wire.where import FILTER_HELP, Where


class SearchRequest(Form):
    model: str | None = Field(default=None, description="The graph that searches; unset takes the server's first.")
    query: str = Field(min_length=1, max_length=10_000)
    k: int | None = Field(default=None, ge=1, description="Hits wanted; unset takes the graph's own number.")
    where: Where | None = Field(default=None, description=FILTER_HELP)


class SearchReply(BaseModel):
    """`node` ranked the hits; `degraded` when it is not the graph's last one, whose model is down."""

    query: str
    hits: list[Hit]
    outcome: OutcomeReply
    node: str
    degraded: bool
    stages: list[Stage]
