"""Reranking, as Cohere and Jina have it."""

from __future__ import annotations

from pydantic import BaseModel, Field

from rag.service.settings import LONGEST_LIST
from rag.service.wire.forms import ForeignForm, Listed, Text
from rag.service.wire.stages import OutcomeReply


class RerankDocument(ForeignForm):
    text: Text


class RerankRequest(ForeignForm):
    """Documents to put in order, as Cohere and Jina have it."""

    model: str | None = None
    query: str = Field(min_length=1, max_length=10_000)
    documents: Listed[Text | RerankDocument] = Field(min_length=1, max_length=LONGEST_LIST)
    top_n: int | None = Field(default=None, ge=1)
    return_documents: bool = False

    @property
    def texts(self) -> list[str]:
        return [one if isinstance(one, str) else one.text for one in self.documents]


class RerankResult(BaseModel):
    index: int
    relevance_score: float
    document: RerankDocument | None = None


class RerankUsage(BaseModel):
    total_tokens: int


class RerankReply(BaseModel):
    id: str
    model: str
    results: list[RerankResult]
    outcome: OutcomeReply
    usage: RerankUsage
