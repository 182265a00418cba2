"""Searching the lexical leg of any index: weighted terms in, rows and scores out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.types import Population, Where
from retrievers.analysis.analyzer import Analysis
from retrievers.legs.protocol import HasLegs


class Impact(NamedTuple):
    """What a term adds to a document's score for each time that it is asked. `there`: whether the document has it."""

    term: str
    impact: float
    there: bool


class Words(NamedTuple):
    """Words, and in how many documents each is at most, int64 [n], falling."""

    words: list[str]
    counts: NDArray[np.int64]


class LexicalSearch(Protocol):
    """The lexical leg of an index, wherever that is."""

    @property
    def analyzer(self) -> Analysis:
        """Text -> terms, as the index was built."""
        ...

    @property
    def n_docs(self) -> int: ...

    def __contains__(self, term: object) -> bool:
        """Whether some document has this term."""
        ...

    def n_docs_of(self, term: str, *, where: Where | None = None) -> int:
        """How many documents might have the term: all, or those in its language.

        Here and below, the documents that count are those that whoever asks by `where` may read, if the index is told so
        (`reading.own_statistics`), and else all. What else a filter says does not count.
        """
        ...

    def document_frequency(self, term: str, *, where: Where | None = None) -> int:
        """How many documents have the term."""
        ...

    def knows(self, term: str, *, where: Where | None = None) -> bool:
        """Whether a document has the term that whoever asks by `where` may read, whatever else that says."""
        ...

    def words_like(self, term: str, *, least: int) -> Sequence[Words]:
        """Words of a term's language, as they are there, that begin with its first character: of each part of the index.

        All that are in at least so many documents, and maybe others. None where the index cannot tell. Whoever asks may know
        those alone that the leg `knows` for them.
        """
        ...

    def warm_up(self) -> None: ...

    def search(
        self, queries: Sequence[Mapping[str, float]], *, k: int, where: Where | None = None, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The best k of the documents that pass the filter, for queries of the form term -> weight.

        Returns:
            Rows, int32 [n_queries, k], best first, ties by row ascending also at the cut, filled up with -1; and their
            scores, float32 [n_queries, k], filled up with 0.
        """
        ...

    def scores(
        self, query: Mapping[str, float], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """float32 [len(rows)]: what these rows score for a query, as `search` gives it; one without its terms too.

        NaN where an index of several languages cannot tell: without a term, in a language that the query is not in.
        """
        ...

    def population(self, query: Mapping[str, float], *, where: Where | None = None) -> Population | None:
        """What scores of a query come to over all documents that whoever asks by `where` may read, 0 without its terms.

        What else a filter says does not count. None where the index cannot tell.
        """
        ...

    def impacts(self, query: Mapping[str, float], row: int, *, where: Where | None = None) -> list[Impact]:
        """What each term of a query adds to a row's score, for each time it is asked; those that add nothing are left out."""
        ...


def lexical(index: HasLegs, leg: str = "lexical") -> LexicalSearch:
    """The lexical leg of an index, or another of its kind by its name.

    Raises:
        IndexMismatch: the index has none of this name.
    """
    return cast(LexicalSearch, index.leg(leg))
