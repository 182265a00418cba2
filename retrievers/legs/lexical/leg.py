"""The lexical leg of an index: BM25 over an inverted index on disk. Knows rows, never doc_ids.

Beside the files of its engine (`retrievers.stores.postings`, `rank_bm25_leg`) a leg has vocabulary.json, all terms in the
order of their numbers."""

from __future__ import annotations

import json
import logging
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import length_hint
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.progress import Progress, silent
from rag.core.types import Population
from retrievers.analysis.analyzer import Analyzer
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.chain import ChainedPostings, CountedPart
from retrievers.legs.lexical.counts import Counts
from retrievers.legs.lexical.impacts import WITH_FLOOR
from retrievers.legs.lexical.merging import merge
from retrievers.legs.lexical.near_words import Vocabulary
from retrievers.legs.lexical.rank_bm25_leg import VARIANTS as RANK_BM25
from retrievers.legs.lexical.rank_bm25_leg import RankBM25
from retrievers.legs.lexical.search import Impact, Words
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.lexical.writer import VOCABULARY, LexicalWriter
from retrievers.legs.protocol import ReadableRows
from retrievers.stores.chain_rows import ChainRows
from retrievers.stores.compiled import REPEATS, Engine
from retrievers.stores.hits import Weighted
from retrievers.stores.postings import Columns, Postings

log = logging.getLogger(__name__)

VERSION = 1
REPORT_EVERY = 256
"""Documents between two reports of progress."""
COUNTED = "counts"
"""The fact that the leg keeps what its weights are computed of (`retrievers.legs.lexical.counts`)."""
_LARGEST_WEIGHT = 1e9


@dataclass(frozen=True, slots=True)
class _Files:
    """What a leg on disk says of itself, and its vocabulary."""

    settings: LexicalSettings
    analyzer: Analyzer
    numbers: Mapping[str, int]
    n_docs: int

    @classmethod
    def read(cls, folder: Path, facts: Mapping[str, Any]) -> Self:
        again = "Build the index again"
        try:
            if facts["version"] != VERSION:
                theirs = f"'{folder}' is a lexical leg of version {facts['version']}"
                raise IndexProblem(f"{theirs}; this ragline reads version {VERSION}. {again}")
            settings = LexicalSettings(**{name: facts[name] for name in LexicalSettings.model_fields})
            description, n_docs, n_terms = dict(facts["analyzer"]), facts["n_docs"], facts["n_terms"]
            terms = json.loads((folder / VOCABULARY).read_bytes())
        except (KeyError, TypeError, ValueError, OSError) as cause:
            raise IndexProblem(f"lexical leg '{folder}' cannot be read: {cause!r}. {again}") from cause
        numbers = {term: number for number, term in enumerate(terms)}
        if len(numbers) != n_terms:
            raise IndexProblem(f"'{folder}': {len(numbers):,} terms, not {n_terms:,}. {again}")
        return cls(settings, Analyzer.from_description(description), numbers, n_docs)

    def columns(self, folder: Path) -> Columns:
        columns = Columns.read(folder, floor=self.settings.variant in WITH_FLOOR)
        if len(columns.starts) != len(self.numbers) + 1:
            raise IndexProblem(f"'{folder}': its arrays do not fit together. Build the index again")
        return columns


def _counted(
    folders: Sequence[Path], facts: Sequence[Mapping[str, Any]]
) -> tuple[list[CountedPart], Analyzer, LexicalSettings]:
    """The parts of a chain; analyzer and settings are those of all."""
    read, parts = [_Files.read(*each) for each in zip(folders, facts, strict=True)], []
    for folder, files in zip(folders, read, strict=True):
        columns = files.columns(folder)
        counts = Counts(folder, n_postings=len(columns.rows), n_docs=files.n_docs)
        parts.append(CountedPart(numbers=files.numbers, columns=columns, counts=counts))
    return parts, read[0].analyzer, read[0].settings


