"""What the lexical leg is to an index: settings, building, opening, matching."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from rag.core.errors import SpecError
from rag.core.filters import readers_of
from rag.core.memory import Need
from rag.core.types import Population, Where
from retrievers.analysis.settings import AUTO, EACH, AnalyzerSettings
from retrievers.legs.lexical.settings import LexicalSettings
from retrievers.legs.protocol import (
    Built,
    Difference,
    Facts,
    Job,
    LegKind,
    LegMaker,
    LegVectors,
    Mask,
    Opening,
    Readable,
    Sections,
    VectorsElsewhere,
    differences_of,
    explicit_differences,
)
from retrievers.stores.chain_rows import ChainRows

if TYPE_CHECKING:
    from retrievers.analysis.analyzer import Analysis
    from retrievers.legs.lexical.by_language import LexicalByLanguage
    from retrievers.legs.lexical.elsewhere import LexicalElsewhere
    from retrievers.legs.lexical.leg import LexicalLeg
    from retrievers.legs.lexical.search import Impact, LexicalSearch, Words

    def _keeps_the_protocol(leg: LocalLexical) -> LexicalSearch:
        return leg


log = logging.getLogger(__name__)

_TERM_BYTES = 200
"""A Python string and its entry in a dictionary."""


class LexicalKind(LegKind):
    """BM25 over the terms of an analyzer. Needs no model."""

    name = "lexical"
    section = "bm25"
    settings = LexicalSettings
    joins = True
    also = ("analyzer",)
    graph = "bm25"

    def maker(self, settings: Sections) -> LegMaker:
        """Raises SpecError where there is no such analyzer: now, and not after all files are read."""
        from retrievers.analysis.multilingual import settings_described

        analyzer = cast(AnalyzerSettings, settings.section("analyzer"))
        try:
            settings_described(analyzer)
        except ValueError as cause:
            raise SpecError(f"index.analyzer: {cause}") from cause
        return LexicalMaker(analyzer, cast(LexicalSettings, settings.section(self.section)))

    def open(self, opening: Opening) -> LocalLexical:
        from retrievers.legs.lexical.by_language import COUNTS, LexicalByLanguage
        from retrievers.legs.lexical.leg import LexicalLeg

        if opening.rows is not None or opening.readable is not None:
            rows = ChainRows([opening.facts["n_docs"]], [None]) if opening.rows is None else opening.rows
            leg = LexicalLeg.open_chain(opening.folders, [facts for _, facts in opening.parts], rows)
            return LocalLexical(leg, opening.mask, opening.readable)
        if COUNTS in opening.facts:
            return LocalLexical(LexicalByLanguage.open(opening.folder, opening.facts), opening.mask)
        return LocalLexical(LexicalLeg.open(opening.folder, opening.facts), opening.mask)

    def why_whole(self, facts: Facts) -> str:
        from retrievers.legs.lexical.by_language import COUNTS
        from retrievers.legs.lexical.leg import COUNTED
        from retrievers.legs.lexical.rank_bm25_leg import VARIANTS

        if facts.get(COUNTED):
            return ""
        if COUNTS in facts:
            return f"analyzer.language {EACH} weighs the words of each language apart"
        if facts.get("variant") in VARIANTS:
            return f"bm25.variant {facts['variant']} counts all documents"
        return "a lexical leg of an older version keeps no counts"

    def why_together(self, settings: Sections) -> str:
        from retrievers.legs.lexical.rank_bm25_leg import VARIANTS

        bm25 = cast(LexicalSettings, settings.section(self.section))
        if bm25.variant in VARIANTS:
            return f"bm25.variant {bm25.variant} counts all documents; choose lucene, robertson, atire, bm25l or bm25+"
        if cast(AnalyzerSettings, settings.section("analyzer")).language == EACH:
            return f"analyzer.language {EACH} counts all documents of a language; name the language"
        return ""

    def merge(self, opening: Opening, folder: Path) -> dict[str, Any]:
        from retrievers.legs.lexical.leg import LexicalLeg

        assert opening.rows is not None  # there is nothing to merge of one part
        return LexicalLeg.merge(opening.folders, [facts for _, facts in opening.parts], opening.rows, folder)

    def why_no_vectors(self, settings: Sections) -> str:
        from retrievers.legs.lexical.elsewhere import why_no_vectors

        bm25, analyzer = settings.section(self.section), settings.section("analyzer")
        return why_no_vectors(cast(LexicalSettings, bm25), cast(AnalyzerSettings, analyzer))

    def as_vectors(self, leg: LocalLexical) -> LegVectors:
        from retrievers.legs.lexical.elsewhere import as_vectors

        return as_vectors(leg.in_one_language())

    def open_elsewhere(self, vectors: VectorsElsewhere, facts: Facts) -> LexicalElsewhere:
        from retrievers.legs.lexical.elsewhere import LexicalElsewhere

        return LexicalElsewhere(vectors, facts)

    def differences(self, wanted: Sections, built: Sections, facts: Facts) -> Iterator[Difference]:
        asked, made = (cast(AnalyzerSettings, sections.section("analyzer")) for sections in (wanted, built))
        asked, made = _named(asked), made.model_copy(update={"cjk": _cut_of(facts)})
        if wanted.says("analyzer") and not same_terms(asked, made):
            yield from differences_of("analyzer", asked, made)
        yield from explicit_differences(self.section, wanted, built)

    def memory(self, facts: Facts, n_bytes: int) -> list[Need]:
        return [
            Need(what="vocabulary", n_bytes=_TERM_BYTES * int(facts.get("n_terms", 0))),
            Need(what="postings", n_bytes=n_bytes, mapped=True),
        ]


@dataclass(frozen=True, slots=True)
class LexicalMaker(LegMaker):
    """A lexical leg to be."""

    analyzer: AnalyzerSettings
    bm25: LexicalSettings

    def key(self) -> dict[str, Any]:
        from retrievers.analysis.multilingual import settings_described

        return {"bm25": self.bm25.model_dump(mode="json"), "analyzer": settings_described(self.analyzer)}

    def build(self, job: Job) -> Built:
        if self.analyzer.language == EACH:
            return Built(facts=self._by_language(job))
        from retrievers.legs.lexical.leg import LexicalLeg

        facts = LexicalLeg.build(job.texts, job.folder, analyzer=self.analyzer, bm25=self.bm25, progress=job.progress)
        return Built(facts=facts)

    def _by_language(self, job: Job) -> dict[str, Any]:
        from retrievers.analysis.multilingual import UNKNOWN
        from retrievers.legs.lexical.by_language import COUNTS, LexicalByLanguage

        facts = LexicalByLanguage.build(
            job.texts, job.languages, job.folder, analyzer=self.analyzer, bm25=self.bm25, progress=job.progress
        )
        if [*facts[COUNTS]] == [UNKNOWN]:
            log.warning(
                "no document says its language, so the words of all are kept whole. index: {reading: {languages: true}} tells "
                "it from their text, or name the language of all: index: {analyzer: {language: de}}"
            )
        return facts


class LocalLexical:
    """The leg with the filters of its index. Safe to share between threads.

    Args:
        readable: given where whoever asks has statistics of their own, which a leg in one language can tell.
    """

    def __init__(self, leg: LexicalLeg | LexicalByLanguage, mask: Mask, readable: Readable | None = None) -> None:
        self._leg, self._mask, self._readable = leg, mask, readable

    @property
    def analyzer(self) -> Analysis:
        """Text -> terms, as the index was built."""
        return self._leg.analyzer

    @property
    def n_docs(self) -> int:
        return self._leg.n_docs

    def __contains__(self, term: object) -> bool:
        return term in self._leg

    def n_docs_of(self, term: str, *, where: Where | None = None) -> int:
        """How many documents might have the term: all, or those in its language."""
        return self._leg_for(where).n_docs_of(term)

    def document_frequency(self, term: str, *, where: Where | None = None) -> int:
        """How many documents have the term."""
        return self._leg_for(where).document_frequency(term)

    def knows(self, term: str, *, where: Where | None = None) -> bool:
        """Whether a document has the term that whoever asks may read."""
        return self._leg.knows(term, among=self._mask(readers_of(where)))

    def words_like(self, term: str, *, least: int) -> list[Words]:
        """Words that begin as a term does; see `LexicalSearch.words_like`."""
        return self._leg.words_like(term, least=least)

    def warm_up(self) -> None:
        """Get the compiled engine ready, once per process; takes seconds."""
        self._leg.warm_up()

    def release(self) -> None:
        """Nothing to let go of: all is mapped."""

    def in_one_language(self) -> LexicalLeg:
        """The leg itself, for whoever keeps it elsewhere.

        Raises:
            ValueError: it is a leg for each language.
        """
        from retrievers.legs.lexical.leg import LexicalLeg

        if not isinstance(self._leg, LexicalLeg):
            raise ValueError("the leg has weights for each language by itself")
        return self._leg

    def search(
        self, queries: Sequence[Mapping[str, float]], *, k: int, where: Where | None = None, threads: int = 1
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """See `LexicalLeg.search`."""
        return self._leg_for(where).search(queries, k=k, mask=self._mask(where), threads=threads)

    def scores(
        self, query: Mapping[str, float], rows: NDArray[np.integer[Any]], *, where: Where | None = None
    ) -> NDArray[np.float32]:
        """See `LexicalLeg.scores`."""
        return self._leg_for(where).scores(query, rows)

    def population(self, query: Mapping[str, float], *, where: Where | None = None) -> Population:
        """What scores of a query come to over all that whoever asks may read."""
        if self._readable is not None:  # that is all that their leg has
            return self._leg_for(where).population(query)
        return self._leg.population(query, among=self._mask(readers_of(where)))

    def impacts(self, query: Mapping[str, float], row: int, *, where: Where | None = None) -> list[Impact]:
        """What each term of a query adds to a row's score."""
        return self._leg_for(where).impacts(query, row)

    def _leg_for(self, where: Where | None) -> LexicalLeg | LexicalByLanguage:
        """The leg with the statistics of whoever asks."""
        return self._leg if self._readable is None else self.in_one_language().among(self._readable(where))


def _cut_of(facts: Facts) -> str:
    """How unspaced text was cut: an index from before there was a choice says nothing, and `auto` meant another then."""
    from retrievers.analysis.cjk import AS_EVER

    said: Mapping[str, Any] = facts.get("analyzer") or {}
    return str(said.get("cjk", AS_EVER))


def _named(asked: AnalyzerSettings) -> AnalyzerSettings:
    """Without a language that is left to the build: whatever that chose is what was asked for."""
    if asked.language != AUTO:
        return asked
    return AnalyzerSettings(**asked.model_dump(exclude_unset=True, exclude={"language"}))


def same_terms(wanted: AnalyzerSettings, built: AnalyzerSettings) -> bool:
    """Whether the wanted analyzer, where it is explicit, makes the terms that the built one does."""
    from retrievers.analysis.multilingual import settings_described

    merged = built.model_copy(update={name: getattr(wanted, name) for name in wanted.model_fields_set})
    return bool(merged == built or settings_described(merged) == settings_described(built))
