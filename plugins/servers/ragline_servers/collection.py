"""First stage on a server's collection that somebody else filled: the nearest vectors, with documents made of its fields."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

from rag.errors import SpecError
from rag.filters import Filter, WhereData, conditions, parse_where
from rag.indexes import SentenceEncoder, by_filter
from rag.ranking import ranked, require_k
from rag.types import OK, Document, Need, Outcome, Query, Ranking, ScoredDocument
from ragline_servers.address import ServerAddress
from ragline_servers.fields import of_metadata
from ragline_servers.store import MOST_HITS, CollectionStore, Record, connect

_EMPTY = Outcome(kind="empty", detail="the query has no text to encode")


class CollectionRetriever:
    """Dense retrieval in a collection of Milvus or Qdrant that ragline did not make. It needs no index.

    Nobody is asked before the first question. Scores are the server's; where its measure is a distance, they are negative.
    A filter is put into the server's own language, and means there what it means: an operator that the server lacks is
    refused by name.

    Args:
        address: such as milvus://host:19530/notes or qdrant://host:6333/notes.
        vector: the field, or the named vector, that holds the vectors; empty where Qdrant's one vector has no name.
        text: the field with the text of a document.
        encoder: what made the vectors: a packaged model, a folder or a hub id.
        revision: of a hub model.
        doc_id: the field with the id of a document. Unset: the id of the point.
        title: the field with its title.
        metadata: fields that become metadata, and that filters may name; `meta.lang` is a part of field `meta`.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
    """

    def __init__(
        self,
        *,
        address: str,
        vector: str,
        text: str,
        encoder: str = "all-minilm-l6-v2",
        revision: str | None = None,
        doc_id: str | None = None,
        title: str | None = None,
        metadata: Sequence[str] = (),
        where: WhereData | None = None,
    ) -> None:
        self._address = ServerAddress.parse(address)
        self._vector, self._text, self._doc_id, self._title = vector, text, doc_id, title
        self._metadata, self._where = tuple(metadata), parse_where(where)
        self._require_fields(self._where)
        self._encoder = SentenceEncoder(model=encoder, revision=revision)
        self._store: CollectionStore | None = None
        self._lock = threading.Lock()

    @property
    def model_names(self) -> list[tuple[str, str | None]]:
        """The encoder."""
        return [(self._encoder.model, self._encoder.revision)]

    def memory(self) -> list[Need]:
        """What the encoder takes."""
        return self._encoder.memory()

    def warm_up(self) -> None:
        """Load the encoder. The server is not asked."""
        self._encoder.encode(["warm"], role="query")

    def release(self) -> None:
        """Let go of the encoder's weights."""
        self._encoder.release()

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order. A query of blank text gets no hits and outcome `empty`.

        Raises:
            IndexProblem: the server does not answer, or has no such collection.
            SpecError: the collection has no such vector, or one of another length; or a filter that cannot be asked there.
        """
        require_k(k, by="retrieve.collection")
        if k > MOST_HITS:
            raise SpecError(f"retrieve.collection: k is at most {MOST_HITS:,}, got {k:,}")
        hits: list[tuple[ScoredDocument, ...]] = [()] * len(queries)
        for where, members in by_filter(queries, self._where):
            where = of_metadata(where, name=str(self._address))
            self._require_fields(where)
            places = [place for place in members if queries[place].text.strip()]
            if not places:
                continue
            vectors = self._encoder.encode([queries[place].text for place in places], role="query")
            found = self._connected().nearest(
                self._address.collection, self._vector, vectors, k=k, where=where, fields=self._fields, exact=False
            )
            for place, records in zip(places, found, strict=True):
                hits[place] = ranked(
                    ScoredDocument(document=self._document(record), score=record.score) for record in records
                )
        return [
            Ranking(query=query, hits=found, source="collection", outcome=OK if query.text.strip() else _EMPTY)
            for query, found in zip(queries, hits, strict=True)
        ]

    @property
    def _fields(self) -> list[str]:
        """Fields of a point that are fetched; of a part of one, all of it."""
        named = [self._text, *filter(None, (self._doc_id, self._title)), *self._metadata]
        return list(dict.fromkeys(name.partition(".")[0] for name in named))

    def _connected(self) -> CollectionStore:
        with self._lock:
            if self._store is None:
                self._store = connect(self._address)
            return self._store

    def _document(self, record: Record) -> Document:
        fields = record.fields
        text = _field(fields, self._text)
        if text is None:
            raise SpecError(
                f"retrieve.collection: point {record.id!r} of '{self._address}' has no field '{self._text}'. "
                f"It has {', '.join(map(str, fields)) or 'none of those that were named'}. Set 'text'"
            )
        doc_id = _field(fields, self._doc_id) if self._doc_id else None
        metadata = {name: value for name in self._metadata if (value := _field(fields, name)) is not None}
        return Document(
            doc_id=str(record.id if doc_id is None else doc_id),
            text=str(text),
            title=str(_field(fields, self._title) or "") if self._title else "",
            metadata=metadata,
        )

    def _require_fields(self, where: Filter | None) -> None:
        for condition in () if where is None else conditions(where):
            if condition.key not in self._metadata:
                known = ", ".join(self._metadata) or "none"
                raise SpecError(
                    f"retrieve.collection: a filter names '{condition.key[:80]}', which is not in 'metadata' of the node "
                    f"({known}). Name it there"
                )


def _field(fields: Mapping[str, Any], name: str) -> Any:
    """A field, or a part of one after a dot; None where it is not there."""
    value: Any = fields
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value
