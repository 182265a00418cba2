"""Passages by their best snippets: what a model copies out of each, and in which order it puts them."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import ClassVar

import prompts
from rag.protocols import LLM
from rag.ranking import in_this_order, require_k
from rag.types import Completion, Document, Prompt, Ranking, SamplingParams
from rag.writing import (
    Work,
    first_words,
    fitted,
    in_one_line,
    list_form,
    parse_list,
    parse_permutation,
    require_positive,
    usage_of,
    warn_of_calls,
    with_picked,
    written,
)
from ragline_recipes.verbatim import Span, occurrences, outermost

logger = logging.getLogger(__name__)

_OF_PASSAGE = 10
"""Snippets of a passage, at most."""

_SHOWN_WORDS = 80
"""Words of a snippet that are shown when they are put in order."""

_SPARE = 16
"""Tokens that a list of numbers may take beside four for each number."""

Snippet = tuple[int, Span]
"""Place of the passage, and characters of its text."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Snippets:
    """The snippets of a ranking, best first once they are in order. `unread`: places of passages whose reply could not be read."""

    work: Work
    snippets: list[Snippet] = field(default_factory=list)
    unread: list[int] = field(default_factory=list)

    @property
    def question(self) -> str:
        return in_one_line(self.work.ranking.query.text)

    def text(self, snippet: Snippet) -> str:
        place, (start, end) = snippet
        return in_one_line(self.work.documents[place].text[start:end])


