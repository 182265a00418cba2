"""Search by a query that a model writes in a search engine's language, made broader where it finds too little."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import prompts
from prompts import PromptTemplate
from rag.protocols import LLM, Retriever
from rag.ranking import require_k
from rag.types import NO_USAGE, Outcome, Query, Ranking, SamplingParams, ScoredDocument, Usage
from rag.writing import in_one_line, require_positive, without_reasoning, write
from ragline_recipes.query_string import Matched, parse_query_string

logger = logging.getLogger(__name__)

_MARKED = re.compile(r"##(.*?)(?:##|$)", re.DOTALL)
_NONE = "none that can be read"


@dataclass(slots=True, kw_only=True)
class _Search:
    """What became of one query. `written`: as the model wrote it last; `matched`: the same, read."""

    query: Query
    written: str = ""
    matched: Matched | None = None
    hits: tuple[ScoredDocument, ...] = ()
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = NO_USAGE

    @property
    def asked(self) -> Query:
        """What is searched for: the question, and the words of the query that it lacks."""
        known = set(_folded(self.query.text))
        more = [word for word in dict.fromkeys(self.matched.wanted() if self.matched else ()) if word not in known]
        return replace(self.query, text=" ".join([self.query.text, *more]), original=self.query.asked)


class ExpandedRetriever:
    """Documents that a query of the model's matches (BioASQ few-shot: Ateia and Kruschwitz, CLEF 2024, arXiv 2407.13511).

    1. The model writes a query in a search engine's language, with other names of what the question is about, between ##
       marks: '("heart attack" OR "myocardial infarction") AND aspirin'.
    2. The first `depth` documents that the inner retriever finds by the question and the words of the query are held against
       it. Those that it matches are the hits, in their order.
    3. Where fewer than `least` match, the model is asked once more, for a broader query, and it is searched again.

    Where too few match even then, or no query can be read, what was found by the words stays, outcome `fallback`. One or two
    calls a query; all first calls of a batch go together, and all second ones.

    Differs from the paper: it has an index that reads such queries, over titles and abstracts of all of PubMed, and fifty hits;
    here any retriever searches by words, and the query chooses among what it finds.

    Args:
        llm: the model that writes queries.
        inner: what is searched with.
        depth: documents that are held against the query.
        least: matching documents from which on the query is broad enough.
        shots: name or path of a file of shots for `prompt`; null shows none. One with the question itself is not shown.
        n_shots: how many of them are shown; fewer where a prompt would not fit.
        max_tokens: most tokens of a query.
        prompt: name or path of a prompt with the variable question.
        broaden_prompt: name or path of a prompt with the variables question and query.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        inner: Retriever,
        depth: int = 50,
        least: int = 1,
        shots: str | None = "search_query",
        n_shots: int = 10,
        max_tokens: int = 96,
        prompt: str = "search_query",
        broaden_prompt: str = "search_broader",
    ) -> None:
        by = "retrieve.expanded"
        require_positive(by, depth=depth, least=least, max_tokens=max_tokens)
        if n_shots < 0:
            raise ValueError(f"{by}: n_shots must be 0 or more, got {n_shots}")
        if least > depth:
            raise ValueError(f"{by}: least must be at most depth, {depth}, got {least}")
        self.llm, self.inner, self.depth, self.least, self.n_shots = llm, inner, depth, least, n_shots
        self.prompt, self.broaden_prompt = prompts.load(prompt), prompts.load(broaden_prompt)
        self.prompt.require("question", by=by)
        self.broaden_prompt.require("question", "query", by=by)
        self.shots = prompts.load_shots(shots) if shots else None
        if self.shots:
            self.shots.require(self.prompt, by=by)
        self._params = SamplingParams(max_tokens=max_tokens)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, of documents that its expansion matches.

        Outcome counts: `matched` documents, `broadened` (1: asked twice), `unread` queries, `unmatched` (1: too few in the end).

        Raises:
            ValueError: k is below 1.
        """
        require_k(k, by="retrieve.expanded")
        searches = [_Search(query=query) for query in queries]
        self._write(searches, self.prompt)
        self._search(searches)
        if few := [search for search in searches if search.counts["matched"] < self.least]:
            for search in few:
                search.counts["broadened"] += 1
            self._write(few, self.broaden_prompt)
            self._search(few)
        made = [_ranking(search, k, self.least) for search in searches]
        if bad := [ranking for ranking in made if ranking.outcome.kind == "fallback"]:
            logger.warning("retrieve.expanded: %d of %d: %s", len(bad), len(made), bad[0].outcome.detail)
        return made

    def _write(self, searches: Sequence[_Search], prompt: PromptTemplate) -> None:
        """Ask for queries, in one batch. One that cannot be read leaves none."""
        if not searches:
            return
        questions = [in_one_line(search.query.asked) for search in searches]
        given = [{"query": search.written or _NONE} if "query" in prompt.variables else {} for search in searches]
        rendered = [prompt.render(question=question, **more) for question, more in zip(questions, given, strict=True)]
        shots = [
            [*self.shots.turns(self.prompt, self.n_shots, but_not=question)] if self.shots and not more else []
            for question, more in zip(questions, given, strict=True)
        ]
        requests = prompts.with_shots(self.llm, rendered, shots, room=self._params.max_tokens)
        replies = write(self.llm, [[request] for request in requests], self._params, read=marked)
        for search, reply in zip(searches, replies, strict=True):
            search.usage += reply.usage
            search.written = in_one_line("".join(reply.texts))
            search.matched = parse_query_string(search.written)
            search.counts["unread"] += search.matched is None

    def _search(self, searches: Sequence[_Search]) -> None:
        """Search by question and query, and hold what is found against the query."""
        rankings = self.inner.retrieve([search.asked for search in searches], k=self.depth) if searches else []
        for search, ranking in zip(searches, rankings, strict=True):
            search.usage += ranking.usage
            matched = search.matched
            held = [hit for hit in ranking.hits if matched is not None and matched.holds(hit.document.full_text)]
            search.counts["matched"] = len(held)
            search.hits = tuple(held) if len(held) >= self.least else ranking.hits


def marked(reply: str) -> str:
    """What stands between ## marks in a reply; its last line where it has none.

    >>> marked("Here: ##aspirin AND (stroke OR apoplexy)##"), marked("aspirin AND stroke")
    ('aspirin AND (stroke OR apoplexy)', 'aspirin AND stroke')
    """
    text = without_reasoning(reply).strip()
    found = _MARKED.search(text)
    return (found[1] if found else text.rpartition("\n")[2]).strip()


def _ranking(search: _Search, k: int, least: int) -> Ranking:
    matched = search.counts["matched"]
    counts = {name: n for name, n in search.counts.items() if n}
    outcome = Outcome(detail=f"searched for: {search.written}", counts=counts)
    if matched < least:
        why = f"{matched} of {least} documents match" if search.matched else "no query that can be read"
        detail = f"{why}, so what was found by words stays; written: {search.written!r}"
        outcome = Outcome(kind="fallback", detail=detail, counts={**counts, "unmatched": 1})
    return Ranking(query=search.query, hits=search.hits[:k], outcome=outcome, usage=search.usage)


def _folded(text: str) -> list[str]:
    return [word.casefold() for word in re.findall(r"[^\W_]+", text)]
