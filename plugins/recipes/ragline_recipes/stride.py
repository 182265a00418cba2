"""Retrieval while the answer is written: every so many tokens the passages are exchanged for those of what was written last."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import fsum
from time import perf_counter
from typing import cast

import prompts
from rag.protocols import LLM, Retriever, ScoringLLM
from rag.types import (
    NO_USAGE,
    Answer,
    Completion,
    Context,
    Message,
    Outcome,
    Prompt,
    Query,
    SamplingParams,
    ScoredDocument,
    Usage,
)
from rag.writing import (
    Mender,
    Said,
    attribute,
    first_words,
    lacking,
    numbered,
    outcome_of,
    require_positive,
    status_of,
    usage_of,
    warn,
    with_history,
)

logger = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Growing:
    """An answer in the making. `hits`: what the next tokens are written with; `read`: all passages so far, by doc_id."""

    query: Query
    text: str = ""
    hits: tuple[ScoredDocument, ...] = ()
    read: dict[str, ScoredDocument] = field(default_factory=dict)
    usage: Usage = NO_USAGE
    tokens: int = 0
    finish: str = "length"
    going: bool = True
    searches: int = 0

    def add(self, completion: Completion) -> None:
        """Take the next tokens."""
        self.text += completion.text
        self.tokens += completion.completion_tokens
        self.usage += usage_of(completion)
        self.going = completion.finish_reason == "length" and bool(completion.text)
        self.finish = completion.finish_reason


_SPACED = re.compile(r"\s*\S+")


def strides(text: str, n: int) -> list[str]:
    """The text in pieces of so many words, white space before a word with it."""
    words = _SPACED.findall(text)
    return ["".join(words[first : first + n]) for first in range(0, len(words), n)]


class StrideGenerator:
    """Passages exchanged as the answer grows (In-Context RALM: Ram et al., TACL 2023, arXiv 2302.00083).

    At first the question is searched for, and after every `stride` tokens the question with the last words that were
    written. The passages stand before the question, and the text so far is continued. This is the part of RETRO and
    InstructRetro (arXiv 2304.06762, 2310.07713) that needs no training: neighbours of what was written last, exchanged by
    stride. Costs a search and a call for every stride; each reads the passages anew, so a small stride is dear.

    The model writes no markers. Sentences are attributed to the passages whose words they use, which is a lexical guess
    (`rag.stages.cite.attribute`). A question for which nothing is found is declined without asking the model.

    Differs from the paper: it is a chat model that answers a question, so the question is a part of every search; passages
    are of the index and not of fixed length; the reranking by the last tokens is not here.

    Args:
        llm: the model that writes.
        inner: what is searched with.
        stride: tokens between two searches.
        words: last words of the text that are searched for, beside the question.
        passages: how many are read at a time.
        max_words: words of a passage that are shown.
        prompt: name or path of a prompt with the variables passages and question, and a refusal.
        max_tokens: most tokens of an answer.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        inner: Retriever,
        stride: int = 32,
        words: int = 32,
        passages: int = 2,
        max_words: int = 200,
        prompt: str = "answer_growing",
        max_tokens: int = 128,
    ) -> None:
        by = "generate.stride"
        require_positive(by, stride=stride, words=words, passages=passages, max_words=max_words, max_tokens=max_tokens)
        self.llm, self.inner = llm, inner
        self.stride, self.words, self.passages, self.max_words = stride, words, passages, max_words
        self.max_tokens = max_tokens
        self.prompt = prompts.load(prompt)
        self.prompt.require("passages", "question", by=by)

    def generate(self, queries: Sequence[Query]) -> list[Answer]:
        """One answer per query, in order. Its context has all passages that were read, in the order of their first use."""
        begun = perf_counter()
        growing = [_Growing(query=query) for query in queries]
        for first in range(0, self.max_tokens, self.stride):
            going = [each for each in growing if each.going]
            if not going:
                break
            self._search(going)
            going = [each for each in going if each.hits]
            length = min(self.stride, self.max_tokens - first)
            asked = [self._render(each) for each in going]
            for each, completion in zip(
                going, self.llm.complete(asked, SamplingParams(max_tokens=length)) if asked else [], strict=True
            ):
                each.add(completion)
        seconds = (perf_counter() - begun) / max(1, len(queries))
        answers = [self._answer(each, seconds) for each in growing]
        warn(logger, "generate.stride", answers)
        return answers

    def likelihoods(
        self, queries: Sequence[Query], texts: Sequence[str], begun: Sequence[str] = ()
    ) -> list[list[float]]:
        """How likely the model finds given texts if it has to write them in the place of an answer, by stride, in nats.

        What is searched for, shown and continued is what `generate` would search, show and continue, had the model written
        the text so far; a stride is so many words here. Where nothing is found no passage is shown.

        Args:
            begun: what of each answer stands already, such as the text before.
        Raises:
            ValueError: the model cannot score a text that is given to it.
        """
        if lacking(self.llm, ["score"]):
            raise ValueError("generate.stride: likelihoods needs a model that can score given texts; this one cannot")
        llm = cast(ScoringLLM, self.llm)
        growing = [
            _Growing(query=query, text=text) for query, text in zip(queries, begun or [""] * len(queries), strict=True)
        ]
        pieces = [strides(text, self.stride) for text in texts]
        found: list[list[float]] = [[] for _ in texts]
        for place in range(max(map(len, pieces), default=0)):
            going = [n for n, each in enumerate(pieces) if place < len(each)]
            self._search([growing[n] for n in going])
            asked = [self._render(growing[n]) for n in going]
            for n, row in zip(going, llm.score(asked, [pieces[n][place] for n in going]), strict=True):
                found[n].append(fsum(row))
                growing[n].text += pieces[n][place]
        return found

    def _search(self, going: Sequence[_Growing]) -> None:
        """Find the passages for what is written next. Where nothing new is found the old ones stay."""
        asked = [
            Query(qid=each.query.qid, text=self._sought(each), where=each.query.where, within=each.query.within)
            for each in going
        ]
        for each, ranking in zip(going, self.inner.retrieve(asked, k=self.passages), strict=True):
            each.searches += 1
            each.hits = ranking.hits or each.hits
            each.going = bool(each.hits)
            for hit in each.hits:
                each.read.setdefault(hit.doc_id, hit)

    def _sought(self, each: _Growing) -> str:
        return " ".join([each.query.text, *each.text.split()[-self.words :]])

    def _render(self, each: _Growing) -> Prompt:
        shown = [
            numbered(replace(hit.document, text=first_words(hit.document.text, self.max_words)), number)
            for number, hit in enumerate(each.hits, start=1)
        ]
        turns = self.prompt.render(passages="\n\n".join(shown), question=each.query.asked)
        begun = [Message(role="assistant", content=each.text)] if each.text else []
        return [*with_history(turns, each.query), *begun]

    def _answer(self, each: _Growing, seconds: float) -> Answer:
        context = Context(query=each.query, passages=tuple(each.read.values()))
        usage = each.usage + Usage(seconds=seconds)
        if not each.read:
            text = f"{self.prompt.refusal.rstrip('.')}."
            outcome = Outcome(kind="empty", detail="no passages")
            return Answer(
                query=each.query, text=text, context=context, status="no_answer", outcome=outcome, usage=usage
            )
        titles = [hit.document.title for hit in context.passages]
        said = Said.of(self.prompt.turns, question=each.query.asked, titles=titles, refusal=self.prompt.refusal)
        mender = Mender(said)
        text = mender.add(each.text) + mender.finish(cut=each.finish == "length")
        status = status_of(text, refusal=self.prompt.refusal)
        documents = [hit.document for hit in context.passages]
        outcome = outcome_of(
            Completion(text=text, finish_reason="stop" if mender.done else each.finish), status, mended=mender.counts
        )
        return Answer(
            query=each.query,
            text=text,
            context=context,
            citations=attribute(text, documents) if status == "answered" else (),
            status=status,
            finish_reason=each.finish,
            outcome=replace(outcome, counts={**outcome.counts, "searches": each.searches}),
            usage=usage,
        )
