"""The lexical leg of an index over several languages: a leg for each of them, searched as one.

    CODE/           a lexical leg (`retrievers.legs.lexical.leg`) over the documents of one language
    languages.npy   int32 [n_docs], of each row the place of its language among the codes in alphabetical order

How common a word is, and how long a document usually is, is counted in each language alone: within a language the order
is exactly that of an index of it alone. To be compared with those of other languages, its scores are divided by what the
question weighs there (`_weight`).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from operator import length_hint
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import IndexProblem
from rag.core.progress import Progress, silent
from rag.core.types import Population
from retrievers.analysis.analyzer import Analyzer
from retrievers.analysis.multilingual import UNKNOWN, EachLanguage, analyzer_of, tagged, untagged
from retrievers.analysis.settings import AnalyzerSettings
from retrievers.legs.lexical.leg import REPORT_EVERY, LexicalLeg, require_mask
from retrievers.legs.lexical.leg import VERSION as VERSION_OF_ONE
from retrievers.legs.lexical.search import Impact, Words
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.lexical.writer import LexicalWriter
from retrievers.stores.arrays import load_vector
from retrievers.stores.compiled import Engine
from retrievers.stores.hits import Found, merged
from retrievers.stores.population import merged_population, scaled_population

VERSION = 2
"""Above that of a leg of one language, so that a ragline from before there was this kind says what it cannot read."""
COUNTS = "n_by_language"
MOST_LANGUAGES = 200
"""More than ISO 639-1 has. Each keeps a file open while it is written, and documents may claim any code."""
_ROWS = "languages.npy"


@dataclass(frozen=True, slots=True)
class _Part:
    """The documents of one language. `rows`: int64 [n], ascending: of the index, by row of the part."""

    code: str
    leg: LexicalLeg
    rows: NDArray[np.int64]


class LexicalByLanguage:
    """Made by `open`. Safe to share between threads. Its terms are those of `EachLanguage`."""

    def __init__(self, analyzer: EachLanguage, parts: Sequence[_Part]) -> None:
        self.analyzer = analyzer
        self._parts = {part.code: part for part in parts}
        self.n_docs = sum(part.leg.n_docs for part in parts)
        self._part_of = np.zeros(self.n_docs, np.int64)
        for number, part in enumerate(parts):
            self._part_of[part.rows] = number

    @classmethod
    def build(
        cls,
        texts: Iterable[str],
        languages: Iterable[str],
        folder: Path,
        *,
        analyzer: AnalyzerSettings,
        bm25: LexicalSettings,
        progress: Progress = silent,
    ) -> dict[str, Any]:
        """Write a leg over `texts`, a row each, and return its facts for the manifest.

        Reads the texts once. Of every language it holds what `LexicalWriter` holds. Languages that come after the first
        `MOST_LANGUAGES` are kept with those that are not known.

        Args:
            languages: of each text, an ISO 639 code; empty where it is not known.
        """
        parts: dict[str, tuple[int, Analyzer, LexicalWriter]] = {}
        codes, total = array("i"), length_hint(texts)
        with ExitStack() as stack:
            for text, language in zip(texts, languages, strict=True):
                code = language or UNKNOWN
                if code not in parts and len(parts) >= MOST_LANGUAGES:
                    code = UNKNOWN
                if code not in parts:
                    (folder / code).mkdir()
                    reader = analyzer_of(analyzer, code)
                    parts[code] = len(parts), reader, stack.enter_context(LexicalWriter(folder / code, bm25, reader))
                number, reader, writer = parts[code]
                writer.add(text)
                codes.append(number)
                if len(codes) % REPORT_EVERY == 0:
                    progress("analysing", len(codes), max(len(codes), total))
            progress("analysing", len(codes), len(codes))
            counts = {code: parts[code][2].finish() for code in sorted(parts)}
        places = np.array([sorted(parts).index(code) for code in parts], dtype=np.int32)
        np.save(folder / _ROWS, places[np.array(codes, dtype=np.int32)])
        described = EachLanguage(analyzer, {code: each[1] for code, each in parts.items()}).describe()
        totals = {name: sum(each[name] for each in counts.values()) for name in ("n_docs", "n_terms", "n_tokens")}
        return {"version": VERSION, **bm25.model_dump(), "analyzer": described, COUNTS: counts, **totals}

    @classmethod
    def open(cls, folder: Path, facts: Mapping[str, Any]) -> LexicalByLanguage:
        """The leg in `folder`, memory-mapped, whose manifest says `facts`.

        Raises:
            IndexProblem: a file is absent, cut off, or other than the facts say.
            IndexMismatch: terms are made differently here.
        """
        again = "Build the index again"
        try:
            if facts["version"] != VERSION:
                theirs = f"'{folder}' is a lexical leg by language of version {facts['version']}"
                raise IndexProblem(f"{theirs}; this ragline reads version {VERSION}. {again}")
            counts, described = dict(facts[COUNTS]), dict(facts["analyzer"]["languages"])
            places = load_vector(folder / _ROWS, np.int32)
            parts = [
                _Part(code, LexicalLeg.open(folder / code, _facts_of(facts, code)), np.flatnonzero(places == number))
                for number, code in enumerate(sorted(described))
            ]
            n_docs = {code: int(counts[code]["n_docs"]) for code in described}
        except (KeyError, TypeError, ValueError) as cause:
            raise IndexProblem(f"lexical leg '{folder}' cannot be read: {cause!r}. {again}") from cause
        if sum(n_docs.values()) != len(places) or any(len(part.rows) != n_docs[part.code] for part in parts):
            raise IndexProblem(f"'{folder}': its languages do not fit together. {again}")
        return cls(EachLanguage.from_description(facts["analyzer"]), parts)

    def __contains__(self, term: object) -> bool:
        """Whether some document has this term."""
        part, word = self._asked(term) if isinstance(term, str) else (None, "")
        return part is not None and word in part.leg

    def n_docs_of(self, term: str) -> int:
        """How many documents might have the term: those in its language."""
        part, _ = self._asked(term)
        return 0 if part is None else part.leg.n_docs

    def document_frequency(self, term: str) -> int:
        """How many documents have the term."""
        part, word = self._asked(term)
        return 0 if part is None else part.leg.document_frequency(word)

    def knows(self, term: str, *, among: NDArray[np.bool_] | None = None) -> bool:
        """Whether a row has the term, of all or of those that count: bool [n_docs]."""
        part, word = self._asked(term)
        return part is not None and part.leg.knows(word, among=None if among is None else among[part.rows])

    def words_like(self, term: str, *, least: int) -> list[Words]:
        """Words of the term's language that begin as it does."""
        part, word = self._asked(term)
        return [] if part is None else part.leg.words_like(word, least=least)

    def warm_up(self) -> None:
        """Get the compiled engine ready, once per process; takes seconds."""
        for part in self._parts.values():
            part.leg.warm_up()

    def search(
        self,
        queries: Sequence[Mapping[str, float]],
        *,
        k: int,
        mask: NDArray[np.bool_] | None = None,
        engine: Engine = "auto",
        threads: int = 1,
    ) -> Found:
        """Best rows for queries of the form term -> weight, as `LexicalLeg.search` gives them.

        A score is the sum of weight times BM25 score over the query's terms in the document's language, divided by what
        all the query's terms weigh in that language. By Lucene's BM25 it is above 0 and below 1.
        """
        require_mask(mask, self.n_docs)
        split, found = [_by_language(query) for query in queries], list[Found]()
        for part in self._parts.values():
            asked = [query.get(part.code, {}) for query in split]
            mine = None if mask is None else mask[part.rows]
            rows, scores = part.leg.search(asked, k=k, mask=mine, engine=engine, threads=threads)
            weights = np.array([_weight(part.leg, query) for query in asked])[:, None]
            hits = np.where(rows >= 0, part.rows[rows], -1).astype(np.int32)
            found.append((hits, (scores / weights).astype(np.float32)))
        return merged(found, k=k)

    def scores(self, query: Mapping[str, float], rows: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
        """float32 [len(rows)]: what these rows score for a query, as `search` gives it.

        NaN where it cannot tell: of a row without a term of the query, in a language that the query is not in, which is one
        that has less than half as many of its terms as another one. Of a row whose language is not known it can.
        """
        split, scores = _by_language(query), np.zeros(len(rows), np.float32)
        known = {code: sum(term in self._parts[code].leg for term in split.get(code, {})) for code in self._parts}
        for number, part in enumerate(self._parts.values()):
            mine = np.flatnonzero(self._part_of[rows] == number)
            if own := split.get(part.code):
                places = np.searchsorted(part.rows, rows[mine])
                scores[mine] = part.leg.scores(own, places) / np.float32(_weight(part.leg, own))
            if part.code != UNKNOWN and 2 * known[part.code] < max(known.values()):
                scores[mine[scores[mine] == 0]] = np.nan
        return scores

    def population(self, query: Mapping[str, float], *, among: NDArray[np.bool_] | None = None) -> Population:
        """What scores of a query come to over all rows of all languages, or over those that count: bool [n_docs]."""
        require_mask(among, self.n_docs)
        split, populations = _by_language(query), list[Population]()
        for part in self._parts.values():
            own = split.get(part.code, {})
            found = part.leg.population(own, among=None if among is None else among[part.rows])
            populations.append(scaled_population(found, 1 / _weight(part.leg, own)))
        return merged_population(populations)

    def impacts(self, query: Mapping[str, float], row: int) -> list[Impact]:
        """What each term of the query adds to a row's score, each time; those that add nothing are left out."""
        part = list(self._parts.values())[int(self._part_of[row])]
        own = _by_language(query).get(part.code, {})
        weight, place = _weight(part.leg, own), int(np.searchsorted(part.rows, row))
        return [
            Impact(tagged(part.code, term), impact / weight, there)
            for term, impact, there in part.leg.impacts(own, place)
        ]

    def _asked(self, term: str) -> tuple[_Part | None, str]:
        code, word = untagged(term)
        return self._parts.get(code), word


def _by_language(query: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """Language -> the query in it."""
    split: dict[str, dict[str, float]] = {}
    for term, weight in query.items():
        code, word = untagged(term)
        split.setdefault(code, {})[word] = weight
    return split


def _weight(leg: LexicalLeg, query: Mapping[str, float]) -> float:
    """What a question weighs in a language: the sum of its terms' rarities there, those that no document has included.

    A rarity is Lucene's log(1 + (n - df + 0.5) / (df + 0.5)), whatever the variant. It stands for the score of a document
    that has all that was asked. A language of few documents, whose rarities are small, is so on a par with a large one;
    and one that lacks most of a question's words, since it was not asked in it, is behind.
    """
    n = leg.n_docs
    frequencies = ((leg.document_frequency(term), weight) for term, weight in query.items())
    total = sum(abs(weight) * math.log(1 + (n - df + 0.5) / (df + 0.5)) for df, weight in frequencies)
    return total or 1.0


def _facts_of(facts: Mapping[str, Any], code: str) -> dict[str, Any]:
    """The facts of one language's leg."""
    shared = {name: facts[name] for name in LexicalSettings.model_fields}
    return {
        "version": VERSION_OF_ONE,
        **shared,
        "analyzer": facts["analyzer"]["languages"][code],
        **facts[COUNTS][code],
    }
