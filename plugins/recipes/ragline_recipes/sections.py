"""Ranking -> the passages that a generator reads, the best of them with the text around them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

from rag.filters import WhereData, both, parse_where
from rag.indexes import Index, let_through
from rag.protocols import LLM
from rag.stages import ASSEMBLERS
from rag.types import Context, Document, Ranking, ScoredDocument
from rag.writing import Ruler, numbered, require_positive, span_of

_REACH = 32
"""Chunks looked at on either side of a hit, however long its section is."""
_LONGEST_GAP = 200
"""Characters of space between two chunks that are still one text. Metadata is not believed beyond."""


class SectionsAssembler:
    """As `token_budget`, and the best hits grow by the chunks around them and by the rest of their section (ours).

    A passage grows from its hit outwards, whole chunks, nearest first: `neighbours` on either side, and as far as the
    headings stay the same. Each of the `best` hits may take an even share of the budget, so that the first does not
    crowd out the second. Text that two chunks share is shown once: chunks that meet become one passage, which keeps the
    doc_id of its hit; a later hit that is inside a passage goes (`merged`), and one that overlaps it loses what is
    shown already. `start` and `end` always say what is shown. The query's filter holds for what is added too. Hits without a
    parent stay as they are.

    Args:
        index: the index that the hits are of.
        llm: counts the tokens.
        max_tokens: tokens of all passages together, with their numbers and titles; null takes half of the model's window.
        max_passages: most passages; unset leaves it to the budget.
        best: hits that grow, from the top.
        neighbours: chunks added on either side whatever their headings; 0 keeps to the section.
        where: a filter that what is added has to pass beside the query's own, as the `where` of a retriever.
    """

    def __init__(
        self,
        *,
        index: Index,
        llm: LLM,
        max_tokens: int | None = 2000,
        max_passages: int | None = None,
        best: int = 3,
        neighbours: int = 1,
        where: WhereData | None = None,
    ) -> None:
        require_positive("assemble.sections", max_tokens=max_tokens, max_passages=max_passages, best=best)
        if neighbours < 0:
            raise ValueError(f"assemble.sections: neighbours must be at least 0, got {neighbours}")
        self._index, self.llm, self.max_tokens = index, llm, max_tokens
        self.max_passages, self.best, self.neighbours = max_passages, best, neighbours
        self._where = parse_where(where)
        self._budget = ASSEMBLERS.get("token_budget")(llm=llm, max_tokens=max_tokens, max_passages=max_passages)

    def assemble(self, rankings: Sequence[Ranking]) -> list[Context]:
        """One context per ranking, in order.

        Outcome counts: those of `token_budget`, passages `grown`, hits `merged` into better ones.
        """
        around = [[self._around(ranking, hit.document) for hit in ranking.hits[: self.best]] for ranking in rankings]
        chunks = [chunk for hits in around for one in hits for chunk in one.chunks()]
        sizes = dict(zip(map(id, chunks), Ruler(self.llm).count([numbered(c, 1) for c in chunks]), strict=True))
        grown = [self._grown(ranking, hits, sizes) for ranking, hits in zip(rankings, around, strict=True)]
        contexts = self._budget.assemble([one.ranking for one in grown])
        return [_counted(context, one) for context, one in zip(contexts, grown, strict=True)]

    def _around(self, ranking: Ranking, document: Document) -> _Around:
        """The chunks that a hit may grow by, nearest first."""
        around = _Around(document)
        if span_of(document) is None:
            return around
        documents = self._index.documents
        try:
            row = documents.row(document.doc_id)
        except KeyError:
            return around
        reach = range(max(0, row - _REACH), min(len(documents), row + _REACH + 1))
        passing = frozenset(let_through(self._index, reach, both(self._where, ranking.query.where)))
        for step, side in ((1, around.after), (-1, around.before)):
            last = reach.stop if step > 0 else reach.start - 1
            for distance, other in enumerate(range(row + step, last, step), start=1):
                if other not in passing or not self._belongs(chunk := documents[other], document, distance):
                    break
                side.append(chunk)
        return around

    def _belongs(self, chunk: Document, document: Document, distance: int) -> bool:
        if chunk.parent != document.parent:
            return False
        headings = document.metadata.get("headings")
        return distance <= self.neighbours or bool(headings and chunk.metadata.get("headings") == headings)

    def _grown(self, ranking: Ranking, around: Sequence[_Around], sizes: dict[int, int]) -> _Grown:
        """The ranking with its best hits grown, and no text twice."""
        result = _Grown(ranking)
        shown: dict[str, list[tuple[int, int]]] = defaultdict(list)
        share = (self.max_tokens or self.llm.context_window // 2) // max(1, min(self.best, len(ranking.hits)))
        hits = []
        for hit, one in zip_longest(ranking.hits, around):
            document = _without(hit.document, shown[hit.document.parent])
            if document is None:
                result.merged += 1
                continue
            if one is not None and document is hit.document:
                document = one.grown(share, sizes, shown[document.parent])
                result.grown += document is not hit.document
            if span := span_of(document):
                shown[document.parent].append(span)
            hits.append(ScoredDocument(document=document, score=hit.score))
        result.ranking = replace(ranking, hits=tuple(hits))
        return result


@dataclass(slots=True)
class _Grown:
    ranking: Ranking
    grown: int = 0
    merged: int = 0


@dataclass(slots=True)
class _Around:
    """A hit and the chunks on either side of it, nearest first."""

    hit: Document
    before: list[Document] = field(default_factory=list)
    after: list[Document] = field(default_factory=list)

    def chunks(self) -> Iterator[Document]:
        """All that has to be counted."""
        return iter([self.hit, *self.before, *self.after] if self.before or self.after else [])

    def grown(self, share: int, sizes: dict[int, int], shown: Sequence[tuple[int, int]]) -> Document:
        """The hit with as many chunks around it as fit its share and are not shown by another passage."""
        document, used = self.hit, sizes.get(id(self.hit), 0)
        ends = {True, False}
        for pair in zip_longest(self.after, self.before):
            for behind, chunk in zip((True, False), pair, strict=True):
                if behind not in ends:
                    continue
                longer = None
                if chunk is not None and used + sizes[id(chunk)] <= share and not _overlaps(chunk, shown):
                    longer = _joined(document, chunk, document) if behind else _joined(chunk, document, document)
                if longer is None:
                    ends.discard(behind)
                else:
                    document, used = longer, used + sizes[id(chunk)]
        return document


def _joined(left: Document, right: Document, hit: Document) -> Document | None:
    """`hit` with the text of two chunks of one parent, that of `left` first. None where they do not meet."""
    left_span, right_span = span_of(left), span_of(right)
    if left_span is None or right_span is None or not left_span[0] <= right_span[0] <= right_span[1]:
        return None
    gap = right_span[0] - left_span[1]
    if gap > _LONGEST_GAP or right_span[1] <= left_span[1] or not (_exact(left) and _exact(right)):
        return None
    if gap < 0 and not left.text.endswith(right.text[:-gap]):
        return None
    text = left.text + _space(gap) + right.text[max(0, -gap) :]
    metadata: dict[str, Any] = {**hit.metadata, "start": left_span[0], "end": right_span[1]}
    if "line" in left.metadata and "end_line" in right.metadata:
        metadata |= {"line": left.metadata["line"], "end_line": right.metadata["end_line"]}
    return replace(hit, text=text, metadata=metadata, contents=(*left.contents, *right.contents))


def _space(gap: int) -> str:
    """What stands between chunks is only space; a line break, an empty line, or one and an indentation."""
    return "\n" * min(gap, 2) + " " * (gap - 2)


def _exact(document: Document) -> bool:
    span = span_of(document)
    return span is not None and len(document.text) == span[1] - span[0]


def _overlaps(chunk: Document, shown: Sequence[tuple[int, int]]) -> bool:
    span = span_of(chunk)
    return span is not None and any(span[0] < end and start < span[1] for start, end in shown)


def _without(document: Document, shown: Sequence[tuple[int, int]]) -> Document | None:
    """A hit without the beginning and end that other passages show; None where nothing is left."""
    if not _exact(document):
        return document
    first, last = start, end = document.metadata["start"], document.metadata["end"]
    for other_start, other_end in sorted(shown):
        if other_start <= first < other_end:
            first = other_end
    for other_start, other_end in sorted(shown, reverse=True):
        if other_start < last <= other_end:
            last = other_start
    if first >= last:
        return None
    if (first, last) == (start, end):
        return document
    text = document.text[first - start : last - start]
    first, text = first + len(text) - len(text.lstrip()), text.strip()
    if not text:
        return None
    return replace(document, text=text, metadata={**document.metadata, "start": first, "end": first + len(text)})


def _counted(context: Context, grown: _Grown) -> Context:
    counts = {name: n for name, n in (("grown", grown.grown), ("merged", grown.merged)) if n}
    return replace(context, outcome=replace(context.outcome, counts={**context.outcome.counts, **counts}))
