"""Ranking -> the passages that a generator reads."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rag.core.arguments import require_positive
from rag.core.protocols import LLM
from rag.core.types import OK, Context, Document, Message, Outcome, Ranking, ScoredDocument
from rag.ingest.sentences import sentences
from rag.stages.passages import numbered

_WORD = re.compile(r"\w+")


class TokenBudgetAssembler:
    """The first passages of a ranking that fit a token budget, in ranking order (ours).

    Near-duplicates are left out: the same words in the same order, or a chunk more than half of whose span a better hit
    shows already. The first passage that does not fit is cut at the end of a sentence, and nothing after it is
    taken: a passage further down is never preferred because it is short. Where not even its first sentence fits it is
    dropped, unless it is the best hit, which is cut inside the sentence rather than lost.

    Args:
        llm: counts the tokens.
        max_tokens: tokens of all passages together, with their numbers and titles; null takes half of the model's window.
        max_passages: most passages; unset leaves it to the budget.
    """

    def __init__(self, *, llm: LLM, max_tokens: int | None = 1500, max_passages: int | None = None) -> None:
        require_positive("assemble.token_budget", max_tokens=max_tokens, max_passages=max_passages)
        self.llm, self.max_tokens, self.max_passages = llm, max_tokens, max_passages

    def assemble(self, rankings: Sequence[Ranking]) -> list[Context]:
        """One context per ranking, in order.

        Outcome counts: `duplicates` left out, passages `cut`, hits `over_budget`.
        """
        chosen = [_Chosen.of(ranking, self.max_passages) for ranking in rankings]
        ruler, budget = Ruler(self.llm), budget_of(self.llm, self.max_tokens) if chosen else 0
        # All passages of all rankings are counted in one call; only those at the edge are counted again.
        texts = [numbered(hit.document, marker) for one in chosen for marker, hit in enumerate(one.hits, start=1)]
        counts = iter(ruler.count(texts))
        return [_context(one, [next(counts) for _ in one.hits], ruler, budget) for one in chosen]


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
            words = " ".join(_WORD.findall(hit.document.text.casefold())) or hit.document.text
            if words in shown or any(_mostly_in(hit.document, other.document) for other in chosen.hits):
                chosen.duplicates += 1
                continue
            shown.add(words)
            chosen.hits.append(hit)
        return chosen


def _context(chosen: _Chosen, counts: Sequence[int], ruler: Ruler, budget: int) -> Context:
    passages: list[ScoredDocument] = []
    used = cut = 0
    for hit, tokens in zip(chosen.hits, counts, strict=True):
        room = budget - used
        if tokens <= room:
            passages.append(hit)
            used += tokens
            continue
        shorter = _shortened(hit.document, len(passages) + 1, room, ruler, inside=not passages)
        if shorter is not None:
            passages.append(replace(hit, document=shorter[0]))
            used += shorter[1]
            cut = 1
        break
    over = len(chosen.hits) - len(passages)
    losses = {"duplicates": chosen.duplicates, "cut": cut, "over_budget": over}
    counted = {name: n for name, n in losses.items() if n}
    outcome = Outcome(counts=counted) if counted else OK
    if not passages:
        outcome = Outcome(kind="empty", detail="no passages", counts=counted)
    return Context(query=chosen.ranking.query, passages=tuple(passages), n_tokens=used, outcome=outcome)


def _mostly_in(document: Document, other: Document) -> bool:
    """Whether `other` shows more than half of a chunk's span of their common parent."""
    if document.parent != other.parent:
        return False
    span, other_span = span_of(document), span_of(other)
    if span is None or other_span is None:
        return document.doc_id == other.doc_id
    return 2 * (min(span[1], other_span[1]) - max(span[0], other_span[0])) > span[1] - span[0]


def budget_of(llm: LLM, max_tokens: int | None) -> int:
    """The limit of passages as it is given, else half of the model's window: the rest is for prompt, question and answer."""
    return max_tokens or llm.context_window // 2


def span_of(document: Document) -> tuple[int, int] | None:
    """Where a chunk stands in its parent, if it says so."""
    start, end = document.metadata.get("start"), document.metadata.get("end")
    return (start, end) if isinstance(start, int) and isinstance(end, int) and start < end else None


class Ruler:
    """Counts the tokens of texts with a model that only counts whole prompts."""

    def __init__(self, llm: LLM) -> None:
        self._llm = llm
        self._frame: int | None = None

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, without what the chat template adds."""
        if not texts:
            return []
        if self._frame is None:
            [self._frame] = self._llm.count_tokens([[Message(role="user", content="")]])
        frame = self._frame
        counts = self._llm.count_tokens([[Message(role="user", content=text)] for text in texts])
        return [max(0, count - frame) for count in counts]


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
            shorter = _cut(document, places[middle])
            [tokens] = ruler.count([numbered(shorter, number)])
            if tokens <= room:
                low, best = middle + 1, (shorter, tokens)
            else:
                high = middle
        if best is not None:
            return best
    return None


def _cut(document: Document, end: int) -> Document:
    """The first `end` characters of a passage; a chunk's own span is cut with it."""
    span = span_of(document)
    moved = {"end": min(span[0] + end, span[1])} if span else {}
    return replace(document, text=document.text[:end], metadata={**document.metadata, **moved})