class SnippetsReranker:
    """Passages by their best snippets (BioASQ few-shot: Ateia and Kruschwitz, CLEF 2024, arXiv 2407.13511).

    The model copies out of each of the first `depth` passages what helps to answer. Each snippet is looked for in the text of
    its passage, where dashes, quotation marks, blanks, letter case and Greek letters that are spelt out do not matter; one that
    is not there is dropped and counted (`not_in_text`). Then it is shown all snippets under numbers, and lists the best `most`.
    Passages follow their best snippet. Each has its own in its metadata as `spans`, the best first: `start`, `end` and `text`.
    The text of a passage stays whole; `generate.typed` shows the snippets in its place.

    A passage without a snippet goes, and so do those below `depth`, which nobody read. One whose reply cannot be read stays,
    behind those with snippets, outcome `fallback`. Where the numbers cannot be read, the snippets stay in the order of their
    passages. At most `depth` + 1 calls a ranking; all first calls of a batch go together.

    Differs from the paper: shots are shown for the first step alone, and three come with ragline, where the paper has ten.

    Args:
        llm: the model that copies and orders.
        depth: how many of a ranking's first passages are read.
        most: snippets that are kept, of all passages together.
        drop: leave out passages without a snippet; else they follow in their order.
        shots: name or path of a file of shots for `prompt`; null shows none. One with the question itself is not shown.
        n_shots: how many of them are shown; fewer where a prompt would not fit.
        max_words: words of a passage that are shown; fewer where a prompt would not fit.
        max_tokens: most tokens of the snippets of a passage.
        prompt: name or path of a prompt with the variables question and passage, answered with a JSON list of texts.
        order_prompt: name or path of a prompt with the variables question, snippets and n, answered with a list of numbers.
    """

    leaves_out: ClassVar[tuple[str, ...]] = ("without_snippets", "not_read")

    def __init__(
        self,
        *,
        llm: LLM,
        depth: int = 10,
        most: int = 10,
        drop: bool = True,
        shots: str | None = "snippets",
        n_shots: int = 10,
        max_words: int = 300,
        max_tokens: int = 256,
        prompt: str = "snippets",
        order_prompt: str = "snippets_order",
    ) -> None:
        by = "rerank.snippets"
        require_positive(by, depth=depth, most=most, max_words=max_words, max_tokens=max_tokens)
        if n_shots < 0:
            raise ValueError(f"{by}: n_shots must be 0 or more, got {n_shots}")
        self.llm, self.depth, self.most, self.drop = llm, depth, most, drop
        self.n_shots, self.max_words, self.max_tokens = n_shots, max_words, max_tokens
        self.prompt, self.order_prompt = prompts.load(prompt), prompts.load(order_prompt)
        self.prompt.require("question", "passage", by=by)
        self.order_prompt.require("question", "snippets", "n", by=by)
        self.shots = prompts.load_shots(shots) if shots else None
        if self.shots:
            self.shots.require(self.prompt, by=by)

    def rerank(self, rankings: Sequence[Ranking], *, k: int) -> list[Ranking]:
        """Passages with snippets, at most `k`, by their best one.

        Outcome counts: calls by kind, `snippets` kept, `not_in_text`, and of passages that go `without_snippets` and
        `not_read` (below depth).
        """
        require_k(k, by="rerank.snippets")
        found = [_Snippets(work=Work.of(ranking, self.depth)) for ranking in rankings]
        self._copy(found)
        self._order([each for each in found if len(each.snippets) > 1])
        warn_of_calls([each.work for each in found], by="rerank.snippets")
        return [self._ranking(each, k) for each in found]

    def _copy(self, found: Sequence[_Snippets]) -> None:
        """Let the model copy snippets out of every passage, in one batch."""
        started = perf_counter()
        asked = [(each, place) for each in found for place in range(len(each.work.documents))]
        if not asked:
            return
        renders = [
            lambda words, each=each, place=place: self.prompt.render(
                question=each.question, passage=_shown(each.work.documents[place], words)
            )
            for each, place in asked
        ]
        fits = fitted(self.llm, renders, words=self.max_words, rooms=[self.max_tokens] * len(asked))
        shots = [self._shots(each.question) for each, _ in asked]
        requests = prompts.with_shots(self.llm, [one.prompt for one in fits], shots, room=self.max_tokens)
        form = SamplingParams(regex=list_form(_OF_PASSAGE))
        completions = written(self.llm, requests, [form] * len(asked), max_tokens=self.max_tokens)
        seconds = (perf_counter() - started) / len(asked)
        for (each, place), one, completion in zip(asked, fits, completions, strict=True):
            each.work.counts["shortened"] += one.shortened
            each.work.usage += usage_of(completion, seconds=seconds)
            each.snippets += [(place, span) for span in _spans(each, place, completion)]

    def _shots(self, question: str) -> list[Prompt]:
        return [*self.shots.turns(self.prompt, self.n_shots, but_not=question)] if self.shots else []

    def _order(self, found: Sequence[_Snippets]) -> None:
        """Put the snippets of every ranking in order, in one batch."""
        if not found:
            return
        started = perf_counter()
        renders = [
            lambda words, each=each: self.order_prompt.render(
                question=each.question,
                snippets="\n".join(
                    f"[{number}] {first_words(each.text(snippet), words)}"
                    for number, snippet in enumerate(each.snippets, start=1)
                ),
                n=str(self.most),
            )
            for each in found
        ]
        room = 4 * self.most + _SPARE
        requests = [one.prompt for one in fitted(self.llm, renders, words=_SHOWN_WORDS, rooms=[room] * len(found))]
        forms = [SamplingParams(regex=_numbers(len(each.snippets), self.most)) for each in found]
        completions = written(self.llm, requests, forms, max_tokens=room)
        seconds = (perf_counter() - started) / len(found)
        for each, completion in zip(found, completions, strict=True):
            order, report = parse_permutation(completion.text, len(each.snippets))
            each.work.usage += usage_of(completion, seconds=seconds)
            each.work.note(
                "repaired" if report.fallback or report.unknown or report.repeated else "ok",
                unordered=int(report.fallback),
                unknown=report.unknown,
                repeated=report.repeated,
            )
            named = len(order) if report.fallback else len(order) - report.missing
            each.snippets = [each.snippets[place] for place in order[:named]]

    def _ranking(self, found: _Snippets, k: int) -> Ranking:
        work, kept = found.work, found.snippets[: self.most]
        spans: dict[int, list[Span]] = {}
        for place, span in kept:
            spans.setdefault(place, []).append(span)
        others = [place for place in range(len(work.documents)) if place not in spans]
        without = len(set(others) - set(found.unread))
        work.counts.update(snippets=len(kept))
        if self.drop:
            work.counts.update(without_snippets=without, not_read=len(work.rest))
        documents = [with_picked(work.documents[place], some) for place, some in spans.items()]
        documents += [work.documents[place] for place in others if not self.drop or place in found.unread]
        if not self.drop:
            documents += work.rest
        return Ranking(
            query=work.ranking.query,
            hits=in_this_order(documents, k=k),
            source=work.ranking.source,
            outcome=work.outcome(),
            usage=work.usage,
        )


def _shown(document: Document, words: int) -> str:
    return in_one_line(first_words(document.text, words))


def _spans(found: _Snippets, place: int, completion: Completion) -> list[Span]:
    """Where the snippets of a reply stand in their passage, each at its first place, in the order of the text."""
    work, text = found.work, found.work.documents[place].text
    items = parse_list(completion.text)
    cut_off = int(completion.finish_reason == "length")
    if items is None:
        found.unread.append(place)
        work.note("fallback", bad=f"a reply without a list, at rank {place + 1}", cut_off=cut_off)
        return []
    places = [occurrences(item, text)[:1] for item in dict.fromkeys(items[:_OF_PASSAGE])]
    absent = sum(not each for each in places)
    work.note("repaired" if absent else "ok", not_in_text=absent, cut_off=cut_off)
    return outermost(span for each in places for span in each)


def _numbers(n: int, most: int) -> str:
    """A regular expression for a JSON list of one to `most` numbers from 1 to `n`."""
    number = f"({'|'.join(map(str, range(1, n + 1)))})"
    more = f"(, {number}){{0,{min(n, most) - 1}}}" if min(n, most) > 1 else ""
    return rf"\[{number}{more}\]"
