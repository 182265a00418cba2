"""Which sentence of a source made somebody ask? Sentences of one source, by how likely they make the question."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar, Literal, get_args

import prompts
from rag.filters import WhereData, both, parse_where
from rag.indexes import Index
from rag.protocols import ScoringLLM
from rag.ranking import ranked, require_k
from rag.types import Document, Message, Outcome, Prompt, Query, Ranking, ScoredDocument, Usage
from rag.writing import Recipe, cached_tokens, folded, require_one_of, require_positive

logger = logging.getLogger(__name__)

Form = Literal["single", "autoregressive", "causal", "causal_full"]
Shown = tuple[int, ...]
"""Places of the sentences that a prompt shows."""

_MARGIN = 2  # tokens: prompt and question are read apart, where a tokenizer adds a prefix or joins nothing


class BacktraceRetriever:
    """The sentence that caused a question, by likelihood (Backtracing: Wang et al., EACL 2024 Findings, arXiv 2403.03956).

    The source is what the query's filter lets through, in the order of the index: one unit per sentence, and a field
    that names its source. A sentence's score is the log-probability of the question per token, given

    - single: the sentence;
    - autoregressive: all sentences up to it;
    - causal: all up to it, less the same without it;
    - causal_full: the whole source, less the same without it.

    The paper's similarity scorers are `retrieve.bm25` and `retrieve.dense` with the same filter. The paper scores with
    plain language models; here the model's chat template stands around the text. Not here, of what the paper has: the
    chat model that names the numbers of lines, a layout of its own for lectures ("Teacher:", "Student:") and for
    conversations ("Speaker X:", emotions): the prompt has the one for texts and questions, and takes others by `prompt`.

    Args:
        llm: the model whose likelihoods are used.
        index: the index that holds the sentences.
        form: what the likelihood is taken of.
        window: sentences that are a source of their own, counted from its start, as 20 in the paper's lectures; none
            takes the source whole.
        exclude_query: a sentence that is the question itself, as in conversations, is no cause.
        max_sentences: most sentences of a source; more means that the filter is missing or wrong.
        prompt: name or path of a prompt with the variable source, which the question follows.
        where: a filter that holds beside the query's own: {"lang": "de"}, or text such as 'year >= 2020'.
    """

    recipe: ClassVar[Recipe] = Recipe(
        system="Backtracing", source="Wang et al., Findings of EACL 2024, arXiv 2403.03956"
    )

    def __init__(
        self,
        *,
        llm: ScoringLLM,
        index: Index,
        form: Form = "single",
        window: int | None = None,
        exclude_query: bool = True,
        max_sentences: int = 2000,
        prompt: str = "backtrace",
        where: WhereData | None = None,
    ) -> None:
        require_one_of("retrieve.backtrace", get_args(Form), form=form)
        require_positive("retrieve.backtrace", window=window, max_sentences=max_sentences)
        self.llm, self.form, self.window = llm, form, window
        self.exclude_query, self.max_sentences = exclude_query, max_sentences
        self._index, self._where = index, parse_where(where)
        self.prompt = prompts.load(prompt)
        self.prompt.require("source", by="retrieve.backtrace")

    def retrieve(self, queries: Sequence[Query], *, k: int) -> list[Ranking]:
        """One ranking per query, in order; one batch of likelihoods for all.

        Sentences whose prompt does not fit the model are left out and counted as `too_long`.

        Raises:
            ValueError: k is below 1, or a source has more than `max_sentences`.
        """
        require_k(k, by="retrieve.backtrace")
        if not queries:
            return []
        started = perf_counter()
        sources = [self._source(query) for query in queries]
        jobs = [(source, shown) for source in sources for shown in source.wanted]
        requests = [(source.prompt_of(shown, self.prompt), _after(source.query)) for source, shown in jobs]
        room = self.llm.context_window - _MARGIN
        lengths = self.llm.count_tokens([_joined(prompt, text) for prompt, text in requests])
        fitting = [number for number, tokens in enumerate(lengths) if tokens <= room]
        scores = self.llm.score(
            [requests[number][0] for number in fitting], [requests[number][1] for number in fitting]
        )
        spared = cached_tokens(self.llm, len(fitting))
        for number, logs, cached in zip(fitting, scores, spared, strict=True):
            source, shown = jobs[number]
            if logs:
                source.likelihoods[shown] = math.fsum(logs) / len(logs)
                source.calls += 1
                source.tokens += lengths[number]
                source.cached += cached
        seconds = (perf_counter() - started) / len(queries)
        rankings = [source.ranking(k, seconds) for source in sources]
        if bad := sum("too_long" in ranking.outcome.counts for ranking in rankings):
            logger.warning("retrieve.backtrace: %d of %d sources do not fit the model whole", bad, len(queries))
        return rankings

    def _source(self, query: Query) -> _Source:
        rows = self._index.rows(both(self._where, query.where))
        n_rows = len(rows)
        if n_rows > self.max_sentences:
            raise ValueError(
                f"retrieve.backtrace: the source of qid '{query.qid}' has {n_rows:,} sentences, at most "
                f"{self.max_sentences:,} are allowed; give the query a filter that names its source"
            )
        sentences = self._index.documents.many(rows.tolist())
        if self.exclude_query:
            sentences = [s for s in sentences if folded(s.text) != folded(query.text)]
        needed = contexts(self.form, len(sentences), self.window or len(sentences)) if query.text.strip() else []
        return _Source(query=query, sentences=sentences, needed=needed, likelihoods={})


def contexts(form: Form, n: int, window: int) -> list[tuple[Shown, Shown | None]]:
    """For each of `n` sentences: those shown with the question, and those whose likelihood is taken off, if any.

    >>> contexts("causal", 3, 2)
    [((0,), ()), ((0, 1), (0,)), ((2,), ())]
    """
    pairs: list[tuple[Shown, Shown | None]] = []
    for number in range(n):
        first = number - number % window
        before, whole = tuple(range(first, number)), tuple(range(first, min(first + window, n)))
        if form == "single":
            pairs.append(((number,), None))
        elif form == "autoregressive":
            pairs.append(((*before, number), None))
        elif form == "causal":
            pairs.append(((*before, number), before))
        else:
            pairs.append((whole, tuple(place for place in whole if place != number)))
    return pairs


@dataclass(slots=True, kw_only=True)
class _Source:
    """One query: its sentences, which of them each score needs, and the likelihoods known so far."""

    query: Query
    sentences: list[Document]
    needed: list[tuple[Shown, Shown | None]]
    likelihoods: dict[Shown, float]
    calls: int = 0
    tokens: int = 0
    cached: int = 0

    @property
    def wanted(self) -> list[Shown]:
        """Every context once, in order."""
        return list(dict.fromkeys(shown for pair in self.needed for shown in pair if shown is not None))

    def prompt_of(self, shown: Shown, template: prompts.PromptTemplate) -> Prompt:
        return template.render(source="\n".join(self.sentences[number].full_text for number in shown))

    def ranking(self, k: int, seconds: float) -> Ranking:
        scored = [
            ScoredDocument(document=document, score=score)
            for document, (shown, less) in zip(self.sentences, self.needed, strict=False)
            if (score := _difference(self.likelihoods, shown, less)) is not None
        ]
        return Ranking(
            query=self.query,
            hits=ranked(scored, k=k),
            source="backtrace",
            outcome=self._outcome(len(scored)),
            usage=Usage(calls=self.calls, prompt_tokens=self.tokens, cached_tokens=self.cached, seconds=seconds),
        )

    def _outcome(self, n_scored: int) -> Outcome:
        if not self.needed:
            reason = "the source has no sentence" if not self.sentences else "the question has no text"
            return Outcome(kind="empty", detail=reason)
        if left_out := len(self.needed) - n_scored:
            detail = f"{left_out} of {len(self.needed)} sentences are too long for the model with what they need"
            return Outcome(kind="repaired" if n_scored else "empty", detail=detail, counts={"too_long": left_out})
        return Outcome()


def _difference(likelihoods: Mapping[Shown, float], shown: Shown, less: Shown | None) -> float | None:
    """None where a likelihood is not known, or not finite."""
    first, second = likelihoods.get(shown), 0.0 if less is None else likelihoods.get(less)
    if first is None or second is None or not math.isfinite(first - second):
        return None
    return first - second


def _after(query: Query) -> str:
    return f" {query.text.strip()}"


def _joined(prompt: Prompt, text: str) -> Prompt:
    """The prompt with the text that is scored behind it: what the model reads."""
    *head, last = prompt
    if last.role != "assistant":
        return [*prompt, Message(role="assistant", content=text)]
    return [*head, Message(role="assistant", content=last.content + text)]
