"""All passages that name something of a type, with the names, until none comes any more."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import cast

import prompts
from prompts import PromptTemplate
from rag.filters import Filter, WhereData, both, parse_where
from rag.indexes import Index
from rag.protocols import LLM, ChoosingLLM, Retriever
from rag.ranking import in_this_order, ranked, require_k
from rag.types import Completion, Document, Outcome, Prompt, Query, Ranking, SamplingParams, ScoredDocument
from rag.writing import (
    Reading,
    Rounds,
    first_words,
    fitting,
    in_one_line,
    kept_forms,
    list_form,
    parse_list,
    require_choosing,
    require_positive,
    require_share,
    usage_of,
    weighed,
    with_picked,
)
from ragline_recipes.verbatim import Span, occurrences, outermost

logger = logging.getLogger(__name__)

_NAMES = 20
"""Names of a passage, at most."""


@dataclass(slots=True, kw_only=True)
class _Search(Reading):
    """What was read for one type."""

    name: str
    description: str
    found: list[tuple[Document, float]] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)

    def text(self, examples: int) -> str:
        """What is searched for: the type, and names of it that were found last."""
        known = [*self.names][-examples:] if examples else []
        return " ".join([self.query.text, *([", ".join(known)] if known else [])])

    def add(self, document: Document, quoted: Sequence[str], score: float) -> None:
        """A passage with what the model copied out of it."""
        spans: list[Span] = []
        for quotation in dict.fromkeys(quoted):
            places = occurrences(quotation, document.text)
            self.counts["not_in_text"] += not places
            spans += places
        kept = outermost(spans)
        self.marks.append(bool(kept))
        if kept:
            self.names |= dict.fromkeys(document.text[start:end] for start, end in kept)
            self.found.append((with_picked(document, kept), score))


class MentionsRetriever:
    """All passages that name something of a type, with the names (NERetrieve: Katz et al., 2023, arXiv 2310.14282).

    A query is a type and, behind a colon, what belongs to it: "vessel: ships and boats with a name". The type may be one
    that nobody ever labelled. Candidates come in rounds: the inner retriever is asked for the next `batch` passages, by
    the type together with the last `examples` names that were found. The model is asked of each passage whether it names
    something of the type. Of those that it accepts it copies the names. A name is a span of the passage's text, looked for
    there; what is not in the text is dropped and counted (`not_in_text`), and a passage without a name is no hit. Hits have
    `spans` in their metadata: `start`, `end` and `text` of each, in characters of the passage's text.

    It goes on until `k` passages are found, `most` were read, `patience` rounds in a row found nothing, or no candidate is
    left. Ask for more than there can be to list all. The outcome says how many passages were read and not read, and how
    many may be missed: an estimate, with its assumption (`retrievers.missed`). What the model overlooks in passages that it
    reads is not in it.

    For one query at most `most` / `batch` searches, rounded up, and one more; at most `most` calls that weigh a word, and
    as many that write. Without `least` the latter alone. All queries of a batch go in step.

    Differs from the paper, which offers a task and baselines: those are `retrieve.bm25` and `retrieve.dense` with the type as
    the query. Names are no vectors here; what was found leads to more by its words.

    Args:
        llm: the model that judges and copies.
        inner: what is searched with.
        index: the index that is searched, which says how many passages there are.
        batch: passages of a round.
        patience: rounds without a find after which it ends.
        most: passages that are read for a query, at most.
        examples: names found that are searched for beside the type; 0 searches for the type alone.
        least: share of yes against no from which a passage is accepted; null does not ask and copies at once, with any model.
        max_words: words of a passage that are shown.
        max_tokens: most tokens of the names of a passage.
        ask_prompt: name or path of a prompt with the variables type, description and passage, answered Yes or No.
        prompt: the same, answered with a JSON list of names.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        inner: Retriever,
        index: Index,
        batch: int = 16,
        patience: int = 3,
        most: int = 400,
        examples: int = 8,
        least: float | None = 0.5,
        max_words: int = 120,
        max_tokens: int = 96,
        ask_prompt: str = "mention",
        prompt: str = "mentions",
        where: WhereData | None = None,
    ) -> None:
        by = "retrieve.mentions"
        require_positive(by, batch=batch, patience=patience, most=most, max_words=max_words, max_tokens=max_tokens)
        if examples < 0:
            raise ValueError(f"{by}: examples must be 0 or more, got {examples}")
        if least is not None:
            require_share(by, least=least)
            require_choosing(llm, by=f"{by}: least", instead="least: null copies at once, with any model.")
        self.llm, self.inner, self._index, self._where = llm, inner, index, parse_where(where)
        self._rounds, self.examples = Rounds(batch=batch, patience=patience, most=most), examples
        self.least, self.max_words, self.max_tokens = least, max_words, max_tokens
        self.needs: tuple[str, ...] = () if least is None else ("choose",)
        self.ask_prompt, self.prompt = prompts.load(ask_prompt), prompts.load(prompt)
        for each in (self.ask_prompt, self.prompt):
            each.require("type", "description", "passage", by=by)

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order, the surest first; without `least` in the order in which they were found.

        Outcome counts: passages `read`, `unread` and `found`, `rounds`, `missed_at_most` (95%), and of what the model wrote
        `not_in_text`, `unread_replies`, `without_names` (passages that it accepted and named nothing of), `broken` (it gave
        no probability), `too_long` (passages whose prompt does not fit the model).

        Raises:
            ValueError: k is below 1.
        """
        require_k(k, by="retrieve.mentions")
        searches = [_begun(query, both(self._where, query.where)) for query in queries]
        for going in self._rounds.over(searches, self.inner, lambda search: search.text(self.examples)):
            self._read(going)
            for search in going:
                if len(search.found) >= k:
                    search.ended = search.ended or "no more were asked for"
        made = [self._ranking(search, k) for search in searches]
        if bad := [ranking for ranking in made if ranking.outcome.kind == "repaired"]:
            logger.warning("retrieve.mentions: %d of %d: %s", len(bad), len(made), bad[0].outcome.detail)
        return made

    def _read(self, searches: Sequence[_Search]) -> None:
        """Judge the passages of a round, and note what they name."""
        asked = [(search, document) for search in searches for document in search.fresh]
        scores = dict.fromkeys(range(len(asked)), 0.0)
        if self.least is not None:
            scores = weighed(cast(ChoosingLLM, self.llm), self._rendered(asked, self.ask_prompt))
        accepted = [place for place, score in scores.items() if self.least is None or score >= self.least]
        replies = dict(zip(accepted, self._copied([asked[place] for place in accepted]), strict=True))
        for place, score in scores.items():
            search, document = asked[place]
            search.add(document, replies.get(place, []), score)
            search.counts["without_names"] += self.least is not None and place in replies and not search.marks[-1]

    def _copied(self, asked: Sequence[tuple[_Search, Document]]) -> list[list[str]]:
        """What the model says that each passage names."""
        rendered = self._rendered(asked, self.prompt)
        places = fitting(self.llm, rendered, room=self.max_tokens)
        regex = list_form(_NAMES) if "regex" in kept_forms(self.llm) else ""
        params = SamplingParams(max_tokens=self.max_tokens, regex=regex)
        completions = self.llm.complete([rendered[place][1] for place in places], params) if places else []
        names: list[list[str]] = [[] for _ in asked]
        for place, completion in zip(places, completions, strict=True):
            names[place] = _names(asked[place][0], completion)
        return names

    def _rendered(
        self, asked: Sequence[tuple[_Search, Document]], template: PromptTemplate
    ) -> list[tuple[_Search, Prompt]]:
        return [
            (
                search,
                template.render(
                    type=search.name,
                    description=search.description,
                    passage=in_one_line(first_words(document.text, self.max_words)),
                ),
            )
            for search, document in asked
        ]

    def _ranking(self, search: _Search, k: int) -> Ranking:
        if not search.name:
            outcome = Outcome(kind="empty", detail="the query names no type")
            return Ranking(query=search.query, outcome=outcome)
        unread = max(0, len(self._index.rows(search.where)) - len(search.marks))
        missed = self._rounds.missed(search, unread=unread)
        told = {"read": len(search.marks), "unread": unread, "found": len(search.found)}
        counts = {**told, "missed_at_most": missed.at_most(), **{name: n for name, n in search.counts.items() if n}}
        detail = (
            f"found {len(search.found)}; read {len(search.marks)} of {len(search.marks) + unread} passages and ended,"
            f" as {search.ended}. An estimate: {missed.expected:.0f} more among the unread, at most"
            f" {missed.at_most()} (95%), if they are no likelier to count than the last {missed.tail} that were read"
        )
        mended = any(search.counts[name] for name in ("not_in_text", "unread_replies", "broken", "too_long"))
        hits = (
            ranked(ScoredDocument(document=document, score=score) for document, score in search.found)
            if self.least is not None
            else in_this_order([document for document, _ in search.found])
        )
        outcome = Outcome(kind="repaired" if mended else "ok", detail=detail, counts=counts)
        return Ranking(query=search.query, hits=hits[:k], outcome=outcome, usage=search.usage)


def _begun(query: Query, where: Filter | None) -> _Search:
    """The type and what belongs to it, from the text of a query."""
    name, _, description = in_one_line(query.text).partition(":")
    search = _Search(query=query, where=where, name=name.strip(), description=description.strip() or name.strip())
    if not search.name:
        search.ended = "the query names no type"
    return search


def _names(search: _Search, completion: Completion) -> list[str]:
    """The names of a reply; none where it cannot be read, which is counted."""
    search.usage += usage_of(completion)
    items = parse_list(completion.text)
    search.counts["unread_replies"] += items is None
    return (items or [])[:_NAMES]
