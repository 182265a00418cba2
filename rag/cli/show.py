"""`rag show`: a document as the index holds it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from rag.cli.asking import asker_of
from rag.cli.console import plain_data, say, say_json
from rag.cli.options import indexed, permitted
from rag.core.errors import SpecError
from rag.core.filters import Filter, asked_by
from rag.core.types import Document
from rag.pipeline.as_json import contents_json, position_json
from retrievers.index.opening import open_index
from retrievers.index_protocol import Index, is_labelled, let_through


def options(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("doc_id", metavar="ID", help="of a document or a passage")
    indexed(parser, needed=True)
    permitted(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON document")


def run(given: Namespace) -> int:
    """Print a document, passage by passage, or the one passage that is named."""
    with open_index(given.index) as index:
        passages = passages_of(given.doc_id, index, asked_by(asker_of(given.asker)))
    if given.json:
        say_json(plain_data({"doc_id": given.doc_id, "passages": list(map(_passage_json, passages))}))
        return 0
    for passage in passages:
        say(f"── {passage.doc_id}  {passage.title}")
        say(passage.text)
        say()
    return 0


def passages_of(doc_id: str, index: Index, where: Filter | None = None) -> list[Document]:
    """The passages of a document, in order; of a passage, itself.

    Args:
        where: what they have to pass.
    Raises:
        SpecError: the index has neither, or nothing of it passes: whoever asks does not learn which of the two.
    """
    try:
        rows = let_through(index, index.documents.rows_of(doc_id), where)
    except KeyError:
        rows = []
    if not rows:
        unasked = " for who asks (--as)" if is_labelled(index) else ""
        raise SpecError(f"no document '{doc_id}' in index '{index.name}'{unasked}. `rag ls` lists them")
    return index.documents.many(rows)


def _passage_json(passage: Document) -> dict[str, object]:
    return {
        "doc_id": passage.doc_id,
        "title": passage.title,
        "text": passage.text,
        "position": position_json(passage),
        "metadata": dict(passage.metadata),
        **contents_json(passage.contents),
    }
