"""Questions that a model writes about passages, to find heads where titles and first sentences are no questions."""

from __future__ import annotations

from collections.abc import Sequence

import prompts
from rag.core.protocols import LLM
from rag.core.replies import parse_wordings
from rag.core.types import Document, SamplingParams
from rag.core.words import first_words

_PROMPT = "rank_query_likelihood"  # asks for a search query that a passage answers
_WORDS = 150  # of a passage: what lies behind is rarely read by the reranker either
_PARAMS = SamplingParams(max_tokens=32, stop=("\n",))


def written_questions(llm: LLM, documents: Sequence[Document]) -> list[str | None]:
    """A question that each text answers, as the model writes it; None where it wrote none. Titles are not shown."""
    template = prompts.load(_PROMPT)
    requests = [template.render(passage=first_words(each.text, _WORDS)) for each in documents]
    replies = llm.complete(requests, _PARAMS)
    return [next(iter(parse_wordings(reply.text, n=1)), None) for reply in replies]
