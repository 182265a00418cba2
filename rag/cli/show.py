"""`rag show`: a document as the index holds it."""

from __future__ import annotations

from argparse import Namespace

from rag.cli.console import plain_data, say, say_json
from rag.core.errors import SpecError
from rag.core.types import Document
from rag.pipeline.as_json import contents_json, position_json
from retrievers.index.opening import open_index
from retrievers.index.protocol import Index


def run(given: Namespace) -> int:
    """Print a document, passage by passage, or the one passage that is named."""
    with open_index(given.index) as index:
        passages = passages_of(given.doc_id, index)
    if given.json:
        say_json(plain_data({"doc_id": given.doc_id, "passages": list(map(_passage_json, passages))}))
        return 0
    for passage in passages:
        say(f"── {passage.doc_id}  {passage.title}")
        say(passage.text)
        say()
    return 0


def passages_of(doc_id: str, index: Index) -> list[Document]:
    """The passages of a document, in order; of a passage, itself.

    Raises:
        SpecError: the index has neither.
    """
    try:
        return index.documents.many(index.documents.rows_of(doc_id))
    except KeyError:
        raise SpecError(f"no document '{doc_id}' in index '{index.name}'. `rag ls` lists them") from None


def _passage_json(passage: Document) -> dict[str, object]:
    return {
        "doc_id": passage.doc_id,
        "title": passage.title,
        "text": passage.text,
        "position": position_json(passage),
        "metadata": dict(passage.metadata),
        **contents_json(passage.contents),
    }
