"""Where a passage can be read in a browser: at the web address that its document names, and on this server's page.

The texts of a corpus are anybody's, so an address in them is looked at before a browser is sent there. No path of this
machine becomes one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from rag.types import Answer, Document, ScoredDocument

ORIGINAL = "url"
"""The metadata field that says where a document was taken from."""

_LONGEST = 2_000


def original_of(document: Document) -> str | None:
    """The web address of the original, where the document names one that a browser may be sent to."""
    named = document.metadata.get(ORIGINAL)
    return named if isinstance(named, str) and is_web_address(named) else None


def is_web_address(text: str) -> bool:
    """Whether a text is a whole address of the web that says where it leads: no name stands before the host in it.

    >>> [is_web_address(text) for text in ("https://example.org/a", "javascript:alert(1)", "https://good.org@bad.org")]
    [True, False, False]
    """
    if len(text) > _LONGEST or not text.isprintable() or set(" \\") & set(text):
        return False
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname) and "@" not in parts.netloc


def page_link(page: str, document: Document, *, model: str) -> str:
    """Where the page of this server, at the address `page`, shows a passage to those who may read it.

    What stands behind # stays in the browser: the page asks for the passage itself, with the reader's key.
    """
    named = {"model": model, "passage": document.doc_id}
    return f"{page}#{urlencode(named, quote_via=quote, safe='', errors='replace')}"


def annotations_json(
    answer: Answer, passages: Sequence[ScoredDocument], *, page: str, model: str
) -> list[dict[str, Any]]:
    """What the model cites, as OpenAI's chats give it (`choices[].message.annotations`), in the order of the text.

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
