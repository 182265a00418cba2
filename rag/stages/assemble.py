"""Ranking -> the passages that a generator reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.core.arguments import require_positive
from rag.core.llm_protocols import KnowsItsSpeed
from rag.core.protocols import LLM
from rag.core.replies import folded
from rag.core.types import OK, Context, Document, Outcome, Ranking, ScoredDocument
from rag.ingest.sentences import sentences
from rag.stages.passages import numbered
from rag.stages.ruler import Ruler
from rag.stages.stretch import cut, span_of, stretches

_BESIDE = 260
"""Tokens that could be read in the time for rules and the question, which are read twice in part, for the search, and for the
first words of the answer; and in what a longer prompt takes more a token."""
_LEAST = 200
"""Tokens of passages that are read however slow the model is."""


class TokenBudgetAssembler:
    """The first passages of a ranking that fit a token budget, in ranking order (ours).

    Near-duplicates are left out: the same words in the same order, or a chunk more than half of whose span a better hit
    shows already. What a chunk shares with a better hit that lies before or behind it is shown once. The first passage that
    does not fit is cut at the end of a sentence, and nothing after it is taken: a passage further down is never preferred
    because it is short. Where not even its first sentence fits it is dropped, unless it is the best hit, which is cut inside
    the sentence rather than lost.

    Args:
        llm: counts the tokens.
        max_tokens: tokens of all passages together, with their numbers and titles; null takes half of the model's window.
        max_passages: most passages; unset leaves it to the budget.
        patience: seconds that the model may read before the first word, by how fast it reads on this machine. Where passages
            take longer, each gives the sentences around what matches the question, as many as have more of it than those of
            the others (`rag.stages.stretch`). Unset, or with a model that does not know how fast it reads, they are read
            however long it takes.
    """

    def __init__(
        self,
        *,
        llm: LLM,
        max_tokens: int | None = 1500,
        max_passages: int | None = None,
        patience: float | None = None,
    ) -> None:
        require_positive("assemble.token_budget", max_tokens=max_tokens, max_passages=max_passages)
        if patience is not None and not 0 < patience < float("inf"):
            raise ValueError(f"assemble.token_budget: patience must be above 0 seconds, got {patience}")
        self.llm, self.max_tokens, self.max_passages, self.patience = llm, max_tokens, max_passages, patience

    def warm_up(self) -> None:
        """Learn how fast the model reads now instead of at the first question."""
        self._by_time()

    def _by_time(self) -> int | None:
        """Tokens that the model reads in time; None where that is not bounded, or not known."""
        if self.patience is None or not isinstance(self.llm, KnowsItsSpeed):
            return None
        return max(_LEAST, int(self.patience * self.llm.reading_speed()) - _BESIDE)

    def assemble(self, rankings: Sequence[Ranking]) -> list[Context]:
        """One context per ranking, in order.

        Outcome counts: `duplicates` left out, passages `cut`, those cut or left out for time (`over_time`), hits `over_budget`.
        """
        chosen = [_Chosen.of(ranking, self.max_passages) for ranking in rankings]
        ruler, budget = Ruler(self.llm), budget_of(self.llm, self.max_tokens) if chosen else 0
        # All passages of all rankings are counted in one call; only those at the edge are counted again.
        texts = [numbered(hit.document, marker) for one in chosen for marker, hit in enumerate(one.hits, start=1)]
        counts = iter(ruler.count(texts))
        in_time = self._by_time() if texts else None
        return [_context(one, [next(counts) for _ in one.hits], ruler, budget, in_time) for one in chosen]


@dataclass(slots=True)
class _Chosen:
    """The hits of a ranking without near-duplicates."""

    ranking: Ranking
    hits: list[ScoredDocument] = field(default_factory=list)
    duplicates: int = 0

    @classmethod
    def of(cls, ranking: Ranking, most: int | None) -> _Chosen:
        chosen = cls(ranking=ranking)
        shown: set[str] = set()
        for hit in ranking.hits:
            if len(chosen.hits) == most:
                break
            words = folded(hit.document.text) or hit.document.text
            words = words or hit.document.digest.hex()  # a picture that nobody says a word of
            if words in shown or any(_mostly_in(hit.document, other.document) for other in chosen.hits):
                chosen.duplicates += 1
                continue
            shown.add(words)
            chosen.hits.append(replace(hit, document=_beside(hit.document, chosen.hits)))
        return chosen


def _context(chosen: _Chosen, counts: Sequence[int], ruler: Ruler, budget: int, in_time: int | None) -> Context:
    hits, counts, for_time = _in_time(chosen, counts, ruler, in_time)
    passages: list[ScoredDocument] = []
    used = n_cut = 0
    for hit, tokens in zip(hits, counts, strict=True):
        room = budget - used
        if tokens <= room:
            passages.append(hit)
            used += tokens
            continue
        shorter = _shortened(hit.document, len(passages) + 1, room, ruler, inside=not passages)
        if shorter is not None:
            passages.append(replace(hit, document=shorter[0]))
            used += shorter[1]
            n_cut = 1
        break
    over = len(hits) - len(passages)
    losses = {"duplicates": chosen.duplicates, "cut": n_cut, "over_time": for_time, "over_budget": over}
    counted = {name: n for name, n in losses.items() if n}
    outcome = Outcome(counts=counted) if counted else OK
    if not passages:
        outcome = Outcome(kind="empty", detail="no passages", counts=counted)
    return Context(query=chosen.ranking.query, passages=tuple(passages), n_tokens=used, outcome=outcome)


def _in_time(
    chosen: _Chosen, counts: Sequence[int], ruler: Ruler, in_time: int | None
) -> tuple[list[ScoredDocument], list[int], int]:
    """The hits as far as they are read in time, their tokens, and how many of them are cut or left out for it."""
    if in_time is None or sum(counts) <= in_time:
        return chosen.hits, list(counts), 0
    documents = [hit.document for hit in chosen.hits]
    kept = stretches(documents, chosen.ranking.query.asked, room=in_time, ruler=ruler)
    if not kept:  # the best hit is cut inside a sentence rather than lost
        shorter = _shortened(documents[0], 1, in_time, ruler, inside=True)
        kept = [(0, *shorter)] if shorter else []
    hits = [replace(chosen.hits[place], document=document) for place, document, _ in kept]
    n_whole = sum(document is documents[place] for place, document, _ in kept)
    return hits, [tokens for *_, tokens in kept], len(counts) - n_whole


def _mostly_in(document: Document, other: Document) -> bool:
    """Whether `other` shows more than half of a chunk's span of their common parent."""
    if document.parent != other.parent:
        return False
    span, other_span = span_of(document), span_of(other)
    if span is None or other_span is None:
        return document.doc_id == other.doc_id
    return 2 * (min(span[1], other_span[1]) - max(span[0], other_span[0])) > span[1] - span[0]


