"""An answer that several passages, each read alone, agree on."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Literal, get_args

import numpy as np

import prompts
from rag.protocols import LLM
from rag.types import Answer, Citation, Completion, Context, Outcome, Prompt, SamplingParams, Usage
from rag.writing import (
    numbered,
    require_one_of,
    require_positive,
    require_share,
    status_of,
    usage_of,
    warn,
    with_similarity,
    without_markers,
)

logger = logging.getLogger(__name__)

Weight = Literal["passage", "source", "relevance"]

_WORD = re.compile(r"[^\W_]+")
_ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ballot:
    """What one passage says. `words`: of the answer; none where it abstains."""

    place: int
    text: str
    words: frozenset[str]
    weight: float


class VoteGenerator:
    """Asks each passage alone, and takes a vote (RobustRAG, Xiang et al., 2024, arXiv 2405.15556).

    One passage that misleads can then spoil one vote and not the whole answer.

    Passages whose answer is the refusal abstain. Two answers agree if the words of one are all in the other. The answer with
    the largest sum of weights is given, in the words of its best passage, with markers of all passages that say so; of equal
    ones the one whose passage stands first. Costs a short call per passage. Not here, of what the paper has: keyword
    aggregation of long answers, and its certificates.

    Args:
        llm: the model that answers.
        prompt: name or path of a prompt with the variables passage and question, and a refusal.
        max_tokens: most tokens of an answer.
        weigh: `passage` gives each passage one vote; `source` each document, however many of its passages say so;
            `relevance` a softmax of the standardised scores, so that what was found first counts more.
        agreement: least share of the votes that an answer needs, 0 to 1; below it the question is refused.
        max_passages: how many passages are asked about, in the order of the context.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        prompt: str = "answer_passage",
        max_tokens: int = 48,
        weigh: Weight = "passage",
        agreement: float = 0.0,
        max_passages: int = 8,
    ) -> None:
        require_positive("generate.vote", max_tokens=max_tokens, max_passages=max_passages)
        require_one_of("generate.vote", get_args(Weight), weigh=weigh)
        require_share("generate.vote", agreement=agreement)
        self.llm, self.max_tokens, self.max_passages = llm, max_tokens, max_passages
        self.weigh, self.agreement = weigh, agreement
        self.prompt = prompts.load(prompt)
        self.prompt.require("passage", "question", by="generate.vote")
        self._params = SamplingParams(max_tokens=max_tokens, stop=("\n",))

    def generate(self, contexts: Sequence[Context]) -> list[Answer]:
        """One answer per context, in order. All passages of all contexts are one batch."""
        begun = perf_counter()
        asked = [context.passages[: self.max_passages] for context in contexts]
        rendered: list[Prompt] = [
            self.prompt.render(passage=numbered(hit.document, 1), question=context.query.asked)
            for context, hits in zip(contexts, asked, strict=True)
            for hit in hits
        ]
        completions = iter(self.llm.complete(rendered, self._params) if rendered else [])
        seconds = (perf_counter() - begun) / max(1, len(contexts))
        answers = [
            self._answer(context, [next(completions) for _ in hits], seconds)
            for context, hits in zip(contexts, asked, strict=True)
        ]
        warn(logger, "generate.vote", answers)
        return answers

    def _answer(self, context: Context, replies: Sequence[Completion], seconds: float) -> Answer:
        usage = Usage(seconds=seconds)
        for reply in replies:
            usage += usage_of(reply)
        answer = Answer(
            query=context.query,
            text=f"{self.prompt.refusal.rstrip('.')}.",
            context=context,
            status="no_answer",
            usage=usage,
        )
        if not replies:
            return replace(answer, outcome=Outcome(kind="empty", detail="no passages"))
        ballots = self._ballots(context, replies)
        camps = camps_of([ballot for ballot in ballots if ballot.words])
        n_abstained = len(ballots) - sum(map(len, camps))
        counts = {"votes": len(ballots), "abstained": n_abstained, "answers": len(camps)}
        if not camps:
            return replace(answer, outcome=Outcome(counts=counts))
        best = max(camps, key=_weight)
        share = _weight(best) / sum(map(_weight, camps))
        counts["agree"] = len(best)
        if share < self.agreement:
            detail = f"{len(best)} of {len(ballots) - n_abstained} passages with an answer agree, fewer than asked for"
            return replace(answer, outcome=Outcome(detail=detail, counts={**counts, "disagreed": 1}))
        text, citations = self._cited(context, best)
        return replace(answer, text=text, status="answered", citations=citations, outcome=Outcome(counts=counts))

    def _ballots(self, context: Context, replies: Sequence[Completion]) -> list[Ballot]:
        hits = context.passages[: len(replies)]
        texts = [without_markers(reply.text).strip().rstrip(".") for reply in replies]
        refused = [status_of(text, refusal=self.prompt.refusal) != "answered" for text in texts]
        words = [frozenset() if no else words_of(text) for text, no in zip(texts, refused, strict=True)]
        weights = np.ones(len(hits))
        if self.weigh == "relevance":
            scores = np.array([hit.score for hit in hits])
            weights = np.exp((scores - scores.mean()) / (scores.std() or 1.0))
        elif self.weigh == "source":
            sources = [hit.document.parent for hit, said in zip(hits, words, strict=True) if said]
            weights = np.array([1 / max(1, sources.count(hit.document.parent)) for hit in hits])
        return [
            Ballot(place=place, text=text, words=said, weight=float(weight))
            for place, (text, said, weight) in enumerate(zip(texts, words, weights, strict=True))
        ]

    def _cited(self, context: Context, camp: Sequence[Ballot]) -> tuple[str, tuple[Citation, ...]]:
        """The answer in the words of the camp's first passage, with a marker for each passage of it."""
        text = camp[0].text
        citations = []
        for ballot in camp:
            marker = f"[{ballot.place + 1}]"
            start = len(text) + (ballot is camp[0])
            text += f" {marker}" if ballot is camp[0] else marker
            doc_id = context.passages[ballot.place].doc_id
            citations.append(Citation(marker=ballot.place + 1, doc_id=doc_id, start=start, end=len(text)))
        documents = [hit.document for hit in context.passages]
        return f"{text}.", with_similarity(f"{text}.", citations, documents)


def camps_of(ballots: Sequence[Ballot]) -> list[list[Ballot]]:
    """Ballots that agree, in the order of their first one: all words of the shorter answer are in the longer."""
    camps: list[list[Ballot]] = []
    for ballot in ballots:
        for camp in camps:
            if camp[0].words <= ballot.words or ballot.words <= camp[0].words:
                camp.append(ballot)
                break
        else:
            camps.append([ballot])
    return camps


def words_of(text: str) -> frozenset[str]:
    """The words of an answer that are compared: folded, without articles."""
    return frozenset(word.casefold() for word in _WORD.findall(text)) - _ARTICLES


def _weight(camp: Sequence[Ballot]) -> float:
    return sum(ballot.weight for ballot in camp)
