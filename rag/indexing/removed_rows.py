"""Documents that go from an index: their rows, and what its sources say without them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from rag.core.access import Asker
from rag.core.digests import data_sha256
from rag.core.errors import IndexProblem
from rag.core.filters import asked_by
from rag.core.types import Where
from rag.indexing.units import UnitMaker, made_without
from rag.ingest import printable
from rag.ingest.language import code_of
from retrievers.index.directory import LocalIndex
from retrievers.index.sources import Holding, Source, SourceRecord, with_removed
from retrievers.index_protocol import DocumentTable

Rows = NDArray[np.int64]


def rows_of(index: LocalIndex, ids: Iterable[str], readable: NDArray[np.bool_] | None = None) -> Rows:
    """All rows of these documents, ascending.

    Args:
        readable: bool [n], rows that there are for whoever asks; None for all. Passages go with their document.
    Raises:
        IndexProblem: the index has no such document, or an id is that of a passage.
    """
    rows: set[int] = set()
    for doc_id in ids:
        try:
            own = index.documents.rows_of(doc_id)
            if readable is not None and not readable[own[0]]:
                raise KeyError(doc_id)
        except KeyError:
            raise IndexProblem(
                f"index '{index.name}' has no document {printable(str(doc_id)[:200])!r}. Nothing was changed"
            ) from None
        parent = index.documents[own[0]].parent
        if parent != doc_id:
            raise IndexProblem(
                f"'{printable(doc_id)}' is a passage of '{printable(parent)}'. Name the document. Nothing was changed"
            )
        rows.update(own)
    return np.array(sorted(rows), dtype=np.int64)


def rows_where(index: LocalIndex, where: Where, asker: Asker | None = None) -> Rows:
    """All rows of the documents of which some passage passes a filter.

    Args:
        asker: for whom there is what they may read alone; None for all.
    Raises:
        SpecError: the filter names something that no document has.
    """
    passing = index.rows_of_all(where) if asker is None else index.rows(asked_by(asker, where))
    parents = dict.fromkeys(index.documents[int(row)].parent for row in passing)
    return rows_of(index, parents)


def gone_by_record(rows: Rows, holdings: Sequence[Holding], documents: DocumentTable) -> dict[str, dict[str, str]]:
    """Name of a record -> ids of its documents that go, ascending, and their languages."""
    gone: dict[str, dict[str, str]] = {}
    for record in (record for holding in holdings for record in holding.records):
        if mine := documents.many(_within(record, rows)):
            languages = {document.parent: code_of(document.metadata) for document in mine}
            gone[record.name] = dict(sorted(languages.items()))
    return gone


def sources_without(holdings: Sequence[Holding], ids: Mapping[str, Collection[str]]) -> list[Holding]:
    """Sources that say which documents stay out of their files, or that a file does. Records are as they were."""
    without = []
    for holding in holdings:
        of_files = {record.name: ids[record.name] for record in holding.records if record.name in ids}
        whole = {record.name for record in holding.records if len(of_files.get(record.name, ())) == record.n_documents}
        cut = {name: () if name in whole else gone for name, gone in of_files.items()}
        without.append(Holding(with_removed(holding.source, cut), holding.records))
    return without


def holdings_without(
    holdings: Sequence[Holding], rows: Rows, documents: DocumentTable, maker: UnitMaker
) -> list[Holding]:
    """Sources and records once these rows are gone, counted over what is left."""
    if not len(rows):
        return list(holdings)
    first, left = 0, []
    gone = gone_by_record(rows, holdings, documents)
    for holding in sources_without(holdings, gone):
        records = []
        for record in holding.records:
            mine = gone.get(record.name)
            kept = record if mine is None else _without(record, rows, mine, holding.source, maker)
            if kept.n_units:
                records.append(replace(kept, first_row=first))
                first += kept.n_units
        source = holding.source.model_copy(update={"n_files": len(records)})
        left.append(Holding(source, tuple(records)))
    return left


def _without(
    record: SourceRecord, rows: Rows, gone: Mapping[str, str], source: Source, maker: UnitMaker
) -> SourceRecord:
    return replace(
        record,
        sha256=data_sha256([record.sha256, *gone]) if source.given else record.sha256,
        n_units=record.n_units - len(_within(record, rows)),
        n_documents=record.n_documents - len(gone),
        languages=tuple((Counter(dict(record.languages)) - Counter(gone.values())).items()),
        made_by=made_without(record, gone, source, maker),
    )


def _within(record: SourceRecord, rows: Rows) -> Rows:
    first, last = np.searchsorted(rows, [record.first_row, record.first_row + record.n_units])
    return rows[first:last]