def _beside(document: Document, hits: Sequence[ScoredDocument]) -> Document:
    """A chunk without what other chunks of its parent show already of its beginning or end."""
    for other in hits:
        span, shown = span_of(document), span_of(other.document)
        if span is None or shown is None or document.parent != other.document.parent:
            continue
        if len(document.text) != span[1] - span[0]:
            continue
        if shown[0] <= span[0] < shown[1]:
            document = cut(document, shown[1] - span[0], span[1] - span[0])
        elif shown[0] < span[1] <= shown[1]:
            document = cut(document, 0, shown[0] - span[0])
    return document


def budget_of(llm: LLM, max_tokens: int | None) -> int:
    """The limit of passages as it is given, else half of the model's window: the rest is for prompt, question and answer."""
    return max_tokens or llm.context_window // 2


def _shortened(
    document: Document, number: int, room: int, ruler: Ruler, *, inside: bool
) -> tuple[Document, int] | None:
    """The longest beginning of a passage that fits, and its tokens.

    It ends with a sentence; if not even one fits and `inside` is allowed, with a word, and failing that anywhere.
    """
    ends = [end for _, end in sentences(document.text)]
    if inside:
        words = [match.end() for match in re.finditer(r"\S+", document.text)]
        candidates = [ends, words, list(range(1, len(document.text) + 1))]
    else:
        candidates = [ends]
    for places in candidates:
        low, high = 0, len(places)  # places[:low] fit, those from high on do not
        best: tuple[Document, int] | None = None
        while low < high:
            middle = (low + high) // 2
            shorter = cut(document, 0, places[middle])
            [tokens] = ruler.count([numbered(shorter, number)])
            if tokens <= room:
                low, best = middle + 1, (shorter, tokens)
            else:
                high = middle
        if best is not None:
            return best
    return None
