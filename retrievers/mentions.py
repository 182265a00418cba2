"""All passages that name something of a type, with the names, until none comes any more."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import cast

import numpy as np

import prompts
from prompts import PromptTemplate
from rag.core.arguments import require_positive, require_share
from rag.core.completions import choose_each, usage_of
from rag.core.filters import Filter, WhereData, both, parse_where
from rag.core.picked import with_picked
from rag.core.powers import kept_forms, require_choosing
from rag.core.protocols import LLM, ChoosingLLM, Retriever
from rag.core.ranking import in_this_order, ranked, require_k
from rag.core.replies import list_form, parse_list
from rag.core.types import (
    NO_USAGE,
    Completion,
    Document,
    Outcome,
    Prompt,
    Query,
    Ranking,
    SamplingParams,
    ScoredDocument,
    Usage,
)
from rag.core.verbatim import Span, occurrences, outermost
from rag.core.words import first_words, in_one_line
from retrievers.index.protocol import Index
from retrievers.missed import Missed

logger = logging.getLogger(__name__)

_NAMES = 20
"""Names of a passage, at most."""


@dataclass(slots=True, kw_only=True)
class _Search:
    """What was read for one type. `fresh`: the passages of this round. `marks`: whether each that was read is a find."""

    query: Query
    where: Filter | None
    name: str
    description: str
    fresh: list[Document] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    marks: list[bool] = field(default_factory=list)
    found: list[tuple[Document, float]] = field(default_factory=list)
    names: dict[str, None] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    usage: Usage = NO_USAGE
    ended: str = ""

    def wanted(self, examples: int) -> Query:
        """What is searched for: the type, and names of it that were found last."""
        known = [*self.names][-examples:] if examples else []
        text = " ".join([self.query.text, *([", ".join(known)] if known else [])])
        return Query(qid=self.query.qid, text=text, where=self.where, within=self.query.within)

    def take(self, ranking: Ranking, n: int) -> None:
        """The next `n` passages that were not read yet."""
        self.fresh = [hit.document for hit in ranking.hits if hit.doc_id not in self.seen][:n]
        self.seen.update(document.doc_id for document in self.fresh)
        self.usage += ranking.usage
        self.counts["rounds"] += bool(self.fresh)
        if ranking.outcome.kind == "failed":
            self.ended = f"the search failed ({ranking.outcome.detail})"
        elif not self.fresh:
            self.ended = "no candidate is left"

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
        self.batch, self.patience, self.most, self.examples = batch, patience, most, examples
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
        while going := [search for search in searches if not search.ended]:
            depth = max(len(search.seen) for search in going) + self.batch
            rankings = self.inner.retrieve([search.wanted(self.examples) for search in going], k=depth)
            for search, ranking in zip(going, rankings, strict=True):
                search.take(ranking, min(self.batch, self.most - len(search.seen)))
            self._read([search for search in going if search.fresh])
            for search in going:
                search.ended = search.ended or self._end(search, k)
        made = [self._ranking(search, k) for search in searches]
        if bad := [ranking for ranking in made if ranking.outcome.kind == "repaired"]:
            logger.warning("retrieve.mentions: %d of %d: %s", len(bad), len(made), bad[0].outcome.detail)
        return made

    def _end(self, search: _Search, k: int) -> str:
        """Why a search that could go on ends; empty where it goes on."""
        tail = search.marks[-self.patience * self.batch :]
        if len(search.found) >= k:
            return "no more were asked for"
        if len(search.seen) >= self.most:
            return "no more were to be read"
        if len(tail) == self.patience * self.batch and not any(tail):
            return f"the last {len(tail)} had none"
        return ""

    def _read(self, searches: Sequence[_Search]) -> None:
        """Judge the passages of a round, and note what they name."""
        begun = perf_counter()
        asked = [(search, document) for search in searches for document in search.fresh]
        scores = self._weighed(asked) if self.least is not None else dict.fromkeys(range(len(asked)), 0.0)
        accepted = [place for place, score in scores.items() if self.least is None or score >= self.least]
        replies = dict(zip(accepted, self._copied([asked[place] for place in accepted]), strict=True))
        for place, score in scores.items():
            search, document = asked[place]
            search.add(document, replies.get(place, []), score)
            search.counts["without_names"] += self.least is not None and place in replies and not search.marks[-1]
        seconds = (perf_counter() - begun) / max(1, len(searches))
        for search in searches:
            search.usage += Usage(seconds=seconds)

    def _weighed(self, asked: Sequence[tuple[_Search, Document]]) -> dict[int, float]:
        """Place -> share of yes; without passages that do not fit, or at which the model broke down."""
        fitting = list(self._fitting(asked, self.ask_prompt, room=8))
        rows = choose_each(cast(ChoosingLLM, self.llm), [prompt for _, prompt in fitting], ("Yes", "No"))
        scores: dict[int, float] = {}
        for (place, _), (row, usage) in zip(fitting, rows, strict=True):
            search = asked[place][0]
            search.usage += usage
            share = float(np.exp(row[0] - np.logaddexp(row[0], row[1]))) if np.isfinite(row).any() else np.nan
            if np.isnan(share):
                search.counts["broken"] += 1
            else:
                scores[place] = share
        return scores

    def _copied(self, asked: Sequence[tuple[_Search, Document]]) -> list[list[str]]:
        """What the model says that each passage names."""
        fitting = list(self._fitting(asked, self.prompt, room=self.max_tokens))
        regex = list_form(_NAMES) if "regex" in kept_forms(self.llm) else ""
        params = SamplingParams(max_tokens=self.max_tokens, regex=regex)
        completions = self.llm.complete([prompt for _, prompt in fitting], params) if fitting else []
        names: list[list[str]] = [[] for _ in asked]
        for (place, _), completion in zip(fitting, completions, strict=True):
            names[place] = _names(asked[place][0], completion)
        return names

    def _fitting(
        self, asked: Sequence[tuple[_Search, Document]], template: PromptTemplate, *, room: int
    ) -> Iterator[tuple[int, Prompt]]:
        """Places and prompts of those that leave this room in the model's window; the others are counted."""
        rendered = [
            template.render(
                type=search.name,
                description=search.description,
                passage=in_one_line(first_words(document.text, self.max_words)),
            )
            for search, document in asked
        ]
        tokens = self.llm.count_tokens(rendered) if rendered else []
        for place, (prompt, n) in enumerate(zip(rendered, tokens, strict=True)):
            if n + room <= self.llm.context_window:
                yield place, prompt
            else:
                asked[place][0].counts["too_long"] += 1

    def _ranking(self, search: _Search, k: int) -> Ranking:
        if not search.name:
            outcome = Outcome(kind="empty", detail="the query names no type")
            return Ranking(query=search.query, outcome=outcome)
        unread = max(0, len(self._index.rows(search.where)) - len(search.marks))
        tail = search.marks[-self.patience * self.batch :]
        missed = Missed(unread=unread, tail=len(tail), finds=sum(tail))
        told = {"read": len(search.marks), "unread": unread, "found": len(search.found)}
        counts = {**told, "missed_at_most": missed.at_most(), **{name: n for name, n in search.counts.items() if n}}
        detail = (
            f"found {len(search.found)}; read {len(search.marks)} of {len(search.marks) + unread} passages and ended,"
            f" as {search.ended}. An estimate: {missed.expected:.0f} more among the unread, at most"
            f" {missed.at_most()} (95%), if they are no likelier to count than the last {len(tail)} that were read"
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
