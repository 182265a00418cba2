"""What the model cites, in the form in which OpenAI's chats give it (`choices[].message.annotations`)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rag.core.types import Answer, ScoredDocument
from rag.serve.links import original_of, page_link


def annotations_json(
    answer: Answer, passages: Sequence[ScoredDocument], *, page: str, model: str
) -> list[dict[str, Any]]:
    """An annotation for each citation of the model's own, in the order of the text.

    What was only matched by words is left out: this form cannot say that it is a guess.

    Args:
        page: the address of this server's page, where a passage is shown whose document names no web address.
    """
    annotations = []
    for citation in answer.citations:
        if citation.by != "model":
            continue
        document = passages[citation.marker - 1].document
        cited = {
            "start_index": citation.start,
            "end_index": citation.end,
            "url": original_of(document) or page_link(page, document, model=model),
            "title": document.title or document.doc_id,
        }
        annotations.append({"type": "url_citation", "url_citation": cited})
    return annotations