class LexicalLeg:
    """BM25 as in bm25s (Kamphuis et al., ECIR 2020) and in rank-bm25 (Trotman et al., ADCS 2014).

    Made by `open`. Safe to share between threads.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        terms: Container[str],
        engine: Postings | RankBM25 | ChainedPostings,
        n_docs: int,
        words: Sequence[Vocabulary],
    ) -> None:
        self.analyzer, self.n_docs = analyzer, n_docs
        self._terms, self._engine, self._words = terms, engine, words

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        folder: Path,
        *,
        analyzer: AnalyzerSettings,
        bm25: LexicalSettings,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Write a leg over `texts`, a row each, and return its facts for the manifest.

        Reads the texts once. What it holds is said at `LexicalWriter`.
        """
        reader = Analyzer(analyzer)
        if unstemmed := reader.why_unstemmed():
            log.warning("index.analyzer: %s", unstemmed)
        n_docs, total = 0, length_hint(texts)
        with LexicalWriter(folder, bm25, reader) as writer:
            for n_docs, text in enumerate(texts, start=1):
                writer.add(text)
                if n_docs % REPORT_EVERY == 0:
                    progress("analysing", n_docs, max(n_docs, total))
            progress("analysing", n_docs, n_docs)
            counts = writer.finish()
        known = {} if bm25.variant in RANK_BM25 else {COUNTED: True}
        return {"version": VERSION, **bm25.model_dump(), "analyzer": reader.describe(), **counts, **known}

    @classmethod
    def open(cls, folder: Path, facts: Mapping[str, Any]) -> LexicalLeg:
        """The leg in `folder`, memory-mapped, whose manifest says `facts`.

        Raises:
            IndexProblem: a file is absent, cut off, or other than the facts say.
            IndexMismatch: terms are made differently here.
        """
        files = _Files.read(folder, facts)
        engine: Postings | RankBM25
        if files.settings.variant in RANK_BM25:
            engine = RankBM25(folder, settings=files.settings, numbers=files.numbers, n_docs=files.n_docs)
            words = Vocabulary(files.numbers, engine.document_frequencies)
        else:
            columns = files.columns(folder)
            engine = Postings(columns, numbers=files.numbers, n_docs=files.n_docs)
            words = Vocabulary(files.numbers, columns.document_frequencies)
        return cls(files.analyzer, files.numbers, engine, files.n_docs, [words])

    @classmethod
    def open_chain(cls, folders: Sequence[Path], facts: Sequence[Mapping[str, Any]], rows: ChainRows) -> LexicalLeg:
        """Legs of parts as one, weighed as one build of all their rows weighs them. Their facts say `COUNTED`.

        Raises:
            IndexProblem: a file is absent, cut off, or other than the facts say.
            IndexMismatch: terms are made differently here.
        """
        parts, analyzer, settings = _counted(folders, facts)
        engine = ChainedPostings(parts, rows, settings)
        words = [Vocabulary(part.numbers, part.columns.document_frequencies) for part in parts]
        return cls(analyzer, engine, engine, len(rows), words)

    def among(self, readable: ReadableRows) -> LexicalLeg:
        """The same as if there were nothing but these rows, under the numbers that they have here.

        Raises:
            ValueError: the leg was not opened by `open_chain`, and has finished weights of all rows.
        """
        if not isinstance(self._engine, ChainedPostings):
            raise ValueError("a leg with finished weights has one set of statistics")
        engine = self._engine.among(readable)
        return LexicalLeg(self.analyzer, engine, engine, self.n_docs, self._words)

    @classmethod
    def merge(
        cls, folders: Sequence[Path], facts: Sequence[Mapping[str, Any]], rows: ChainRows, folder: Path
    ) -> dict[str, Any]:
        """Write what is left of the legs of parts as one, and return its facts.

        Raises:
            IndexProblem, IndexMismatch: as `open_chain`.
        """
        parts, _, settings = _counted(folders, facts)
        return {**facts[0], **merge(parts, rows, folder, settings)}

    def __contains__(self, term: object) -> bool:
        """Whether some document has this term."""
        return term in self._terms

    def n_docs_of(self, term: str) -> int:
        """How many documents might have the term: all."""
        return len(self._engine) if isinstance(self._engine, ChainedPostings) else self.n_docs

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        return self._engine.document_frequency(term)

    def knows(self, term: str, *, among: NDArray[np.bool_] | None = None) -> bool:
        """Whether a row has the term, of all or of those that count: bool [n_docs]."""
        return term in self if among is None else bool(among[self._engine.rows_with(term)].any())

    def words_like(self, term: str, *, least: int) -> list[Words]:
        """Terms that begin as this one does, of each part; see `LexicalSearch.words_like`."""
        return [vocabulary.like(term, least=least // len(self._words)) for vocabulary in self._words]

    @property
    def vocabulary(self) -> list[str]:
        """All terms in the order of their numbers.

        Raises:
            ValueError: a leg in parts, each of which has its own numbers.
        """
        if not isinstance(self._terms, Mapping):
            raise ValueError("a leg in parts numbers no terms of its own")
        return list(self._terms)

    def weights(self) -> Columns:
        """What each term adds to each document, for whoever keeps a leg elsewhere.

        Raises:
            ValueError: a variant of rank-bm25, or a leg in parts, which score by counts.
        """
        if not isinstance(self._engine, Postings):
            raise ValueError("rank-bm25 and legs in parts score by counts, and keep no weights")
        return self._engine.columns

    def warm_up(self) -> None:
        """Get the compiled engine ready, once per process; takes a second, and seconds where none was kept."""
        if not isinstance(self._engine, RankBM25):
            self._engine.compile()

    def search(
        self,
        queries: Sequence[Mapping[str, float]],
        *,
        k: int,
        mask: NDArray[np.bool_] | None = None,
        engine: Engine = "auto",
        threads: int = 1,
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Best rows for queries of the form term -> weight.

        A score is the sum of weight times BM25 score over the query's terms. A document without any of them
        is never a hit; one that has a term is, whatever its score.

        Args:
            k: rows per query, at least 1.
            mask: bool [n_docs], the rows that may be hits; the best k of them are given.
            engine: `numba` compiles if need be; `numpy` never uses compiled code; `auto` uses it when it is
                there, and compiles when that has paid off. All give the same. rank-bm25 has but one engine.
            threads: that compiled code may use, at least 1.
        Returns:
            Rows, int32 [n_queries, k], best first, ties by row ascending also at the cut, filled up with
            -1; and their scores, float32 [n_queries, k], filled up with 0.
        Raises:
            ValueError: k or threads below 1, a mask of another length, a weight that is no number up to 1e9.
        """
        if k < 1 or threads < 1:
            raise ValueError(f"k and threads must be at least 1, got {k} and {threads}")
        require_mask(mask, self.n_docs)
        checked = [_checked(query) for query in queries]
        if isinstance(self._engine, Postings):
            return self._engine.search(checked, k=k, mask=mask, engine=engine, threads=threads)
        if isinstance(self._engine, ChainedPostings):
            return self._engine.search(checked, k=k, mask=mask, engine=engine)
        return self._engine.search(checked, k=k, mask=mask)

    def scores(self, query: Mapping[str, float], rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows)]: what these rows score for a query, as `search` gives it; one without its terms too."""
        return self._engine.scores(_checked(query), rows)

    def population(self, query: Mapping[str, float], *, among: NDArray[np.bool_] | None = None) -> Population:
        """What scores of a query come to over all rows, or over those that count: bool [n_docs]."""
        require_mask(among, self.n_docs)
        return self._engine.population(_checked(query), among=among)

    def impacts(self, terms: Iterable[str], row: int) -> list[Impact]:
        """What each of these terms adds to a row's score; those that add nothing are left out."""
        found = [(term, *self._engine.impact(term, row)) for term in terms if term in self._terms]
        return [Impact(*each) for each in found if each[1] or each[2]]


def require_mask(mask: NDArray[np.bool_] | None, n_docs: int) -> None:
    """Raise ValueError unless this is a mask of so many rows, or none."""
    if mask is not None and (mask.shape != (n_docs,) or mask.dtype != np.bool_):
        raise ValueError(f"mask must be bool [{n_docs}], got {mask.dtype} {list(mask.shape)}")


def _checked(query: Mapping[str, float]) -> Weighted:
    if REPEATS.issuperset(query.values()):
        return query
    for weight in query.values():
        if not abs(weight) <= _LARGEST_WEIGHT:
            raise ValueError(f"weights of query terms must be numbers up to {_LARGEST_WEIGHT:g}, got {weight}")
    return {term: weight for term, weight in query.items() if weight}
